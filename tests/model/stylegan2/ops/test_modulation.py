"""Scaling activations against scaling weights, in float64."""

import pytest
import torch

from nigaoe_model.stylegan2.ops.modulation import modulated_conv2d, modulated_conv2d_reference
from nigaoe_model.stylegan2.ops.resample import fir_kernel


@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("up", [False, True])
def test_fast_form_equals_filters_of_its_own_for_every_sample(demodulate: bool, size: int, up: bool) -> None:
    """Equation 1 and 3 of the paper, sample by sample, are what the batched form computes."""
    x = torch.randn(3, 4, 5, 5, dtype=torch.float64)
    weight = torch.randn(6, 4, size, size, dtype=torch.float64)
    style = torch.randn(3, 4, dtype=torch.float64)
    kernel = fir_kernel((1.0, 3.0, 3.0, 1.0)).double() if up else None
    fast = modulated_conv2d(x, weight, style, demodulate=demodulate, up_kernel=kernel)
    slow = modulated_conv2d_reference(x, weight, style, demodulate=demodulate, up_kernel=kernel)
    assert fast.shape[-1] == (10 if up else 5)
    torch.testing.assert_close(fast, slow)


def test_gradients_equal_too() -> None:
    """Inversion differentiates by the style and training by the weight; both forms agree to the second order."""
    weight = torch.randn(2, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    style = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64)

    def second_order(form: object) -> tuple[torch.Tensor, ...]:
        y = form(x, weight, style).square().sum()  # type: ignore[operator]  # two functions of one signature
        first = torch.autograd.grad(y, (style,), create_graph=True)[0]
        return torch.autograd.grad(first.square().sum(), (style, weight))

    for fast, slow in zip(second_order(modulated_conv2d), second_order(modulated_conv2d_reference), strict=True):
        torch.testing.assert_close(fast, slow)


def test_half_precision_survives_large_styles() -> None:
    """Styles that would overflow fp16 activations are normalised first; demodulation cancels the factor."""
    x = torch.randn(1, 8, 4, 4)
    weight, style = torch.randn(8, 8, 3, 3), torch.full((1, 8), 3e4)
    exact = modulated_conv2d(x, weight, style)
    reduced = modulated_conv2d(x.half(), weight, style)
    assert reduced.isfinite().all()
    torch.testing.assert_close(reduced.float(), exact, atol=0.02, rtol=0.02)
