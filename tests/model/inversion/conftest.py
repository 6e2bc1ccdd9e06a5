"""A tiny generator's engine, and targets that it can reach."""

from collections.abc import Callable

import pytest
from torch import Tensor

from nigaoe_model.features import shared_features
from nigaoe_model.inversion.algorithm import Objective
from nigaoe_model.inversion.engine import SlotEngine
from nigaoe_model.inversion.request import InversionRequest
from nigaoe_model.inversion.settings import InversionSettings
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.stylegan2.latent_statistics import LatentStatistics, measure_latents, sample_w


@pytest.fixture
def statistics(tiny_generator: Generator) -> LatentStatistics:
    """Moments of the tiny generator's w."""
    return measure_latents(tiny_generator, samples=500)


@pytest.fixture
def objective(statistics: LatentStatistics) -> Objective:
    """The real feature network, looking at 32 pixels to be quick."""
    return Objective(statistics, shared_features(), perceptual_size=32)


@pytest.fixture
def engine_of(tiny_generator: Generator, objective: Objective) -> Callable[[int], SlotEngine]:
    """A function that makes an engine of any width."""
    return lambda width: SlotEngine(tiny_generator, objective, width)


@pytest.fixture
def targets(tiny_generator: Generator) -> Tensor:
    """Pictures that the tiny generator drew. # [8, 3, 16, 16]."""
    w = sample_w(tiny_generator.mapping, 8, seed=11)
    return tiny_generator.draw_image(w).clamp(-1, 1)


@pytest.fixture
def quick() -> InversionSettings:
    """A few brisk steps."""
    return InversionSettings(steps=8, learning_rate=0.1)


@pytest.fixture
def requests_for(quick: InversionSettings) -> Callable[[Tensor], list[InversionRequest]]:
    """A function that makes one quick request a picture, each with its own seed."""
    return lambda pictures: [InversionRequest(picture, quick, seed=seed) for seed, picture in enumerate(pictures)]
