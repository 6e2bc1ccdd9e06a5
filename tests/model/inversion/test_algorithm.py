"""One step of a batch of searches: schedules, best iterates, and nothing that the host must answer."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nigaoe_model.features import STRIDES, shared_features
from nigaoe_model.inversion.adam import BatchedAdam, Pace
from nigaoe_model.inversion.algorithm import (
    Objective,
    evaluate,
    keep_best,
    learning_rate_at,
    step,
    w_noise_at,
    weight_columns,
)
from nigaoe_model.inversion.batch import Evaluation, Iterate, Move, SearchState, StepInput, StepSizes
from nigaoe_model.inversion.encoder.network import Encoder
from nigaoe_model.inversion.settings import InversionSettings, LossWeights
from nigaoe_model.stylegan2.architecture import Architecture
from nigaoe_model.stylegan2.discriminator import Discriminator
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.stylegan2.inference.synthesis import FrozenSynthesis
from nigaoe_model.stylegan2.latent_statistics import LatentStatistics


def test_the_rate_rises_stays_and_falls() -> None:
    """Five warm-up steps, a plateau at the peak, a cosine over the last quarter that ends at zero."""
    settings = InversionSettings(steps=100, learning_rate=0.2, warm_up=0.05, ramp_down=0.25)
    rates = [learning_rate_at(settings, step) for step in range(100)]
    assert rates[:5] == pytest.approx([0.04, 0.08, 0.12, 0.16, 0.2])
    assert rates[5:75] == pytest.approx([0.2] * 70)
    assert rates[74:] == sorted(rates[74:], reverse=True)
    assert rates[99] == pytest.approx(0)


def test_a_constant_rate_is_possible() -> None:
    """Without warm-up and ramp-down the rate never changes."""
    settings = InversionSettings(steps=10, learning_rate=0.3, warm_up=0, ramp_down=0)
    assert {learning_rate_at(settings, step) for step in range(10)} == {0.3}


def test_noise_fades_with_the_square_of_the_time_left() -> None:
    """The start is drawn as it is; then the noise begins, and ends where it was told to."""
    settings = InversionSettings(steps=100, w_noise=0.05, w_noise_end=0.75)
    assert w_noise_at(settings, 0) == 0
    assert w_noise_at(settings, 30) == pytest.approx(0.05 * 0.6**2)
    assert [w_noise_at(settings, step) for step in (75, 99)] == [0, 0]
    assert w_noise_at(InversionSettings(), 1) == 0


def test_the_best_iterate_is_replaced_row_by_row() -> None:
    """A nearer iterate takes the place of the best one; one as near, a further one, or one without numbers does not."""
    state = SearchState(
        BatchedAdam.at(torch.zeros(4, 6, 8)),
        None,
        Iterate(torch.zeros(4, 6, 8), torch.zeros(4, 3, 16, 16)),
        torch.tensor([0.5, 0.5, 0.5, math.inf]),
    )
    measures = torch.tensor([[0.4, 1.0, 1.0], [0.5, 1.0, 1.0], [0.6, 1.0, 1.0], [0.4, 1.0, math.inf]])
    present = Iterate(torch.ones(4, 6, 8), torch.ones(4, 3, 16, 16))
    keep_best(state, Evaluation(present, measures, []))
    for column in state.best.columns:
        assert column.flatten(1).mean(dim=1).tolist() == [1, 0, 0, 0]
    assert state.best_distance.tolist() == pytest.approx([0.4, 0.5, 0.5, math.inf])


class Copies(TorchDispatchMode):
    """Notes every tensor that goes from one device to another."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {t.device.type for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        made = {t.device.type for t in tree_leaves(result) if isinstance(t, Tensor)}
        if len(given | made) > 1:
            self.seen.append(str(func))
        return result


def test_a_step_asks_the_host_for_nothing(
    tiny: Architecture, tiny_generator: Generator, statistics: LatentStatistics, tiny_encoder: Encoder, targets: Tensor
) -> None:
    """On a device that has shapes but no numbers a step takes place with all terms: nothing waits for a number."""
    objective = Objective(
        statistics,
        shared_features(STRIDES, "meta"),
        perceptual_size=32,
        discriminator=Discriminator(tiny).requires_grad_(requires_grad=False).to("meta"),
        encoder=tiny_encoder,
    ).to("meta")
    synthesis = FrozenSynthesis(tiny_generator.to("meta").synthesis)
    weights = LossWeights(discriminator=1, in_domain=1)
    given = StepInput(
        torch.zeros(3, 6, 8, device="meta"),
        [torch.zeros(3, 1, side, side, device="meta") for side in (4, 8, 8, 16, 16)],
        objective.describe(targets[:3].to("meta")),
        weight_columns((weights,) * 3, torch.device("meta")),
    )
    best = Iterate(given.w_plus.clone(), torch.zeros(3, 3, 16, 16, device="meta"), given.noise)
    noise = [BatchedAdam.at(maps) for maps in given.noise or []]
    state = SearchState(BatchedAdam.at(given.w_plus), noise, best, torch.zeros(3, device="meta"))
    sizes = StepSizes.of([Move(Pace(0, 0.1), tied=False, noise=True)] * 3, 1.0, given.w_plus)
    seen: list[Evaluation] = []

    def evaluated(w_plus: Tensor, maps: Any) -> Evaluation:
        seen.append(evaluate(synthesis, objective, replace(given, w_plus=w_plus, noise=maps)))
        return seen[-1]

    with Copies() as copies:
        step(state, torch.zeros(3, 1, 8, device="meta"), sizes, evaluated)
    assert set(given.weights) == set(LossWeights.model_fields)
    gradients = seen[0].gradients
    assert [gradient.shape for gradient in gradients] == [t.shape for t in (given.w_plus, *(given.noise or []))]
    assert copies.seen == []
