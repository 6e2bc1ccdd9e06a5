"""Admit, step, retire: what happens to a request in the slot engine."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from nigaoe_core.errors import InversionError, NumericalFailure
from nigaoe_model.inversion.algorithm import Objective
from nigaoe_model.inversion.engine import SlotEngine
from nigaoe_model.inversion.request import Finished, InversionRequest, Progress, StopReason
from nigaoe_model.inversion.settings import InversionSettings, LossWeights, Plateau
from nigaoe_model.stylegan2.generator import Generator

EngineOf = Callable[[int], SlotEngine]
RequestsFor = Callable[[Tensor], list[InversionRequest]]


def run_all(engine: SlotEngine, requests: list[InversionRequest]) -> list[Finished]:
    """Run to the end; in the order of admission."""
    return sorted(engine.run(requests), key=lambda finished: finished.ticket.number)


def test_slots_fill_and_empty(engine_of: EngineOf, requests_for: RequestsFor, targets: Tensor) -> None:
    """Two slots take two requests and no third; when they end both are free again."""
    engine, (first, second, third) = engine_of(2), requests_for(targets[:3])
    tickets = [engine.admit(first), engine.admit(second)]
    assert (engine.occupied, engine.free) == (2, 0)
    with pytest.raises(RuntimeError, match="occupied"):
        engine.admit(third)
    finished: list[Finished] = []
    while engine.occupied:
        finished += engine.step()
    assert {f.ticket for f in finished} == set(tickets)
    assert engine.free == 2
    assert engine.step() == []


def test_offline_inversion_is_the_engine_run_until_empty(
    engine_of: EngineOf, requests_for: RequestsFor, targets: Tensor
) -> None:
    """Five faces pass through two slots; every one is answered once, and brought nearer to its own picture."""
    requests = requests_for(targets[:5])
    finished = run_all(engine_of(2), requests)
    assert [f.ticket.request for f in finished] == requests
    for f in finished:
        result = f.unwrap()
        assert f.stop_reason is result.stop_reason is StopReason.BUDGET
        assert result.steps == len(result.history) == 8
        assert result.distance_end < 0.9 * result.distance_start


def test_a_caller_without_gradients_gets_the_same_answer(engine_of: EngineOf, targets: Tensor) -> None:
    """The engine needs gradients of its own, whatever its caller has turned off."""
    settings = InversionSettings(steps=4)
    expected = run_all(engine_of(1), [InversionRequest(targets[0], settings)])[0].unwrap()
    with torch.no_grad():
        result = run_all(engine_of(1), [InversionRequest(targets[0], settings)])[0].unwrap()
    assert torch.equal(result.w_plus, expected.w_plus)


def test_requests_are_asked_for_only_when_a_slot_is_free(
    engine_of: EngineOf, requests_for: RequestsFor, targets: Tensor
) -> None:
    """A long queue is not loaded into memory at once: the next request is taken when a slot is free."""
    drawn = 0

    def queue() -> Iterator[InversionRequest]:
        nonlocal drawn
        for request in requests_for(targets[:5]):
            drawn += 1
            yield request

    results = engine_of(2).run(queue())
    next(results)
    assert drawn == 2
    assert len(list(results)) == 4


def test_the_best_iterate_is_kept(engine_of: EngineOf, targets: Tensor) -> None:
    """With a rate that overshoots wildly the result is still the lowest point of the history, and so is its picture."""
    engine = engine_of(1)
    wild = InversionSettings(steps=20, learning_rate=3.0, ramp_down=0)
    result = next(engine.run([InversionRequest(targets[0], wild)])).unwrap()
    assert result.distance_end == min(result.history) < result.history[-1]
    assert result.history[result.best_step] == result.distance_end
    assert result.distance_start == result.history[0]
    drawn = engine.generator.draw_image(result.w_plus[None])[0]
    torch.testing.assert_close(drawn, result.reconstruction, atol=1e-4, rtol=1e-4)
    once_more = InversionRequest(targets[0], InversionSettings(steps=1), start=result.w_plus)
    assert next(engine.run([once_more])).unwrap().distance_start == pytest.approx(result.distance_end, abs=1e-6)


def test_more_steps_never_end_worse(engine_of: EngineOf, targets: Tensor) -> None:
    """Along one run the distance of what would be returned only falls."""
    seen: list[Progress] = []
    settings = InversionSettings(steps=25, learning_rate=0.8)
    request = InversionRequest(targets[1], settings, on_progress=seen.append)
    result = next(engine_of(1).run([request])).unwrap()
    best = [progress.distance for progress in seen]
    assert best == sorted(best, reverse=True)
    assert best[-1] == result.distance_end
    assert [progress.step for progress in seen] == list(range(1, 26))


def test_the_mean_face_is_the_start_unless_another_is_given(
    engine_of: EngineOf, objective: Objective, targets: Tensor
) -> None:
    """One step measures the start and moves nowhere."""
    engine, look = engine_of(2), InversionSettings(steps=1)
    elsewhere = objective.prior.mean + 0.5
    from_mean, given = run_all(
        engine, [InversionRequest(targets[0], look), InversionRequest(targets[0], look, start=elsewhere)]
    )
    assert torch.equal(from_mean.unwrap().w_plus, objective.prior.mean)
    assert torch.equal(given.unwrap().w_plus, elsewhere)


def test_w_keeps_one_style_for_all_layers(engine_of: EngineOf, targets: Tensor, quick: InversionSettings) -> None:
    """Beside a w_plus slot, a w slot stays in W."""
    in_w = quick.model_copy(update={"space": "w"})
    first, second = run_all(engine_of(2), [InversionRequest(targets[0], s) for s in (in_w, quick)])
    w, w_plus = first.unwrap().w_plus, second.unwrap().w_plus
    assert torch.equal(w, w[:1].expand_as(w))
    assert (w_plus - w_plus[:1]).abs().max() > 0.01


def test_noise_maps_move_only_where_asked(engine_of: EngineOf, targets: Tensor, quick: InversionSettings) -> None:
    """An optimised slot returns maps of its own, normalised; its neighbour keeps the generator's."""
    moving = quick.model_copy(update={"noise_maps": "optimised"})
    engine = engine_of(2)
    first, second = run_all(engine, [InversionRequest(targets[0], s, seed=3) for s in (moving, quick)])
    result = first.unwrap()
    assert second.unwrap().noise is None
    assert result.noise is not None
    assert [tuple(m.shape[-2:]) for m in result.noise] == engine.generator.synthesis.noise_shapes
    for noise in result.noise:
        torch.testing.assert_close(noise.square().mean(), torch.tensor(1.0), atol=0.2, rtol=0)
    drawn = engine.generator.draw_image(result.w_plus[None], [noise[None] for noise in result.noise])[0]
    torch.testing.assert_close(drawn, result.reconstruction, atol=1e-4, rtol=1e-4)


def test_the_seed_decides_all_chance(engine_of: EngineOf, targets: Tensor) -> None:
    """With noise on w the same seed finds the same latent again, another seed another one."""
    noisy = InversionSettings(steps=6, w_noise=0.2)
    a, b, c = (
        f.unwrap().w_plus
        for f in run_all(engine_of(3), [InversionRequest(targets[0], noisy, seed=seed) for seed in (1, 1, 2)])
    )
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"target_distance": 4.0}, StopReason.TARGET_REACHED),
        ({"plateau": Plateau(window=3, epsilon=0.99)}, StopReason.PLATEAU),
        ({}, StopReason.BUDGET),
    ],
)
def test_stop_rules(engine_of: EngineOf, targets: Tensor, rule: dict[str, object], reason: StopReason) -> None:
    """Close enough, no progress any more, or out of steps: each says so."""
    settings = InversionSettings(steps=12).model_copy(update=rule)
    result = next(engine_of(1).run([InversionRequest(targets[0], settings)])).unwrap()
    assert result.stop_reason is reason
    assert result.steps == {StopReason.TARGET_REACHED: 1, StopReason.PLATEAU: 4, StopReason.BUDGET: 12}[reason]


def test_a_deadline_returns_the_best_so_far(tiny_generator: Generator, objective: Objective, targets: Tensor) -> None:
    """The clock passes the deadline during the third step: three steps are done, and their best is the result."""
    now = 0.0
    engine = SlotEngine(tiny_generator, objective, 1, clock=lambda: now)
    engine.admit(InversionRequest(targets[0], InversionSettings(steps=50), deadline=2.5))
    finished: list[Finished] = []
    while not finished:
        now += 1.0
        finished = engine.step()
    result = finished[0].unwrap()
    assert (result.stop_reason, result.steps, result.seconds) == (StopReason.DEADLINE, 3, 3.0)


def test_a_cancelled_slot_leaves_before_the_next_step(
    engine_of: EngineOf, requests_for: RequestsFor, targets: Tensor
) -> None:
    """Cancelling works twice and after the end; the neighbour goes on to its own end."""
    engine = engine_of(2)
    first, second = (engine.admit(request) for request in requests_for(targets[:2]))
    engine.step()
    engine.cancel(first)
    engine.cancel(first)
    (gone,) = engine.step()
    assert (gone.ticket, gone.stop_reason) == (first, StopReason.CANCELLED)
    assert gone.unwrap().steps == 1
    engine.cancel(first)
    rest = [f for _ in range(8) for f in engine.step()]
    assert [(f.ticket, f.stop_reason) for f in rest] == [(second, StopReason.BUDGET)]


def test_cancelled_before_the_first_step_there_is_no_result(
    engine_of: EngineOf, requests_for: RequestsFor, targets: Tensor
) -> None:
    """Nothing was drawn, so nothing is returned, and unwrapping says why."""
    engine = engine_of(1)
    engine.cancel(engine.admit(requests_for(targets[:1])[0]))
    (gone,) = engine.step()
    assert (gone.result, gone.error) == (None, None)
    with pytest.raises(InversionError, match="cancelled"):
        gone.unwrap()


def test_the_probe_cancels(engine_of: EngineOf, requests_for: RequestsFor, targets: Tensor) -> None:
    """A request may be asked instead of being told."""
    answers = iter([False, False, True])
    request = replace(requests_for(targets[:1])[0], cancelled=lambda: next(answers))
    (finished,) = engine_of(1).run([request])
    assert (finished.stop_reason, finished.unwrap().steps) == (StopReason.CANCELLED, 2)


@pytest.mark.parametrize("poison", ["target", "start"])
def test_a_poisonous_slot_fails_alone(
    engine_of: EngineOf, requests_for: RequestsFor, targets: Tensor, poison: str
) -> None:
    """Numbers that are none retire one slot with NumericalFailure; the others end as if it had never been there."""
    healthy = requests_for(targets[:3])
    tensor = targets[3] if poison == "target" else torch.zeros(6, 8)
    broken = replace(requests_for(targets[3:4])[0], **{poison: torch.full_like(tensor, math.nan)})
    alone = run_all(engine_of(3), healthy)
    beside = run_all(engine_of(4), [healthy[0], broken, *healthy[1:]])
    failed = beside.pop(1)
    assert failed.stop_reason is StopReason.FAILED
    assert isinstance(failed.error, NumericalFailure)
    for a, b in zip(alone, beside, strict=True):
        assert torch.equal(a.unwrap().w_plus, b.unwrap().w_plus)


@pytest.mark.parametrize("callback", ["on_progress", "cancelled"])
def test_what_a_callback_raises_fails_its_own_request(
    engine_of: EngineOf, requests_for: RequestsFor, targets: Tensor, callback: str
) -> None:
    """The caller's exception is kept as the cause; the neighbour ends well."""

    def burst(*_: object) -> bool:
        raise OSError("the client is gone")

    first, second = requests_for(targets[:2])
    failed, fine = run_all(engine_of(2), [replace(first, **{callback: burst}), second])
    assert isinstance(failed.error, InversionError)
    assert isinstance(failed.error.__cause__, OSError)
    with pytest.raises(InversionError):
        failed.unwrap()
    assert fine.unwrap().stop_reason is StopReason.BUDGET


def test_progress_and_previews_come_when_due(engine_of: EngineOf, targets: Tensor, quick: InversionSettings) -> None:
    """Every third step and at the end; every sixth with a picture."""
    seen: list[Progress] = []
    request = InversionRequest(targets[0], quick, on_progress=seen.append, progress_interval=3, preview_interval=6)
    result = next(engine_of(1).run([request])).unwrap()
    assert [p.step for p in seen] == [3, 6, 8]
    assert [p.preview is not None for p in seen] == [False, True, False]
    preview = seen[1].preview
    assert preview is not None
    assert preview.shape == (3, 16, 16)
    assert preview.abs().max() <= 1
    assert {(p.steps, p.start_distance) for p in seen} == {(8, result.distance_start)}


def test_a_preview_is_a_snapshot(engine_of: EngineOf, targets: Tensor, quick: InversionSettings) -> None:
    """What a client shows does not change under it while the optimisation goes on."""
    seen: list[Tensor] = []
    copies: list[Tensor] = []

    def keep(progress: Progress) -> None:
        assert progress.preview is not None
        seen.append(progress.preview)
        copies.append(progress.preview.clone())

    list(engine_of(1).run([InversionRequest(targets[0], quick, on_progress=keep, preview_interval=1)]))
    assert all(torch.equal(a, b) for a, b in zip(seen, copies, strict=True))
    assert not torch.equal(seen[0], seen[-1])


def test_a_batch_limit_changes_no_answer(engine_of: EngineOf, requests_for: RequestsFor, targets: Tensor) -> None:
    """Passing through the networks in smaller parts gives the same bits, whatever the parts."""
    whole, parts = engine_of(5), engine_of(5)
    parts.batch_limit = 2
    noisy = [
        replace(r, settings=r.settings.model_copy(update={"noise_maps": "optimised"}))
        for r in requests_for(targets[:5])
    ]
    for a, b in zip(run_all(whole, noisy), run_all(parts, noisy), strict=True):
        assert torch.equal(a.unwrap().w_plus, b.unwrap().w_plus)


def test_a_step_that_ran_out_of_memory_can_be_repeated(
    engine_of: EngineOf, targets: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody moved, nobody was lost, not even a slot that was cancelled just before; the answers stay the same."""
    noisy = InversionSettings(steps=5, w_noise=0.2)
    requests = [InversionRequest(t, noisy, seed=s) for s, t in enumerate(targets[:3])]
    undisturbed = run_all(engine_of(3), requests[:2])
    engine = engine_of(3)
    *_, doomed = [engine.admit(request) for request in requests]
    finished = engine.step()
    engine.cancel(doomed)
    with monkeypatch.context() as patch:
        patch.setattr(torch.autograd, "grad", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError()))
        with pytest.raises(torch.OutOfMemoryError):
            engine.step()
    while engine.occupied:
        finished += engine.step()
    assert [f.stop_reason for f in finished if f.ticket is doomed] == [StopReason.CANCELLED]
    survivors = sorted((f for f in finished if f.ticket is not doomed), key=lambda f: f.ticket.number)
    for a, b in zip(undisturbed, survivors, strict=True):
        assert torch.equal(a.unwrap().w_plus, b.unwrap().w_plus)


def test_requests_that_do_not_fit_are_refused(engine_of: EngineOf, targets: Tensor, quick: InversionSettings) -> None:
    """Wrong shapes and terms that the objective lacks are errors at the door; no slot is lost."""
    engine = engine_of(1)
    lacking = quick.model_copy(update={"weights": LossWeights(discriminator=1)})
    for request in (
        InversionRequest(targets[0, :, :8, :8], quick),
        InversionRequest(targets[0], quick, region=torch.ones(16, 16)),
        InversionRequest(targets[0], quick, start=torch.zeros(8)),
        InversionRequest(targets[0], lacking),
    ):
        with pytest.raises(ValueError, match=r"must be|built without"):
            engine.admit(request)
    assert engine.free == 1


def test_an_engine_needs_a_slot(tiny_generator: Generator, objective: Objective) -> None:
    """Width 0 is a mistake."""
    with pytest.raises(ValueError, match="at least one"):
        SlotEngine(tiny_generator, objective, 0)
