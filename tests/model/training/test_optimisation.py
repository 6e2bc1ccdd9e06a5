"""Adam's state on disk, and the moving average of weights."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from nigaoe_model.stylegan2.architecture import Architecture
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.training.optimisation import adam_tensors, ema_decay, restore_adam, update_average
from nigaoe_model.training.run_state import Progress, load_state, save_state


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


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_an_optimiser_goes_on_in_every_bit(layout: torch.memory_format, tmp_path: Path) -> None:
    """Also where filters lie in memory otherwise than files keep them."""

    def optimised(weight: Tensor) -> tuple[nn.Parameter, torch.optim.Adam]:
        parameter = nn.Parameter(weight.clone(memory_format=torch.contiguous_format).contiguous(memory_format=layout))
        return parameter, torch.optim.Adam([parameter], lr=0.1, fused=True)

    random = torch.Generator().manual_seed(0)
    gradients = [torch.randn(4, 3, 3, 3, generator=random).contiguous(memory_format=layout) for _ in range(4)]
    whole, adam = optimised(torch.zeros(4, 3, 3, 3))
    for gradient in gradients[:2]:
        whole.grad = gradient
        adam.step()
    save_state(tmp_path, Progress(), {"w": whole.detach(), **adam_tensors(adam, ["w"])})
    found = load_state(tmp_path)
    assert found is not None
    resumed, again = optimised(found[1]["w"])
    restore_adam(again, ["w"], found[1])
    for gradient in gradients[2:]:
        for parameter, optimiser in ((whole, adam), (resumed, again)):
            parameter.grad = gradient
            optimiser.step()
    assert torch.equal(resumed, whole)
