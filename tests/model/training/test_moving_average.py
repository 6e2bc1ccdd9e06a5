"""The moving average of weights."""

import pytest
import torch

from nigaoe_model.stylegan2.architecture import Architecture
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.training.moving_average import ema_decay, update_average


def test_a_weight_counts_half_after_the_half_life() -> None:
    """1,000 images in steps of 10 leave half of the start."""
    decay = ema_decay(10, 1000, images_seen=10**9, rampup=0.05)
    assert decay**100 == pytest.approx(0.5)


def test_the_half_life_ramps_up() -> None:
    """After 400 images it is at most 20."""
    assert ema_decay(10, 1000, images_seen=400, rampup=0.05) == pytest.approx(0.5 ** (10 / 20))


def test_the_average_moves_and_takes_buffers(tiny_architecture: Architecture) -> None:
    """Parameters are mixed, buffers copied."""
    average, generator = Generator(tiny_architecture), Generator(tiny_architecture)
    before = average.synthesis.block(8).conv1.conv.weight.clone()
    update_average(average, generator, torch.tensor(0.25))
    expected = 0.75 * before + 0.25 * generator.synthesis.block(8).conv1.conv.weight
    assert torch.allclose(average.synthesis.block(8).conv1.conv.weight, expected, atol=1e-6)
    assert torch.equal(average.synthesis.block(8).conv1.noise_const, generator.synthesis.block(8).conv1.noise_const)


def test_what_does_not_learn_is_not_touched(tiny_architecture: Architecture) -> None:
    """With names given, other parameters and all buffers keep every bit."""
    average, generator = Generator(tiny_architecture), Generator(tiny_architecture)
    before = {name: tensor.clone() for name, tensor in average.state_dict().items()}
    generator.synthesis.block(16).torgb.bias.data += 1
    update_average(average, generator, torch.tensor(0.5), frozenset({"synthesis.blocks.b16.torgb.bias"}))
    changed = [n for n, t in average.state_dict().items() if not torch.equal(t, before[n])]
    assert changed == ["synthesis.blocks.b16.torgb.bias"]
