import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nigaoe_core.errors import InversionError
from nigaoe_model.inversion.engine import SlotEngine
from nigaoe_model.inversion.request import InversionRequest
from nigaoe_model.inversion.settings import InversionSettings
from nigaoe_model.portrait.conversion import inversion_engine
from nigaoe_model.portrait.pair import LoadedGenerator
from nigaoe_worker.model_cache import Gallery
from nigaoe_worker.requests import InversionOrder
from nigaoe_worker.slot_batch import Bench, DeviceLost

Trouble = Callable[[int], None]


@pytest.fixture
def loaded(gallery: Gallery) -> LoadedGenerator:
    return gallery.pair("anime").g_ori


def order(loaded: LoadedGenerator, seed: int = 0, steps: int = 4) -> InversionOrder:
    target = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return InversionOrder(loaded, InversionRequest(target, InversionSettings(steps=steps), seed=seed))


def troubled(loaded: LoadedGenerator, width: int, trouble: Trouble) -> SlotEngine:
    """An engine whose drawing runs into trouble that depends on how many samples it draws."""
    engine = inversion_engine(loaded, width)
    draw = engine._synthesis

    def draw_or_fail(w_plus: Tensor, noise: object) -> Tensor:
        trouble(w_plus.shape[0])
        return draw(w_plus, noise)

    engine._synthesis = draw_or_fail
    return engine


def run(bench: Bench, orders: list[InversionOrder]) -> None:
    for each in orders:
        bench.admit(each)
    while bench.occupied:
        assert bench.step() == []


def test_too_little_memory_changes_no_answer(loaded: LoadedGenerator) -> None:
    """Four samples do not fit, two do: the batch is halved, nobody loses a step, and the results are the same."""

    def trouble(samples: int) -> None:
        if samples > 2:
            raise torch.OutOfMemoryError("no room for three")

    bench, plain = Bench(loaded, troubled(loaded, 4, trouble)), Bench(loaded, inversion_engine(loaded, 4))
    orders, twins = [order(loaded, seed) for seed in range(4)], [order(loaded, seed) for seed in range(4)]
    run(bench, orders)
    run(plain, twins)
    assert bench.batch_limit == 2
    for mine, twin in zip(orders, twins, strict=True):
        torch.testing.assert_close(
            mine.future.result().unwrap().w_plus, twin.future.result().unwrap().w_plus, atol=1e-4, rtol=0
        )


def test_a_cancelled_neighbour_of_a_crowded_step_is_answered(loaded: LoadedGenerator) -> None:
    """The step that retired it ran out of memory afterwards and could not say so."""
    troubles = [torch.OutOfMemoryError("once")]

    def trouble(_samples: int) -> None:
        if troubles:
            raise troubles.pop()

    bench, gone = Bench(loaded, troubled(loaded, 3, trouble)), order(loaded)
    gone.request = dataclasses.replace(gone.request, cancelled=lambda: True)
    others = [order(loaded, seed) for seed in (1, 2)]
    run(bench, [gone, *others])
    assert gone.future.cancelled()
    assert all(each.future.result().unwrap().steps == 4 for each in others)


def test_the_batch_is_widened_again(loaded: LoadedGenerator) -> None:
    """After some calm steps the memory may have come back: twice as many, then all of them."""
    troubles = [torch.OutOfMemoryError("once"), torch.OutOfMemoryError("twice")]

    def trouble(samples: int) -> None:
        if samples > 1 and troubles:
            raise troubles.pop()

    bench = Bench(loaded, troubled(loaded, 4, trouble))
    bench._calm_needed = 1  # A relapse doubles it: 2, then 4 calm steps a widening.
    for seed in range(4):
        bench.admit(order(loaded, seed, steps=40))
    limits = []
    for _ in range(12):
        bench.step()
        limits.append(bench.batch_limit)
    assert limits[:2] == [2, 1]
    assert limits[-1] is None
    assert limits.index(2, 2) < limits.index(None)


def test_one_sample_that_does_not_fit_fails_alone(loaded: LoadedGenerator) -> None:
    """There is nothing left to halve; the message says what is short."""

    def trouble(_samples: int) -> None:
        raise torch.OutOfMemoryError("no room at all")

    bench, only = Bench(loaded, troubled(loaded, 2, trouble)), order(loaded)
    run(bench, [only])
    with pytest.raises(InversionError, match="too little memory"):
        only.future.result()


def test_a_fault_makes_all_suspects_and_one_culprit(loaded: LoadedGenerator) -> None:
    """A batch that raises says not whose fault it was: all go back, and alone only the culprit fails."""

    def trouble(_samples: int) -> None:
        raise ValueError("poison")

    bench = Bench(loaded, troubled(loaded, 2, trouble))
    orders = [order(loaded, seed) for seed in range(2)]
    for each in orders:
        bench.admit(each)
    assert bench.step() == orders
    assert all(each.is_suspect and not each.future.done() for each in orders)
    alone = Bench(loaded, troubled(loaded, 1, trouble), is_quarantine=True)
    run(alone, [orders[0]])
    with pytest.raises(InversionError, match="unexpected fault"):
        orders[0].future.result()


def short_of_memory(bench: Bench, most: int) -> list[int]:
    """Let the bench's engine admit only while so few faces are drawn at once; tell how many were, at every try."""
    engine, tries = bench._engine, []
    begin = engine._starter.begin

    def begin_or_fail(request: InversionRequest) -> object:
        tries.append(engine.batch_limit or engine.occupied)
        if tries[-1] > most:
            raise torch.OutOfMemoryError("no room for one more")
        return begin(request)

    engine._starter.begin = begin_or_fail
    return tries


def test_memory_that_is_short_at_admission_narrows_the_batch(loaded: LoadedGenerator) -> None:
    """The newcomer does not fit beside four at once; beside one at a time it does, and nobody's answer suffers."""
    bench = Bench(loaded, inversion_engine(loaded, 5))
    orders = [order(loaded, seed) for seed in range(5)]
    for each in orders[:4]:
        assert bench.admit(each)
    tries = short_of_memory(bench, 1)
    assert bench.admit(orders[4])
    assert (tries, bench.batch_limit, bench.occupied) == ([4, 2, 1], 1, 5)
    while bench.occupied:
        assert bench.step() == []
    assert all(each.future.result().unwrap().steps == 4 for each in orders)


def test_whoever_does_not_fit_beside_others_waits(loaded: LoadedGenerator) -> None:
    """It is not failed for the memory that its neighbours need: when they have left, it has room."""
    bench, only, newcomer = Bench(loaded, inversion_engine(loaded, 2)), order(loaded, 1), order(loaded, 2)
    bench.admit(only)
    short_of_memory(bench, 0)
    assert not bench.admit(newcomer)
    assert not newcomer.future.done()
    while bench.occupied:
        bench.step()
    assert bench.admit(newcomer)
    assert bench.occupied == 1


def test_whoever_does_not_fit_alone_fails(loaded: LoadedGenerator) -> None:
    """There is nobody to wait for; the message says what is short."""
    bench, only = Bench(loaded, inversion_engine(loaded, 2)), order(loaded)
    short_of_memory(bench, -1)
    assert bench.admit(only)
    with pytest.raises(InversionError, match="too little memory"):
        only.future.result()


def test_not_a_number_hurts_nobody_else(loaded: LoadedGenerator) -> None:
    """A target of nothing but NaN fails in its slot, its neighbour ends well."""
    good, bad = order(loaded, 1), order(loaded, 2)
    bad.request.target.fill_(float("nan"))
    run(Bench(loaded, inversion_engine(loaded, 2)), [good, bad])
    assert good.future.result().unwrap().steps == 4
    assert bad.future.result().error is not None


def test_a_wrong_shape_fails_at_the_door(loaded: LoadedGenerator) -> None:
    """An order that does not fit the generator never gets a slot."""
    bench = Bench(loaded, inversion_engine(loaded, 2))
    wrong = InversionOrder(loaded, InversionRequest(torch.zeros(3, 64, 64)))
    bench.admit(wrong)
    assert bench.occupied == 0
    with pytest.raises(InversionError):
        wrong.future.result()


def test_a_lost_device_is_not_for_the_bench_to_mend(loaded: LoadedGenerator) -> None:
    """After an error of the accelerator itself only a fresh process helps."""

    def trouble(_samples: int) -> None:
        raise torch.AcceleratorError("an illegal memory access was encountered")

    bench = Bench(loaded, troubled(loaded, 2, trouble))
    bench.admit(order(loaded))
    with pytest.raises(DeviceLost):
        bench.step()
