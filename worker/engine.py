"""The thread that owns the device: admits, steps, retires, and draws between steps.

Continuous batching: at every step, waiting orders are admitted by priority and age into free slots (one group of slots
for each generator to invert in), errands (drawing a finished face, restyling, loading weights) run in between, and what
ended or was cancelled leaves. Without work the thread sleeps on a condition and costs nothing.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

import structlog
import torch

from core.jobs import Seconds
from model.inversion.engine import SlotEngine
from model.inversion.request import Finished
from model.pair import LoadedGenerator
from worker.bench import Bench, DeviceLost, inversion_failure
from worker.order import Errand, InversionOrder

T = TypeVar("T")

_log = structlog.get_logger(__name__)


class StepObserver(Protocol):
    """Whoever counts steps."""

    def observe_step(self, seconds: Seconds, occupied: int) -> None:
        """One step of one group of slots was made."""

    def observe_slots(self, occupied: int, waiting: int) -> None:
        """So many slots are in use, and so many orders wait for one."""


class Engine:
    """Runs orders and errands on one device.

    Args:
        slots: Inversions at the same time, over all generators.
        build: Makes the slots of one generator; called in the thread, with the number of slots.
        observer: Counts.
        prepare: Called once at the thread's beginning (threads of PyTorch are set per thread).
    """

    def __init__(
        self,
        slots: int,
        build: Callable[[LoadedGenerator, int], SlotEngine],
        observer: StepObserver,
        prepare: Callable[[], object] = lambda: None,
    ) -> None:
        self._slots = slots
        self._build = build
        self._observer = observer
        self._prepare = prepare
        self._line: list[InversionOrder] = []
        self._errands: list[Errand] = []
        self._benches: dict[tuple[int, bool], Bench] = {}
        self._is_closing = False
        self._failure: BaseException | None = None
        self._work = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="device", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def close(self) -> None:
        """Finish what is asked for, then end the thread."""
        with self._work:
            self._is_closing = True
            self._work.notify_all()
        self._thread.join()

    @property
    def failure(self) -> BaseException | None:
        """Why the thread ended too early; None: it lives, or was closed."""
        return self._failure

    @property
    def occupied(self) -> int:
        """Slots in use."""
        return sum(bench.occupied for bench in list(self._benches.values()))

    def invert(self, order: InversionOrder) -> "Future[Finished]":
        """Line an order up; its future is cancelled if it is before it had a slot.

        Raises:
            DeviceLost: The thread has ended.
        """
        with self._work:
            self._check()
            self._line.append(order)
            self._work.notify_all()
        return order.future

    def do(self, work: Callable[[], T], *, urgent: bool = False) -> T:
        """Run something short on the device, between two steps, and wait for it.

        Raises:
            DeviceLost: The thread has ended.
        """
        errand = Errand(work, urgent)
        with self._work:
            self._check()
            self._errands.append(errand)
            self._work.notify_all()
        result: T = errand.future.result()
        return result

    def keep_only(self, loaded: list[LoadedGenerator]) -> None:
        """Forget the slots of generators that are not served any more, once they are empty. In an errand only."""
        wanted = {id(generator) for generator in loaded}
        for key, bench in list(self._benches.items()):
            if not bench.occupied and id(bench.loaded) not in wanted:
                del self._benches[key]

    def _check(self) -> None:
        if self._failure is not None or self._is_closing:
            raise DeviceLost("This worker's device does not take work any more.") from self._failure

    def _run(self) -> None:
        try:
            self._prepare()
            while self._wait_for_work():
                for errand in self._take_errands():
                    errand.run()
                self._admit()
                self._step()
        except BaseException as error:  # noqa: BLE001 - a dead device thread must free all who wait for it.
            _log.exception("engine.died")
            self._fail_all(error)

    def _wait_for_work(self) -> bool:
        with self._work:
            self._work.wait_for(lambda: self._is_closing or self._line or self._errands or self.occupied)
            return bool(self._line or self._errands or self.occupied)

    def _take_errands(self) -> list[Errand]:
        with self._work:
            errands, self._errands = self._errands, []
        return sorted(errands, key=lambda errand: not errand.is_urgent)

    def _admit(self) -> None:
        with self._work:
            line = sorted(self._line)
        for order in line:
            if order.is_cancelled:
                order.future.cancel()
            elif self.occupied >= self._slots or not self._seat(order):
                continue
            with self._work:
                self._line.remove(order)
        self._observer.observe_slots(self.occupied, len(self._line))

    def _seat(self, order: InversionOrder) -> bool:
        """Give an order a slot of its generator; False: all of them are taken."""
        key = (id(order.loaded), order.is_suspect)
        if key not in self._benches:
            try:
                slots = self._build(order.loaded, 1 if order.is_suspect else self._slots)
            except torch.AcceleratorError:
                raise
            except Exception as error:  # noqa: BLE001 - one generator that cannot be set up must not end the others.
                _log.exception("engine.not_built")
                order.future.set_exception(inversion_failure(error))
                return True
            self._benches[key] = Bench(order.loaded, slots, is_quarantine=order.is_suspect)
        bench = self._benches[key]
        if not bench.has_room:
            return False
        bench.admit(order)
        return True

    def _step(self) -> None:
        for key, bench in list(self._benches.items()):
            occupied = bench.occupied
            if not occupied:
                continue
            start = time.perf_counter()
            suspects = bench.step()
            self._observer.observe_step(time.perf_counter() - start, occupied)
            if bench.is_spoilt:
                del self._benches[key]
            with self._work:
                self._line += suspects

    def _fail_all(self, error: BaseException) -> None:
        with self._work:
            self._failure = error
            orders = self._line + [order for bench in self._benches.values() for order in bench.orders]
            errands, self._line, self._errands = self._errands, [], []
            self._benches.clear()
        futures: list[Future[Any]] = [*(order.future for order in orders), *(errand.future for errand in errands)]
        for future in futures:
            if not future.done():
                future.set_exception(DeviceLost("The device stopped working."))
