"""The thread that owns the device: admits, steps, retires, and draws between steps.

Continuous batching: at every step, waiting orders are admitted by priority and age into free slots (one group of slots
for each generator to invert in), errands (drawing a finished face, restyling, loading weights) run in between, and what
ended or was cancelled leaves. Without work the thread sleeps on a condition and costs nothing.

Whatever an order or an errand raises is its owner's alone, with two exceptions: a lack of memory is first met by
narrowing batches, and a lost device ends the thread, because nobody else could compute on it either.
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import structlog

from nigaoe_core.guarded_loop import GIVE_UP_AFTER, GuardedThread, UnexpectedErrors
from nigaoe_core.jobs import Seconds
from nigaoe_model.device_errors import DeviceTrouble, device_trouble
from nigaoe_model.inversion.engine import SlotEngine
from nigaoe_model.inversion.request import Finished
from nigaoe_model.portrait.pair import LoadedGenerator
from nigaoe_worker.requests import Errand, InversionOrder, answer, refuse
from nigaoe_worker.slot_batch import Bench, DeviceLost, inversion_failure, memory_failure, return_free_memory

T = TypeVar("T")

Key = tuple[int, bool]
"""Of a group of slots: which generator, and whether it is for orders that run alone."""

WHERE = "device"

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
        errors: Where unexpected errors are recorded; None: nobody asks for them.
        on_end: Called when the device is given up, before anybody who waits for it is told.
    """

    def __init__(
        self,
        slots: int,
        build: Callable[[LoadedGenerator, int], SlotEngine],
        observer: StepObserver,
        prepare: Callable[[], object] = lambda: None,
        *,
        errors: UnexpectedErrors | None = None,
        on_end: Callable[[], object] = lambda: None,
    ) -> None:
        self._slots = slots
        self._build = build
        self._observer = observer
        self._prepare = prepare
        self._errors = errors or UnexpectedErrors()
        self._on_end = on_end
        self._line: list[InversionOrder] = []
        self._errands: list[Errand] = []
        self._running: Future[Any] | None = None
        self._benches: dict[Key, Bench] = {}
        self._served: list[LoadedGenerator] | None = None
        self._is_crowded = False
        self._is_closing = False
        self._failure: BaseException | None = None
        self._activities = itertools.count()
        self._activity: int | None = None
        self._work = threading.Condition()
        self._thread = GuardedThread(
            WHERE,
            self._run,
            self._errors,
            give_up_after=GIVE_UP_AFTER,
            fatal=(DeviceLost,),
            on_given_up=self.abandon,
        )

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def close(self) -> None:
        """Finish what is asked for, then end the thread."""
        with self._work:
            self._is_closing = True
            self._work.notify_all()
        if self._failure is None:  # A thread that hangs in the device cannot be waited for.
            self._thread.join()

    @property
    def failure(self) -> BaseException | None:
        """Why the device was given up; None: it works, or was closed."""
        return self._failure

    @property
    def occupied(self) -> int:
        """Slots in use."""
        return sum(bench.occupied for bench in list(self._benches.values()))

    @property
    def activity(self) -> int | None:
        """A number that changes with every step, admission and errand; None while none of them runs.

        Nor while something runs that may take long. Whoever sees the same number for minutes knows that the device
        hangs.
        """
        return self._activity

    def invert(self, order: InversionOrder) -> "Future[Finished]":
        """Line an order up; its future is cancelled if it is before it had a slot.

        Raises:
            DeviceLost: The device was given up.
        """
        with self._work:
            self._check()
            self._line.append(order)
            self._work.notify_all()
        return order.future

    def do(self, work: Callable[[], T], *, urgent: bool = False, may_take_long: bool = False) -> T:
        """Run something short on the device, between two steps, and wait for it.

        Args:
            work: Done once more where memory ran out, after room was made.
            urgent: It goes before other errands.
            may_take_long: See `Errand`.

        Raises:
            DeviceLost: The device was given up.
            InversionError: It has too little memory.
        """
        errand = Errand(work, urgent, may_take_long)
        with self._work:
            self._check()
            self._errands.append(errand)
            self._work.notify_all()
        result: T = errand.future.result()
        return result

    def keep_only(self, loaded: list[LoadedGenerator]) -> None:
        """Forget the slots of generators that are not served any more, as soon as they are empty. In an errand only."""
        self._served = list(loaded)
        self._forget_unused()
        return_free_memory()

    def abandon(self, error: BaseException) -> None:
        """Give the device up, from any thread: tell all who wait for it, and take no more work.

        Args:
            error: Why.
        """
        with self._work:
            if self._failure is not None:
                return
            self._failure = error
        _log.critical("engine.abandoned", reason=repr(error))
        with self._errors.contained(WHERE):
            self._on_end()
        self._tell_all()

    def _tell_all(self) -> None:
        with self._work:
            computing: list[Future[Any]] = [
                order.future for bench in list(self._benches.values()) for order in bench.orders
            ]
            waiting = [*(order.future for order in self._line), *(errand.future for errand in self._errands)]
            self._line, self._errands = [], []
            self._work.notify_all()
        if self._running is not None:
            computing.append(self._running)
        for future in computing:
            refuse(future, DeviceLost(computing=True))
        for future in waiting:
            refuse(future, DeviceLost())

    def _check(self) -> None:
        if self._failure is not None or self._is_closing:
            raise DeviceLost("This worker's device does not take work any more.") from self._failure

    def _run(self) -> None:
        try:
            self._prepare()
            while self._wait_for_work():
                for _ in range(len(self._errands)):  # Those that come meanwhile let a step go first.
                    if errand := self._next_errand():
                        self._run_errand(errand)
                self._admit()
                self._step()
        except DeviceLost:
            raise
        except Exception as error:
            if device_trouble(error) is DeviceTrouble.LOST:
                raise DeviceLost from error
            raise

    def _wait_for_work(self) -> bool:
        with self._work:
            self._work.wait_for(
                lambda: self._failure or self._is_closing or self._line or self._errands or self.occupied
            )
            return self._failure is None and bool(self._line or self._errands or self.occupied)

    def _next_errand(self) -> Errand | None:
        """Take the most urgent and then the oldest; None: the device was given up meanwhile, and all are answered."""
        with self._work:
            chosen = min(self._errands, key=lambda errand: not errand.is_urgent, default=None)
            if chosen is not None:
                self._errands.remove(chosen)
            return chosen

    def _run_errand(self, errand: Errand) -> None:
        """Do it; what it raises goes to whoever asked, unless it says that the device is lost."""
        with self._busy(errand.future, watched=not errand.may_take_long):
            try:
                answer(errand.future, self._with_room(errand.work))
            except BaseException as error:
                trouble = device_trouble(error)
                if trouble is DeviceTrouble.LOST:
                    raise DeviceLost from error
                refuse(errand.future, memory_failure(error) if trouble is DeviceTrouble.MEMORY else error)

    def _with_room(self, work: Callable[[], T]) -> T:
        """Do something; where memory runs out, take back what benches can spare and do it once more."""
        try:
            return work()
        except Exception as error:
            if device_trouble(error) is not DeviceTrouble.MEMORY:
                raise
            _log.warning("engine.makes_room", reason=str(error))
        self._make_room()
        return work()

    def _make_room(self) -> None:
        for key, bench in list(self._benches.items()):
            if bench.occupied:
                bench.make_room()
            else:
                del self._benches[key]
        return_free_memory()

    def _admit(self) -> None:
        with self._work:
            line = sorted(self._line)
        for order in line:
            if not self._has_left(order):
                if self._is_crowded or self.occupied >= self._slots:
                    continue
                with self._busy(order.future):
                    if not self._seat(order):
                        continue
            with self._work:
                if order in self._line:
                    self._line.remove(order)
        with self._errors.contained("metrics"):
            self._observer.observe_slots(self.occupied, len(self._line))

    def _has_left(self, order: InversionOrder) -> bool:
        """Whether nobody waits for an order any more, because it was cancelled or cannot even say whether it was."""
        try:
            if not order.is_cancelled:
                return order.future.done()
        except Exception as error:  # noqa: BLE001 - recorded whole; one order's question must not end the others' thread.
            self._errors.record("order", error)
            refuse(order.future, inversion_failure(error))
        order.future.cancel()
        return True

    def _seat(self, order: InversionOrder) -> bool:
        """Give an order a slot of its generator; False: all of them are taken, or memory is."""
        key = (id(order.loaded), order.is_suspect)
        if key not in self._benches:
            try:
                slots = self._with_room(lambda: self._build(order.loaded, 1 if order.is_suspect else self._slots))
            except Exception as error:  # noqa: BLE001 - one generator that cannot be set up must not end the others.
                return self._not_built(order, error)
            self._benches[key] = Bench(order.loaded, slots, is_quarantine=order.is_suspect)
        bench = self._benches[key]
        if not bench.has_room:
            return False
        if bench.admit(order):
            return True
        self._is_crowded = True
        return False

    def _not_built(self, order: InversionOrder, error: Exception) -> bool:
        trouble = device_trouble(error)
        if trouble is DeviceTrouble.LOST:
            raise DeviceLost from error
        if trouble is DeviceTrouble.MEMORY and self.occupied:
            self._is_crowded = True
            return False
        _log.exception("engine.not_built")
        refuse(order.future, inversion_failure(error))
        return True

    def _step(self) -> None:
        for key, bench in list(self._benches.items()):
            occupied = bench.occupied
            if not occupied:
                continue
            start = time.perf_counter()
            with self._busy(None):
                suspects = bench.step()
            with self._errors.contained("metrics"):
                self._observer.observe_step(time.perf_counter() - start, occupied)
            if bench.is_spoilt:
                del self._benches[key]
            if bench.occupied < occupied:
                self._is_crowded = False  # Whoever left made room.
            with self._work:
                self._line += suspects
        self._forget_unused()

    def _forget_unused(self) -> None:
        """Let go of empty slots that nobody will use: of replaced generators, and of orders that had to run alone."""
        for key, bench in list(self._benches.items()):
            is_served = self._served is None or any(bench.loaded is loaded for loaded in self._served)
            if not bench.occupied and (bench.is_quarantine or not is_served):
                del self._benches[key]

    @contextmanager
    def _busy(self, future: "Future[Any] | None", *, watched: bool = True) -> Iterator[None]:
        """Say that the device is at work, and for whom; should it be lost meanwhile, that stays to be read."""
        self._running = future
        self._activity = next(self._activities) if watched else None
        try:
            yield
        finally:
            self._activity = None
        self._running = None
