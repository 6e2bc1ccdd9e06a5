""" """

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from functools import partial
from typing import Any

import pytest
import torch

from nigaoe_core.errors import InversionError
from nigaoe_model.inversion.request import InversionRequest, Progress, StopReason
from nigaoe_model.inversion.settings import InversionSettings
from nigaoe_model.portrait.convert import inversion_engine
from nigaoe_model.portrait.pair import LoadedGenerator
from nigaoe_worker.device import Engine
from nigaoe_worker.metrics import Metrics
from nigaoe_worker.model_cache import ModelCache
from nigaoe_worker.slot_batch import DeviceLost, SlotRequest

Until = Callable[[Callable[[], object]], None]


@pytest.fixture
def loaded(models: ModelCache) -> LoadedGenerator:
    return models.pair("anime").g_ori


def request(
    loaded: LoadedGenerator, *, steps: int = 5, priority: int = 5, age: float = 0.0, **more: Any
) -> SlotRequest:
    target = torch.zeros(3, 32, 32)
    request = InversionRequest(target, InversionSettings(steps=steps), **more)
    return SlotRequest(loaded, request, priority, queued_at=-age)


class Blocker:
    """A request that keeps its slot until it is cancelled."""

    def __init__(self, engine: Engine, loaded: LoadedGenerator) -> None:
        self.is_over = threading.Event()
        self.is_in = threading.Event()
        self.future = engine.invert(
            request(loaded, steps=100_000, on_progress=self._follow, cancelled=self.is_over.is_set)
        )

    def _follow(self, _: Progress) -> None:
        self.is_in.set()


def test_jobs_join_and_leave_between_steps(engine: Engine, loaded: LoadedGenerator) -> None:
    """A long one does not block a short one that came later."""
    long = Blocker(engine, loaded)
    assert long.is_in.wait(60)
    short = engine.invert(request(loaded, steps=3)).result(60)
    assert (short.stop_reason, short.unwrap().steps) == (StopReason.BUDGET, 3)
    assert not long.future.done()
    long.is_over.set()
    assert long.future.result(60).stop_reason is StopReason.CANCELLED


def test_free_slots_go_by_priority_and_age(engine: Engine, loaded: LoadedGenerator) -> None:
    """Both slots are taken; those who wait get them in order, whatever order they came in."""
    begun: list[str] = []

    def follow(name: str, progress: Progress) -> None:
        if progress.step == 1:
            begun.append(name)

    blockers = [Blocker(engine, loaded) for _ in range(2)]
    assert all(blocker.is_in.wait(60) for blocker in blockers)
    waiting = [
        engine.invert(request(loaded, steps=2, priority=p, age=a, on_progress=partial(follow, name)))
        for name, p, a in (("young", 5, 0.0), ("old", 5, 9.0), ("urgent", 9, 0.0))
    ]
    blockers[0].is_over.set()
    for future in waiting:
        future.result(60)
    blockers[1].is_over.set()
    assert begun == ["urgent", "old", "young"]


def test_the_cancelled_leave_the_queue(engine: Engine, loaded: LoadedGenerator) -> None:
    """Nobody waits for a slot whose job is gone."""
    blockers = [Blocker(engine, loaded) for _ in range(2)]
    assert all(blocker.is_in.wait(60) for blocker in blockers)
    gone = threading.Event()
    waiting = engine.invert(request(loaded, cancelled=gone.is_set))
    gone.set()
    with pytest.raises(CancelledError):
        waiting.result(60)
    for blocker in blockers:
        blocker.is_over.set()


def test_tasks_run_between_steps(engine: Engine, loaded: LoadedGenerator) -> None:
    """A restyle does not wait until an inversion is over, and what a task raises goes to its caller."""
    blocker = Blocker(engine, loaded)
    assert blocker.is_in.wait(60)
    assert engine.do(lambda: threading.current_thread().name, urgent=True) == "device"
    with pytest.raises(ZeroDivisionError):
        engine.do(lambda: 1 // 0)
    assert not blocker.future.done()
    blocker.is_over.set()


def test_urgent_tasks_go_first(engine: Engine, in_thread: Callable[..., threading.Thread], until: Until) -> None:
    """A restyle overtakes the drawing of finished conversions."""
    is_free, done = threading.Event(), []
    in_thread(engine.do, is_free.wait)
    until(lambda: not engine._tasks)
    for name, urgent in (("draw", False), ("restyle", True)):
        in_thread(lambda name=name, urgent=urgent: engine.do(lambda: done.append(name), urgent=urgent))
        until(lambda name=name: len(engine._tasks) == (1 if name == "draw" else 2))
    is_free.set()
    until(lambda: len(done) == 2)
    assert done == ["restyle", "draw"]


def test_a_poisonous_request_fails_and_its_neighbours_do_not(metrics: Metrics, loaded: LoadedGenerator) -> None:
    """One request makes every step raise. All run alone once more: it fails, the other ends well."""

    def build(generator: LoadedGenerator, width: int) -> Any:
        slots = inversion_engine(generator, width)
        step = slots.step

        def poisoned_step() -> Any:
            if any(slot.ticket.request.seed == 666 for slot in slots._slots):
                raise ValueError("poison")
            return step()

        slots.step = poisoned_step
        return slots

    engine = Engine(2, build, metrics)
    futures = [engine.invert(request(loaded, seed=seed)) for seed in (666, 1)]
    engine.start()
    with pytest.raises(InversionError, match="unexpected fault"):
        futures[0].result(60)
    assert futures[1].result(60).unwrap().steps == 5
    engine.close()


def test_generators_have_their_own_slots_and_share_the_number(metrics: Metrics, models: ModelCache) -> None:
    """Three requests in two generators and two slots: all end, never more than two at once."""
    pair, engine = models.pair("anime"), Engine(2, inversion_engine, metrics)
    most = []

    def follow(_: Progress) -> None:
        most.append(engine.occupied)

    futures = [engine.invert(request(g, on_progress=follow)) for g in (pair.g_ori, pair.g_fin, pair.g_fin)]
    engine.start()  # Before, the first might have ended when the second came.
    assert all(future.result(60).unwrap().steps == 5 for future in futures)
    assert max(most) == 2
    engine.close()


def test_a_generator_that_cannot_be_set_up_fails_its_requests_only(metrics: Metrics, models: ModelCache) -> None:
    """The other generator goes on."""
    pair = models.pair("anime")

    def build(generator: LoadedGenerator, width: int) -> Any:
        if generator is pair.g_fin:
            raise RuntimeError("damaged")
        return inversion_engine(generator, width)

    engine = Engine(2, build, metrics)
    engine.start()
    with pytest.raises(InversionError):
        engine.invert(request(pair.g_fin)).result(60)
    assert engine.invert(request(pair.g_ori)).result(60).unwrap().steps == 5
    engine.close()


LOST = torch.AcceleratorError("CUDA error: an illegal memory access was encountered")


class Ended:
    """What is called at the device's end."""

    def __init__(self) -> None:
        self.engine: Engine | None = None
        self.was_refused: list[bool] = []

    def __call__(self) -> None:
        assert self.engine is not None
        self.was_refused.append(any(request.future.done() for request in self.engine._waiting))


def computing(error: BaseException | None) -> bool:
    assert isinstance(error, DeviceLost)
    return error.was_computing


def broken_at(place: str, patch: pytest.MonkeyPatch) -> Callable[[LoadedGenerator, int], Any]:
    """Slots whose device dies at a place; a task dies by itself."""

    def fail(*_: Any, **__: Any) -> Any:
        raise LOST

    def build(generator: LoadedGenerator, width: int) -> Any:
        if place == "building":
            fail()
        slots = inversion_engine(generator, width)
        if place == "admission":
            patch.setattr(slots._starter, "begin", fail)
        if place == "step":
            patch.setattr(slots, "_synthesis", fail)
        return slots

    return build


@pytest.mark.parametrize("place", ["building", "admission", "step"])
def test_a_dead_device_frees_all_who_wait(
    place: str, metrics: Metrics, loaded: LoadedGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it shows. The errors say who it computed for and who waited; nothing is admitted."""
    ended = Ended()
    engine = Engine(1, broken_at(place, monkeypatch), metrics, on_end=ended)
    ended.engine = engine
    first, second = (engine.invert(request(loaded, age=age)) for age in (1.0, 0.0))
    engine.start()
    assert (computing(first.exception(60)), computing(second.exception(60))) == (True, False)
    assert engine.failure is not None
    assert ended.was_refused == [False]  # Admission was closed before anybody could come back.
    with pytest.raises(DeviceLost):
        engine.do(lambda: None)
    engine.close()


def test_a_device_that_dies_in_a_task_is_dead_for_all(
    metrics: Metrics, loaded: LoadedGenerator, in_thread: Callable[..., threading.Thread], until: Until
) -> None:
    """A drawing or an enlargement met it: no job after it may fail one by one for nothing, as long as there are any."""
    engine = Engine(2, inversion_engine, metrics)
    engine.start()
    blocker = Blocker(engine, loaded)
    assert blocker.is_in.wait(60)
    is_free, caught = threading.Event(), []

    def draw() -> None:
        assert is_free.wait(60)
        raise LOST

    def ask(work: Callable[[], object]) -> None:
        try:
            engine.do(work)
        except DeviceLost as lost:
            caught.append(lost.was_computing)

    in_thread(ask, draw)
    until(lambda: engine._running is not None and not engine._tasks)
    in_thread(ask, lambda: None)
    until(lambda: len(engine._tasks) == 1)
    is_free.set()
    assert computing(blocker.future.exception(60))
    until(lambda: len(caught) == 2)
    assert sorted(caught) == [False, True]
    assert isinstance(engine.failure, DeviceLost)


def test_a_device_that_hangs_can_be_given_up(metrics: Metrics, loaded: LoadedGenerator) -> None:
    """A step that never ends shows as the same activity; from another thread all futures are rejected."""
    is_over, is_in = threading.Event(), threading.Event()

    def build(generator: LoadedGenerator, width: int) -> Any:
        slots = inversion_engine(generator, width)
        step = slots.step

        def hang() -> Any:
            is_in.set()
            assert is_over.wait(60)
            return step()

        slots.step = hang  # type: ignore[method-assign]
        return slots

    engine = Engine(1, build, metrics)
    engine.start()
    stuck, waiting = (engine.invert(request(loaded, age=age)) for age in (1.0, 0.0))
    assert is_in.wait(60)
    assert engine.activity is not None
    assert engine.activity == engine.activity
    engine.abandon(RuntimeError("It hangs."))
    assert (computing(stuck.exception(60)), computing(waiting.exception(60))) == (True, False)
    engine.close()
    is_over.set()  # Should it come back after all, no future is resolved twice, and the thread ends.
    engine._thread.join(60)
    assert not engine._thread.is_alive


def test_what_may_take_long_is_not_watched(engine: Engine) -> None:
    """Loading weights from a slow disk is no device that hangs; drawing that takes as long is."""
    assert engine.do(lambda: engine.activity, may_take_long=True) is None
    assert engine.do(lambda: engine.activity) is not None
    assert engine.activity is None


def test_a_task_that_lacks_memory_runs_in_that_of_others(engine: Engine, loaded: LoadedGenerator) -> None:
    """Two searches are at work; one drawing does not fit beside them: their batch is narrowed, and it is done again."""
    blockers = [Blocker(engine, loaded) for _ in range(2)]
    assert all(blocker.is_in.wait(60) for blocker in blockers)
    limits: list[int | None] = []

    def draw() -> str:
        limits.append(next(iter(engine._batches.values())).batch_limit)
        if len(limits) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return "drawn"

    assert engine.do(draw) == "drawn"
    assert limits == [None, 1]

    def draw_too_much() -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    with pytest.raises(InversionError, match="too little memory"):
        engine.do(draw_too_much)
    assert not any(blocker.future.done() for blocker in blockers)
    for blocker in blockers:
        blocker.is_over.set()


def test_a_generator_for_which_there_is_no_memory_waits(metrics: Metrics, models: ModelCache) -> None:
    """Its slots cannot be set up beside a search of another generator; when that has left, they are."""
    pair, tries = models.pair("anime"), []

    def build(generator: LoadedGenerator, width: int) -> Any:
        if generator is pair.g_fin:
            tries.append(engine.occupied)
            if engine.occupied:
                raise torch.OutOfMemoryError("CUDA out of memory")
        return inversion_engine(generator, width)

    engine = Engine(2, build, metrics)
    engine.start()
    blocker = Blocker(engine, pair.g_ori)
    assert blocker.is_in.wait(60)
    later = engine.invert(request(pair.g_fin))
    while len(tries) < 2:  # Once more after memory was released, and then not at every step.
        engine.do(lambda: None)
    blocker.is_over.set()
    assert later.result(60).unwrap().steps == 5
    assert tries == [1, 1, 0]
    engine.close()


def test_a_callback_that_raises_is_its_callers(engine: Engine, loaded: LoadedGenerator) -> None:
    """Whether a request was cancelled cannot be found out: it fails while it waits, and the searches go on."""
    blockers = [Blocker(engine, loaded) for _ in range(2)]
    assert all(blocker.is_in.wait(60) for blocker in blockers)
    with pytest.raises(InversionError):
        engine.invert(request(loaded, cancelled=lambda: bool(1 // 0))).result(60)
    assert not any(blocker.future.done() for blocker in blockers)
    for blocker in blockers:
        blocker.is_over.set()


def test_a_fault_of_the_loop_itself_is_survived(
    metrics: Metrics, loaded: LoadedGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug between two steps: the slots are as they were, and the loop begins again; counters may raise, too."""
    engine, faults = Engine(2, inversion_engine, metrics), [ValueError("a bug"), KeyError("another")]
    admit = engine._admit

    def faulty_admit() -> None:
        if faults:
            raise faults.pop()
        admit()

    def observe(*_: object) -> None:
        raise ValueError("a bug in a counter")

    monkeypatch.setattr(engine, "_admit", faulty_admit)
    monkeypatch.setattr(metrics, "observe_step", observe)
    future = engine.invert(request(loaded))
    engine.start()
    assert future.result(60).unwrap().steps == 5
    assert engine._errors.counts == {"device": 2, "metrics": 5}
    engine.close()


def test_replaced_generators_are_released(engine: Engine, models: ModelCache, until: Until) -> None:
    """While a search runs in one it stays; when the search has ended, its slots go, and with them its memory."""
    pair = models.pair("anime")
    blocker = Blocker(engine, pair.g_fin)
    assert blocker.is_in.wait(60)
    engine.do(lambda: engine.keep_only([pair.g_ori]))
    assert [batch.loaded for batch in engine._batches.values()] == [pair.g_fin]
    blocker.is_over.set()
    until(lambda: not engine._batches)


def test_idle_costs_nothing(engine: Engine) -> None:
    """Without work the thread sleeps: an idle second takes less than a hundredth of the CPU's time."""
    engine.do(lambda: None)
    thread = next(t for t in threading.enumerate() if t.name == "device" and t.ident == engine._thread.ident)
    clock = time.pthread_getcpuclockid(thread.ident or 0) if hasattr(time, "pthread_getcpuclockid") else None
    if clock is None:
        pytest.skip(f"{os.uname().sysname} cannot tell a thread's CPU time")
    before = time.clock_gettime(clock)
    time.sleep(1.0)
    assert time.clock_gettime(clock) - before < 0.02
