"""Bias, leaky rectifier, gain and clamp in the order in which StyleGAN2 applies them."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LEAKY_SLOPE = 0.2
LEAKY_GAIN = math.sqrt(2.0)


def bias_leaky_relu(x: Tensor, bias: Tensor | None, *, gain: float = 1.0, clamp: float | None = None) -> Tensor:
    """Return ``clamp(leaky_relu(x + bias, 0.2) * sqrt(2) * gain)``.

    Args:
        x: # [N, C] or [N, C, H, W].
        bias: # [C], or None.
        gain: Extra factor, 1 / sqrt(2) in residual branches.
        clamp: Bound before ``gain``: values end in ``[-clamp * gain, clamp * gain]``. None: unbounded.
    """
    if bias is not None:
        x = x + _per_channel(bias, x)
    x = F.leaky_relu(x, LEAKY_SLOPE) * (LEAKY_GAIN * gain)
    return x if clamp is None else x.clamp(-clamp * gain, clamp * gain)


def add_bias(x: Tensor, bias: Tensor, *, clamp: float | None = None) -> Tensor:
    """Return ``clamp(x + bias)``: the linear activation of ToRGB. ``bias`` is # [C]."""
    x = x + _per_channel(bias, x)
    return x if clamp is None else x.clamp(-clamp, clamp)


def bias_leaky_relu_reference(
    x: Tensor, bias: Tensor | None, *, gain: float = 1.0, clamp: float | None = None
) -> Tensor:
    """The definition of :func:`bias_leaky_relu`, element by element."""
    if bias is not None:
        x = x + _per_channel(bias, x)
    x = torch.where(x >= 0, x, LEAKY_SLOPE * x) * LEAKY_GAIN * gain
    if clamp is not None:
        bound = torch.full_like(x, clamp * gain)
        x = torch.minimum(torch.maximum(x, -bound), bound)
    return x


def _per_channel(bias: Tensor, x: Tensor) -> Tensor:
    return bias.to(x.dtype).reshape(1, -1, *([1] * (x.ndim - 2)))
