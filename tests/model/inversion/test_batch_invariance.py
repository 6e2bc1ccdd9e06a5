"""Batching never changes an answer: alone, in a full batch, and when jobs join and leave between steps."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nigaoe_model.features import shared_features
from nigaoe_model.inversion.algorithm import Objective
from nigaoe_model.inversion.engine import SlotEngine
from nigaoe_model.inversion.request import Finished, InversionRequest, InversionResult
from nigaoe_model.inversion.settings import InversionSettings, LossWeights
from nigaoe_model.stylegan2.architecture import Architecture
from nigaoe_model.stylegan2.checkpoint import load_checkpoint
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.stylegan2.latent_statistics import measure_latents, sample_w

TOLERANCE = 1e-4


def agree(first: InversionResult, second: InversionResult) -> None:
    """Latents and pictures agree within 1e-4 of their range, and so does everything that is reported."""
    assert (first.steps, first.best_step, first.stop_reason) == (second.steps, second.best_step, second.stop_reason)
    for a, b in ((first.w_plus, second.w_plus), (first.reconstruction, second.reconstruction)):
        assert (a - b).abs().max() <= TOLERANCE * (a.max() - a.min())
    assert first.history == pytest.approx(second.history, rel=TOLERANCE)


def alone(engine_of: Callable[[int], SlotEngine], request: InversionRequest) -> InversionResult:
    """Run one request in an engine of its own."""
    return next(engine_of(1).run([request])).unwrap()


def interleaved(engine: SlotEngine, requests: Sequence[InversionRequest], joins: Sequence[int]) -> list[Finished]:
    """Run requests of which each waits until its step of the whole engine, or until a slot is free."""
    waiting = sorted(zip(joins, range(len(requests)), strict=True))
    finished: list[Finished] = []
    clock = 0
    while waiting or engine.occupied:
        while waiting and engine.free and waiting[0][0] <= clock:
            engine.admit(requests[waiting.pop(0)[1]])
        finished += engine.step()
        clock += 1
    return finished


@pytest.fixture(scope="module")
def small_engine_of(tiny: Architecture) -> Callable[[int], SlotEngine]:
    """Engines of one small generator; the same for all examples of the property."""
    torch.manual_seed(0)
    generator = Generator(tiny).eval().requires_grad_(requires_grad=False)
    for parameter in (p for name, p in generator.named_parameters() if name.endswith("noise_strength")):
        parameter.fill_(0.1)
    objective = Objective(measure_latents(generator, samples=300), shared_features(), perceptual_size=32)
    return lambda width: SlotEngine(generator, objective, width)


job = st.builds(
    lambda steps, rate, betas, space, noise_maps, w_noise, prior: InversionSettings(
        steps=steps,
        learning_rate=rate,
        beta1=betas[0],
        beta2=betas[1],
        space=space,
        noise_maps=noise_maps,
        w_noise=w_noise,
        weights=LossWeights(mahalanobis=prior),
    ),
    steps=st.integers(1, 9),
    rate=st.sampled_from([0.03, 0.1, 0.5]),
    betas=st.sampled_from([(0.9, 0.999), (0.8, 0.95)]),
    space=st.sampled_from(["w", "w_plus"]),
    noise_maps=st.sampled_from(["fixed", "fixed", "optimised"]),
    w_noise=st.sampled_from([0.0, 0.1]),
    prior=st.sampled_from([0.0, 0.01]),
)


@pytest.mark.slow
@settings(max_examples=8)
@given(jobs=st.lists(st.tuples(job, st.integers(0, 12)), min_size=2, max_size=5), width=st.integers(2, 4))
def test_any_schedule_of_joining_and_leaving(
    small_engine_of: Callable[[int], SlotEngine], jobs: list[tuple[InversionSettings, int]], width: int
) -> None:
    """Jobs of different spaces, noises, rates and lengths come and go; each gets the answer that it gets alone."""
    engine = small_engine_of(width)
    w = sample_w(engine.generator.mapping, len(jobs), seed=5)
    targets = engine.generator.draw_image(w).clamp(-1, 1)
    requests = [InversionRequest(t, s, seed=n) for n, (t, (s, _)) in enumerate(zip(targets, jobs, strict=True))]
    finished = interleaved(engine, requests, [join for _, join in jobs])
    assert len(finished) == len(jobs)
    for f in finished:
        agree(f.unwrap(), alone(small_engine_of, f.ticket.request))


@pytest.mark.slow
def test_eight_faces_together_and_one_by_one(weights: Path) -> None:
    """The demo generator, eight faces, together, one by one, and joining every second step."""
    checkpoint = load_checkpoint(weights / "g_ori.safetensors")
    generator = checkpoint.build_generator()
    assert checkpoint.statistics is not None
    objective = Objective(checkpoint.statistics, shared_features())
    faces = other_faces(generator, 8)
    requests = [InversionRequest(face, InversionSettings(steps=6), seed=n) for n, face in enumerate(faces)]
    singly = [next(SlotEngine(generator, objective, 1).run([request])).unwrap() for request in requests]
    for joins in ([0] * 8, range(0, 16, 2)):
        for f in interleaved(SlotEngine(generator, objective, 8), requests, joins):
            agree(f.unwrap(), singly[requests.index(f.ticket.request)])


@pytest.mark.slow
def test_a_hundred_steps_do_not_drift(weights: Path) -> None:
    """Optimisation amplifies the last bit without mercy; after a hundred steps a job still ends where it ends alone."""
    checkpoint = load_checkpoint(weights / "g_ori.safetensors")
    generator = checkpoint.build_generator()
    assert checkpoint.statistics is not None
    objective = Objective(checkpoint.statistics, shared_features())
    first, *others = other_faces(generator, 3)
    long = InversionRequest(first, InversionSettings(steps=100, w_noise=0.02), seed=1)
    short = [InversionRequest(face, InversionSettings(steps=20 + 15 * n), seed=n) for n, face in enumerate(others)]
    singly = next(SlotEngine(generator, objective, 1).run([long])).unwrap()
    together = interleaved(SlotEngine(generator, objective, 3), [long, *short], [0, 3, 40])
    agree(singly, together[-1].unwrap())


def other_faces(generator: Generator, count: int) -> Tensor:
    """Faces outside of what the generator can draw exactly: drawn, mirrored and reddened. # [count, 3, R, R]."""
    drawn = generator.draw_image(sample_w(generator.mapping, count, seed=21))
    tint = torch.tensor([0.2, -0.1, -0.1])[:, None, None]
    return (drawn.flip(3) + tint).clamp(-1, 1)
