import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nigaoe_core.errors import InversionError
from nigaoe_model.inversion.engine import SlotEngine
from nigaoe_model.inversion.request import InversionRequest
from nigaoe_model.inversion.settings import InversionSettings
from nigaoe_model.portrait.convert import inversion_engine
from nigaoe_model.portrait.pair import LoadedGenerator
from nigaoe_worker.model_cache import ModelCache
from nigaoe_worker.slot_batch import DeviceLost, SlotBatch, SlotRequest

Trouble = Callable[[int], None]


@pytest.fixture
def loaded(models: ModelCache) -> LoadedGenerator:
    return models.pair("anime").g_ori


def request(loaded: LoadedGenerator, seed: int = 0, steps: int = 4) -> SlotRequest:
    target = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return SlotRequest(loaded, InversionRequest(target, InversionSettings(steps=steps), seed=seed))


def troubled(loaded: LoadedGenerator, width: int, trouble: Trouble) -> SlotEngine:
    """An engine whose drawing runs into trouble that depends on how many samples it draws."""
    engine = inversion_engine(loaded, width)
    draw = engine._synthesis

    def draw_or_fail(w_plus: Tensor, noise: object) -> Tensor:
        trouble(w_plus.shape[0])
        return draw(w_plus, noise)

    engine._synthesis = draw_or_fail
    return engine


def run(batch: SlotBatch, requests: list[SlotRequest]) -> None:
    for each in requests:
        batch.admit(each)
    while batch.occupied:
        assert batch.step() == []


def test_too_little_memory_changes_no_answer(loaded: LoadedGenerator) -> None:
    """Four samples do not fit, two do: the batch is halved, nobody loses a step, and the results are the same."""

    def trouble(samples: int) -> None:
        if samples > 2:
            raise torch.OutOfMemoryError("not enough for three")

    batch, plain = SlotBatch(loaded, troubled(loaded, 4, trouble)), SlotBatch(loaded, inversion_engine(loaded, 4))
    requests, twins = [request(loaded, seed) for seed in range(4)], [request(loaded, seed) for seed in range(4)]
    run(batch, requests)
    run(plain, twins)
    assert batch.batch_limit == 2
    for mine, twin in zip(requests, twins, strict=True):
        torch.testing.assert_close(
            mine.future.result().unwrap().w_plus, twin.future.result().unwrap().w_plus, atol=1e-4, rtol=0
        )


def test_a_cancelled_neighbour_of_a_crowded_step_is_answered(loaded: LoadedGenerator) -> None:
    """The step that retired it ran out of memory afterwards and could not say so."""
    troubles = [torch.OutOfMemoryError("once")]

    def trouble(_samples: int) -> None:
        if troubles:
            raise troubles.pop()

    batch, gone = SlotBatch(loaded, troubled(loaded, 3, trouble)), request(loaded)
    gone.inversion = dataclasses.replace(gone.inversion, cancelled=lambda: True)
    others = [request(loaded, seed) for seed in (1, 2)]
    run(batch, [gone, *others])
    assert gone.future.cancelled()
    assert all(each.future.result().unwrap().steps == 4 for each in others)


def test_the_batch_is_widened_again(loaded: LoadedGenerator) -> None:
    """After some good steps the memory may have come back: twice as many, then all of them."""
    troubles = [torch.OutOfMemoryError("once"), torch.OutOfMemoryError("twice")]

    def trouble(samples: int) -> None:
        if samples > 1 and troubles:
            raise troubles.pop()

    batch = SlotBatch(loaded, troubled(loaded, 4, trouble))
    batch._widen_after = 1  # A relapse doubles it: 2, then 4 good steps a widening.
    for seed in range(4):
        batch.admit(request(loaded, seed, steps=40))
    limits = []
    for _ in range(12):
        batch.step()
        limits.append(batch.batch_limit)
    assert limits[:2] == [2, 1]
    assert limits[-1] is None
    assert limits.index(2, 2) < limits.index(None)


def test_one_sample_that_does_not_fit_fails_alone(loaded: LoadedGenerator) -> None:
    """There is nothing left to halve; the message says what is short."""

    def trouble(_samples: int) -> None:
        raise torch.OutOfMemoryError("not enough for one")

    batch, only = SlotBatch(loaded, troubled(loaded, 2, trouble)), request(loaded)
    run(batch, [only])
    with pytest.raises(InversionError, match="too little memory"):
        only.future.result()


def test_a_fault_makes_all_suspects_and_one_culprit(loaded: LoadedGenerator) -> None:
    """A batch that raises says not whose fault it was: all go back, and alone only the culprit fails."""

    def trouble(_samples: int) -> None:
        raise ValueError("poison")

    batch = SlotBatch(loaded, troubled(loaded, 2, trouble))
    requests = [request(loaded, seed) for seed in range(2)]
    for each in requests:
        batch.admit(each)
    assert batch.step() == requests
    assert all(each.is_suspect and not each.future.done() for each in requests)
    alone = SlotBatch(loaded, troubled(loaded, 1, trouble), is_quarantine=True)
    run(alone, [requests[0]])
    with pytest.raises(InversionError, match="unexpected fault"):
        requests[0].future.result()


def short_of_memory(batch: SlotBatch, most: int) -> list[int]:
    """Let the batch's engine admit only while so few faces are drawn at once; return how many were, at every try."""
    engine, tries = batch._engine, []
    begin = engine._starter.begin

    def begin_or_fail(request: InversionRequest) -> object:
        tries.append(engine.batch_limit or engine.occupied)
        if tries[-1] > most:
            raise torch.OutOfMemoryError("not enough for one more")
        return begin(request)

    engine._starter.begin = begin_or_fail
    return tries


def test_memory_that_is_short_at_admission_narrows_the_batch(loaded: LoadedGenerator) -> None:
    """The newcomer does not fit beside four at once; beside one at a time it does, and nobody's answer suffers."""
    batch = SlotBatch(loaded, inversion_engine(loaded, 5))
    requests = [request(loaded, seed) for seed in range(5)]
    for each in requests[:4]:
        assert batch.admit(each)
    tries = short_of_memory(batch, 1)
    assert batch.admit(requests[4])
    assert (tries, batch.batch_limit, batch.occupied) == ([4, 2, 1], 1, 5)
    while batch.occupied:
        assert batch.step() == []
    assert all(each.future.result().unwrap().steps == 4 for each in requests)


def test_whoever_does_not_fit_beside_others_waits(loaded: LoadedGenerator) -> None:
    """It is not failed for the memory that its neighbours need: when they have left, it has enough."""
    batch, only, newcomer = SlotBatch(loaded, inversion_engine(loaded, 2)), request(loaded, 1), request(loaded, 2)
    batch.admit(only)
    short_of_memory(batch, 0)
    assert not batch.admit(newcomer)
    assert not newcomer.future.done()
    while batch.occupied:
        batch.step()
    assert batch.admit(newcomer)
    assert batch.occupied == 1


def test_a_request_that_does_not_fit_alone_fails(loaded: LoadedGenerator) -> None:
    """There is nobody to wait for; the message says what is short."""
    batch, only = SlotBatch(loaded, inversion_engine(loaded, 2)), request(loaded)
    short_of_memory(batch, -1)
    assert batch.admit(only)
    with pytest.raises(InversionError, match="too little memory"):
        only.future.result()


def test_not_a_number_hurts_nobody_else(loaded: LoadedGenerator) -> None:
    """A target of nothing but NaN fails in its slot, its neighbour ends well."""
    good, bad = request(loaded, 1), request(loaded, 2)
    bad.inversion.target.fill_(float("nan"))
    run(SlotBatch(loaded, inversion_engine(loaded, 2)), [good, bad])
    assert good.future.result().unwrap().steps == 4
    assert bad.future.result().error is not None


def test_a_wrong_shape_fails_at_the_door(loaded: LoadedGenerator) -> None:
    """A request that does not fit the generator never gets a slot."""
    batch = SlotBatch(loaded, inversion_engine(loaded, 2))
    wrong = SlotRequest(loaded, InversionRequest(torch.zeros(3, 64, 64)))
    batch.admit(wrong)
    assert batch.occupied == 0
    with pytest.raises(InversionError):
        wrong.future.result()


def test_a_lost_device_is_not_recovered_here(loaded: LoadedGenerator) -> None:
    """After an error of the accelerator itself only a fresh process helps."""

    def trouble(_samples: int) -> None:
        raise torch.AcceleratorError("an illegal memory access was encountered")

    batch = SlotBatch(loaded, troubled(loaded, 2, trouble))
    batch.admit(request(loaded))
    with pytest.raises(DeviceLost):
        batch.step()
