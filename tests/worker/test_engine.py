import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from functools import partial
from typing import Any

import pytest
import torch

from core.errors import InversionError
from model.conversion import inversion_engine
from model.inversion.request import InversionRequest, Progress, StopReason
from model.inversion.settings import InversionSettings
from model.pair import LoadedGenerator
from worker.bench import DeviceLost
from worker.engine import Engine
from worker.gallery import Gallery
from worker.metrics import Metrics
from worker.order import InversionOrder

Until = Callable[[Callable[[], object]], None]


@pytest.fixture
def loaded(gallery: Gallery) -> LoadedGenerator:
    return gallery.pair("anime").g_ori


def order(
    loaded: LoadedGenerator, *, steps: int = 5, priority: int = 5, age: float = 0.0, **more: Any
) -> InversionOrder:
    target = torch.zeros(3, 32, 32)
    request = InversionRequest(target, InversionSettings(steps=steps), **more)
    return InversionOrder(loaded, request, priority, queued_at=-age)


class Blocker:
    """An order that keeps its slot until it is told to go."""

    def __init__(self, engine: Engine, loaded: LoadedGenerator) -> None:
        self.is_over = threading.Event()
        self.is_in = threading.Event()
        self.future = engine.invert(
            order(loaded, steps=100_000, on_progress=self._follow, cancelled=self.is_over.is_set)
        )

    def _follow(self, _: Progress) -> None:
        self.is_in.set()


def test_jobs_join_and_leave_between_steps(engine: Engine, loaded: LoadedGenerator) -> None:
    """A long one does not hold up a short one that came later."""
    long = Blocker(engine, loaded)
    assert long.is_in.wait(60)
    short = engine.invert(order(loaded, steps=3)).result(60)
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
        engine.invert(order(loaded, steps=2, priority=p, age=a, on_progress=partial(follow, name)))
        for name, p, a in (("young", 5, 0.0), ("old", 5, 9.0), ("urgent", 9, 0.0))
    ]
    blockers[0].is_over.set()
    for future in waiting:
        future.result(60)
    blockers[1].is_over.set()
    assert begun == ["urgent", "old", "young"]


def test_the_cancelled_leave_the_line(engine: Engine, loaded: LoadedGenerator) -> None:
    """Nobody waits for a slot whose job is gone."""
    blockers = [Blocker(engine, loaded) for _ in range(2)]
    assert all(blocker.is_in.wait(60) for blocker in blockers)
    gone = threading.Event()
    waiting = engine.invert(order(loaded, cancelled=gone.is_set))
    gone.set()
    with pytest.raises(CancelledError):
        waiting.result(60)
    for blocker in blockers:
        blocker.is_over.set()


def test_errands_run_between_steps(engine: Engine, loaded: LoadedGenerator) -> None:
    """A restyle does not wait until an inversion is over, and what an errand raises is its owner's."""
    blocker = Blocker(engine, loaded)
    assert blocker.is_in.wait(60)
    assert engine.do(lambda: threading.current_thread().name, urgent=True) == "device"
    with pytest.raises(ZeroDivisionError):
        engine.do(lambda: 1 // 0)
    assert not blocker.future.done()
    blocker.is_over.set()


def test_urgent_errands_go_first(engine: Engine, in_thread: Callable[..., threading.Thread], until: Until) -> None:
    """A restyle overtakes the drawing of finished conversions."""
    is_free, done = threading.Event(), []
    in_thread(engine.do, is_free.wait)
    until(lambda: not engine._errands)
    for name, urgent in (("draw", False), ("restyle", True)):
        in_thread(lambda name=name, urgent=urgent: engine.do(lambda: done.append(name), urgent=urgent))
        until(lambda name=name: len(engine._errands) == (1 if name == "draw" else 2))
    is_free.set()
    until(lambda: len(done) == 2)
    assert done == ["restyle", "draw"]


def test_a_poisonous_order_fails_and_its_neighbours_do_not(metrics: Metrics, loaded: LoadedGenerator) -> None:
    """One order makes every step raise. All run alone once more: it fails, the other ends well."""

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
    futures = [engine.invert(order(loaded, seed=seed)) for seed in (666, 1)]
    engine.start()
    with pytest.raises(InversionError, match="unexpected fault"):
        futures[0].result(60)
    assert futures[1].result(60).unwrap().steps == 5
    engine.close()


def test_generators_have_their_own_slots_and_share_the_number(engine: Engine, gallery: Gallery) -> None:
    """Three orders in two generators and two slots: all end, never more than two at once."""
    pair = gallery.pair("anime")
    most = []

    def follow(_: Progress) -> None:
        most.append(engine.occupied)

    futures = [engine.invert(order(g, on_progress=follow)) for g in (pair.g_ori, pair.g_fin, pair.g_fin)]
    assert all(future.result(60).unwrap().steps == 5 for future in futures)
    assert max(most) == 2


def test_a_generator_that_cannot_be_set_up_fails_its_orders_only(metrics: Metrics, gallery: Gallery) -> None:
    """The other generator goes on."""
    pair = gallery.pair("anime")

    def build(generator: LoadedGenerator, width: int) -> Any:
        if generator is pair.g_fin:
            raise RuntimeError("damaged")
        return inversion_engine(generator, width)

    engine = Engine(2, build, metrics)
    engine.start()
    with pytest.raises(InversionError):
        engine.invert(order(pair.g_fin)).result(60)
    assert engine.invert(order(pair.g_ori)).result(60).unwrap().steps == 5
    engine.close()


def test_a_dead_device_frees_all_who_wait(metrics: Metrics, loaded: LoadedGenerator) -> None:
    """Nobody hangs on a thread that has ended, and nobody is let in any more."""

    def build(_generator: LoadedGenerator, _width: int) -> Any:
        raise torch.AcceleratorError("unspecified launch failure")

    engine = Engine(2, build, metrics)
    waiting = engine.invert(order(loaded))
    engine.start()
    with pytest.raises(DeviceLost):
        waiting.result(60)
    assert engine.failure is not None
    with pytest.raises(DeviceLost):
        engine.do(lambda: None)


def test_idle_costs_nothing(engine: Engine) -> None:
    """Without work the thread sleeps: an idle second takes less than a hundredth of the CPU's time."""
    engine.do(lambda: None)
    thread = next(t for t in threading.enumerate() if t.name == "device" and t.is_alive() and t is engine._thread)
    clock = time.pthread_getcpuclockid(thread.ident or 0) if hasattr(time, "pthread_getcpuclockid") else None
    if clock is None:
        pytest.skip(f"{os.uname().sysname} cannot tell a thread's CPU time")
    before = time.clock_gettime(clock)
    time.sleep(1.0)
    assert time.clock_gettime(clock) - before < 0.02
