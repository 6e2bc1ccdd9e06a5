"""The thread that owns the device: it admits, steps and retires inversions, and runs short tasks between steps.

Continuous batching: before every step, waiting requests are admitted by priority and age into free slots (one
`SlotBatch` for each generator to invert in), device tasks (drawing a finished face, restyling, loading weights) run,
and photos that need no search are drawn in one pass; after it, what ended or was cancelled leaves. Without work the
thread sleeps on a condition and costs nothing.

Whatever a request or a task raises goes to its caller alone, with two exceptions: out of memory first halves batches,
and a lost device ends the thread, because nothing else could compute on it either.
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog

from nigaoe_core.guarded_loop import GIVE_UP_AFTER, GuardedThread, UnexpectedErrors
from nigaoe_model.device_errors import DeviceTrouble, device_trouble
from nigaoe_model.inversion.engine import SlotEngine
from nigaoe_model.inversion.request import Finished
from nigaoe_model.portrait.pair import LoadedGenerator
from nigaoe_worker.metrics import Metrics
from nigaoe_worker.one_pass import PassRequest, next_pass, run_pass
from nigaoe_worker.slot_batch import (
    DeviceLost,
    SlotBatch,
    SlotRequest,
    inversion_failure,
    memory_failure,
    reject,
    release_cached_memory,
    resolve,
)

T = TypeVar("T")

Key = tuple[int, bool]
"""Of a slot batch: which generator, and whether it is for requests that run alone."""

WHERE = "device"

_log = structlog.get_logger(__name__)


@dataclass(eq=False)
class DeviceTask:
    """Something short that needs the device: drawing, loading.

    Attributes:
        work: Runs in the device's thread; it may run again where memory ran out.
        is_urgent: A user waits for it (a restyle).
        may_take_long: Loading from a disk takes as long as it takes; anything else that does means a device that hangs.
        future: Receives what it returned or raised.
    """

    work: Callable[[], Any]
    is_urgent: bool = False
    may_take_long: bool = False
    future: "Future[Any]" = field(default_factory=Future)


class Engine:
    """Runs slot requests and device tasks on one device.

    Args:
        slots: Inversions at the same time, over all generators; and photos in one pass.
        build: Makes the slots of one generator; called in the thread, with the number of slots.
        metrics: Counts steps and slots.
        prepare: Called once at the thread's beginning (threads of PyTorch are set per thread).
        errors: Where unexpected errors are recorded.
        on_end: Called when the device is given up, before the futures of those who wait for it are rejected.
    """

    def __init__(
        self,
        slots: int,
        build: Callable[[LoadedGenerator, int], SlotEngine],
        metrics: Metrics,
        prepare: Callable[[], object] = lambda: None,
        *,
        errors: UnexpectedErrors | None = None,
        on_end: Callable[[], object] = lambda: None,
    ) -> None:
        self._slots = slots
        self._build = build
        self._metrics = metrics
        self._prepare = prepare
        self._errors = errors or UnexpectedErrors()
        self._on_end = on_end
        self._waiting: list[SlotRequest] = []
        self._passes: list[PassRequest] = []
        self._tasks: list[DeviceTask] = []
        self._running: tuple[Future[Any], ...] = ()
        self._batches: dict[Key, SlotBatch] = {}
        self._served: list[LoadedGenerator] | None = None
        self._is_memory_short = False
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
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Finish what was asked for, then end the thread."""
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
        return sum(batch.occupied for batch in list(self._batches.values()))

    @property
    def activity(self) -> int | None:
        """A number that changes with every step, admission and task; None while none of them runs.

        Nor while something runs that may take long. The same number for minutes means that the device hangs.
        """
        return self._activity

    def invert(self, request: SlotRequest) -> "Future[Finished]":
        """Queue a request; its future is cancelled if the request is cancelled before it has a slot.

        Raises:
            DeviceLost: The device was given up.
        """
        with self._work:
            self._check()
            self._waiting.append(request)
            self._work.notify_all()
        return request.future

    def draw(self, request: PassRequest) -> "Future[Any]":
        """Queue a photo that is drawn without a search; its future is cancelled if the request is before its pass.

        Raises:
            DeviceLost: The device was given up.
        """
        with self._work:
            self._check()
            self._passes.append(request)
            self._work.notify_all()
        return request.future

    def do(self, work: Callable[[], T], *, urgent: bool = False, may_take_long: bool = False) -> T:
        """Run something short on the device, between two steps, and wait for it.

        Args:
            work: Runs once more where memory ran out, after some was freed.
            urgent: It goes before other tasks.
            may_take_long: See `DeviceTask`.

        Raises:
            DeviceLost: The device was given up.
            InversionError: It has too little memory.
        """
        task = DeviceTask(work, urgent, may_take_long)
        with self._work:
            self._check()
            self._tasks.append(task)
            self._work.notify_all()
        result: T = task.future.result()
        return result

    def keep_only(self, loaded: list[LoadedGenerator]) -> None:
        """Drop the slots of generators that are not served any more, as soon as they are empty. In a task only."""
        self._served = list(loaded)
        self._drop_unused()
        release_cached_memory()

    def abandon(self, error: BaseException) -> None:
        """Give the device up, from any thread: reject all waiting futures, and take no more work.

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
        self._reject_all()

    def _reject_all(self) -> None:
        with self._work:
            computing: list[Future[Any]] = [
                request.future for batch in list(self._batches.values()) for request in batch.requests
            ]
            waiting: list[Future[Any]] = [request.future for request in self._waiting]
            waiting += [*(request.future for request in self._passes), *(task.future for task in self._tasks)]
            self._waiting, self._passes, self._tasks = [], [], []
            self._work.notify_all()
        computing += self._running
        for future in computing:
            reject(future, DeviceLost(computing=True))
        for future in waiting:
            reject(future, DeviceLost())

    def _check(self) -> None:
        if self._failure is not None or self._is_closing:
            raise DeviceLost("This worker's device does not take work any more.") from self._failure

    def _run(self) -> None:
        try:
            self._prepare()
            while self._wait_for_work():
                for _ in range(len(self._tasks)):  # Those that come meanwhile let a step go first.
                    if task := self._next_task():
                        self._run_task(task)
                self._draw()
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
            self._work.wait_for(lambda: self._failure or self._is_closing or self._has_work())
            return self._failure is None and self._has_work()

    def _has_work(self) -> bool:
        return bool(self._waiting or self._passes or self._tasks or self.occupied)

    def _next_task(self) -> DeviceTask | None:
        """Take the most urgent and then the oldest; None: the device was given up meanwhile, and all are rejected."""
        with self._work:
            chosen = min(self._tasks, key=lambda task: not task.is_urgent, default=None)
            if chosen is not None:
                self._tasks.remove(chosen)
            return chosen

    def _run_task(self, task: DeviceTask) -> None:
        """Run it; what it raises goes to its caller, unless it says that the device is lost."""
        with self._busy(task.future, watched=not task.may_take_long):
            try:
                resolve(task.future, self._with_memory_retry(task.work))
            except BaseException as error:
                trouble = device_trouble(error)
                if trouble is DeviceTrouble.LOST:
                    raise DeviceLost from error
                reject(task.future, memory_failure(error) if trouble is DeviceTrouble.MEMORY else error)

    def _draw(self) -> None:
        """Draw one pass of photos like the one that is the first in line; those who are left wait for a step."""
        with self._work:
            waiting = list(self._passes)
        waiting = [request for request in waiting if not self._left(request)]
        if not waiting:
            return
        requests = next_pass(waiting, self._slots)
        futures = [request.future for request in requests]
        with self._work:
            if self._failure is not None:
                return  # All of them are rejected.
            self._passes = [request for request in self._passes if request not in requests]
            self._running = tuple(futures)
        with self._busy(*futures):
            suspects = run_pass(requests, self._with_memory_retry)
        with self._work:
            self._passes += suspects

    def _left(self, request: PassRequest) -> bool:
        """Take a request that was withdrawn out of the line."""
        if not self._is_withdrawn(request):
            return False
        with self._work:
            if request in self._passes:
                self._passes.remove(request)
        return True

    def _with_memory_retry(self, work: Callable[[], T]) -> T:
        """Run something; where memory runs out, free what the batches can spare and run it once more."""
        try:
            return work()
        except Exception as error:
            if device_trouble(error) is not DeviceTrouble.MEMORY:
                raise
            _log.warning("engine.frees_memory", reason=str(error))
        self._release_memory()
        return work()

    def _release_memory(self) -> None:
        for key, batch in list(self._batches.items()):
            if batch.occupied:
                batch.release_memory()
            else:
                del self._batches[key]
        release_cached_memory()

    def _admit(self) -> None:
        with self._work:
            waiting = sorted(self._waiting)
        for request in waiting:
            if not self._is_withdrawn(request):
                if self._is_memory_short or self.occupied >= self._slots:
                    continue
                with self._busy(request.future):
                    if not self._admit_one(request):
                        continue
            with self._work:
                if request in self._waiting:
                    self._waiting.remove(request)
        with self._errors.contained("metrics"):
            self._metrics.observe_slots(self.occupied, len(self._waiting))

    def _is_withdrawn(self, request: SlotRequest | PassRequest) -> bool:
        """Whether a request needs the device no more: it was cancelled, or its callback that says so raises."""
        try:
            if not request.is_cancelled:
                return request.future.done()
        except Exception as error:  # noqa: BLE001 - recorded whole; one caller's callback must not end the others' thread.
            self._errors.record("order", error)
            reject(request.future, inversion_failure(error))
        request.future.cancel()
        return True

    def _admit_one(self, request: SlotRequest) -> bool:
        """Give a request a slot of its generator; False: all of them are taken, or memory is."""
        key = (id(request.loaded), request.is_suspect)
        if key not in self._batches:
            width = 1 if request.is_suspect else self._slots
            try:
                slots = self._with_memory_retry(lambda: self._build(request.loaded, width))
            except Exception as error:  # noqa: BLE001 - one generator that cannot be set up must not end the others.
                return self._not_built(request, error)
            self._batches[key] = SlotBatch(request.loaded, slots, is_quarantine=request.is_suspect)
        batch = self._batches[key]
        if not batch.has_free_slot:
            return False
        if batch.admit(request):
            return True
        self._is_memory_short = True
        return False

    def _not_built(self, request: SlotRequest, error: Exception) -> bool:
        trouble = device_trouble(error)
        if trouble is DeviceTrouble.LOST:
            raise DeviceLost from error
        if trouble is DeviceTrouble.MEMORY and self.occupied:
            self._is_memory_short = True
            return False
        _log.exception("engine.not_built")
        reject(request.future, inversion_failure(error))
        return True

    def _step(self) -> None:
        for key, batch in list(self._batches.items()):
            occupied = batch.occupied
            if not occupied:
                continue
            start = time.perf_counter()
            with self._busy():
                suspects = batch.step()
            with self._errors.contained("metrics"):
                self._metrics.observe_step(time.perf_counter() - start, occupied)
            if batch.is_broken:
                del self._batches[key]
            if batch.occupied < occupied:
                self._is_memory_short = False  # A slot was freed, and its memory with it.
            with self._work:
                self._waiting += suspects
        self._drop_unused()

    def _drop_unused(self) -> None:
        """Drop empty slots that will not be used again: of replaced generators, and of requests that ran alone."""
        for key, batch in list(self._batches.items()):
            is_served = self._served is None or any(batch.loaded is loaded for loaded in self._served)
            if not batch.occupied and (batch.is_quarantine or not is_served):
                del self._batches[key]

    @contextmanager
    def _busy(self, *futures: "Future[Any]", watched: bool = True) -> Iterator[None]:
        """Mark the device as busy, and for which futures; should the device be lost meanwhile, the mark stays."""
        self._running = futures
        self._activity = next(self._activities) if watched else None
        try:
            yield
        finally:
            self._activity = None
        self._running = ()
