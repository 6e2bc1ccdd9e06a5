"""Layers around linear maps, each one node of the autograd graph: fewer passes over memory than op by op."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nigaoe_model.stylegan2.inference.linear_maps import LinearMap
from nigaoe_model.stylegan2.ops.activation import LEAKY_SLOPE


def styled_layer(x: Tensor, style: Tensor, demodulation: Tensor, shift: Tensor, linear: LinearMap) -> Tensor:
    """Modulate, convolve, demodulate, add noise and bias, rectify (Karras et al. 2020, figure 2 d).

    The rectifier's gain is already part of ``demodulation`` and ``shift``: a leaky rectifier passes positive factors.

    Args:
        x: # [N, I, H, W].
        style: # [N, I].
        demodulation: # [N, O].
        shift: Noise and bias. # [N or 1, O, H', W'].
        linear: The convolution.

    Returns:
        # [N, O, H', W'].
    """
    out: Tensor = _StyledLayer.apply(x, style, demodulation, shift, linear)
    return out


class _StyledLayer(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, style: Tensor, demodulation: Tensor, shift: Tensor, linear: LinearMap) -> Tensor:
        style, demodulation = style[:, :, None, None], demodulation[:, :, None, None]
        convolved = linear(x * style)
        out = F.leaky_relu_(torch.addcmul(shift, convolved, demodulation), LEAKY_SLOPE)
        ctx.save_for_backward(x, style, demodulation, convolved, out)
        ctx.linear = linear
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, Tensor, Tensor | None, None]:
        x, style, demodulation, convolved, out = ctx.saved_tensors
        shifted = torch.ops.aten.leaky_relu_backward(gradients[0], out, LEAKY_SLOPE, True)  # noqa: FBT003 - by position
        for_demodulation = (shifted * convolved).sum(dim=(2, 3))
        modulated = ctx.linear.adjoint(shifted * demodulation)
        for_style = (modulated * x).sum(dim=(2, 3))
        for_x = modulated.mul_(style) if ctx.needs_input_grad[0] else None
        return for_x, for_style, for_demodulation, shifted if ctx.needs_input_grad[3] else None, None


class FoldedConv(nn.Module):
    """A convolution with its batch normalisation folded in, and ReLU6 where it had one.

    Args:
        linear: The convolution, scaled by the normalisation.
        bias: What the normalisation adds. # [O].
        clip: Apply ReLU6.
    """

    bias: Tensor

    def __init__(self, linear: LinearMap, bias: Tensor, *, clip: bool) -> None:
        super().__init__()
        self.linear = linear
        self.register_buffer("bias", bias[:, None, None])
        self.clip = clip

    def forward(self, x: Tensor) -> Tensor:
        """Map # [N, I, H, W] to # [N, O, H', W']."""
        out: Tensor = _FoldedConv.apply(x, self.linear, self.bias, self.clip)
        return out


class _FoldedConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, linear: LinearMap, bias: Tensor, clip: bool) -> Tensor:  # noqa: FBT001 - by position
        out = linear(x).add_(bias)
        if clip:
            F.hardtanh_(out, 0.0, 6.0)
            ctx.save_for_backward(out)
        ctx.linear, ctx.clip = linear, clip
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        gradient = gradients[0]
        if ctx.clip:
            gradient = torch.ops.aten.hardtanh_backward(gradient, ctx.saved_tensors[0], 0.0, 6.0)
        return ctx.linear.adjoint(gradient), None, None, None
