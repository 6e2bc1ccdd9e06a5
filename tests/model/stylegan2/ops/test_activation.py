"""The fused activation against its definition, in float64."""

import pytest
import torch

from nigaoe_model.stylegan2.ops.activation import add_bias, bias_leaky_relu, bias_leaky_relu_reference


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4, 5)])
@pytest.mark.parametrize("gain", [1.0, 0.5**0.5])
@pytest.mark.parametrize("clamp", [None, 0.4])
def test_fast_form_equals_the_definition(shape: tuple[int, ...], gain: float, clamp: float | None) -> None:
    """Whatever the shape, gain or clamp, both forms give the same numbers."""
    x = torch.randn(shape, dtype=torch.float64)
    bias = torch.randn(3, dtype=torch.float64)
    fast = bias_leaky_relu(x, bias, gain=gain, clamp=clamp)
    torch.testing.assert_close(fast, bias_leaky_relu_reference(x, bias, gain=gain, clamp=clamp))


def test_gain_keeps_the_variance_of_a_normal_input() -> None:
    """The factor sqrt(2) makes up for what the rectifier takes away (He et al. 2015), to within a few percent."""
    x = torch.randn(100_000, 1, dtype=torch.float64)
    energy = bias_leaky_relu(x, None).square().mean()
    assert energy == pytest.approx(1.04, abs=0.03)


def test_rgb_bias_is_linear_and_clamped() -> None:
    """ToRGB adds its bias a channel and bounds the colours where the architecture asks for it."""
    x = torch.zeros(1, 3, 1, 1)
    colours = add_bias(x, torch.tensor([-2.0, 0.5, 2.0]), clamp=1.0)
    assert colours.flatten().tolist() == [-1.0, 0.5, 1.0]
