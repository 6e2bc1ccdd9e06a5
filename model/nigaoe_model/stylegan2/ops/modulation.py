"""Convolution whose weights are scaled by a style, sample by sample.

Karras et al. 2020, section 2.2, equations 1 to 3. The fast form scales activations instead of weights: the same
numbers without a grouped convolution, so that one batch is one dense matrix product.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from nigaoe_model.stylegan2.ops.folding import folded_upsampling
from nigaoe_model.stylegan2.ops.resample import filter2d

DEMODULATION_EPSILON = 1e-8


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    style: Tensor,
    *,
    demodulate: bool = True,
    up_kernel: Tensor | None = None,
    up_taps: Tensor | None = None,
) -> Tensor:
    """Modulate, convolve, demodulate.

    Args:
        x: # [N, I, H, W].
        weight: Already scaled for the equalised learning rate. # [O, I, k, k], k odd.
        style: Scale of each input channel. # [N, I].
        demodulate: Return every output channel to unit variance (eq. 3).
        up_kernel: FIR kernel; when given the output is twice as large. # [t, t].
        up_taps: From :func:`nigaoe_model.stylegan2.ops.folding.upsampling_taps`: the filter becomes part of a 3 x 3
            convolution.

    Returns:
        # [N, O, H, W], or # [N, O, 2H, 2W] with ``up_kernel``.
    """
    if x.dtype in (torch.float16, torch.bfloat16) and demodulate:
        # Demodulation cancels any common factor, so keep half-precision activations near one.
        style = style / style.abs().amax(dim=1, keepdim=True).clamp_min(1e-6)
    scaled = x * style.to(x.dtype)[:, :, None, None]  # [N, I, H, W]
    if up_taps is not None:
        y = folded_upsampling(scaled, weight, up_taps)
    else:
        y = _convolve(scaled, weight.to(x.dtype), up_kernel)  # [N, O, H', W']
    if demodulate:
        y = y * demodulation(weight, style).to(x.dtype)[:, :, None, None]
    return y


def demodulation(weight: Tensor, style: Tensor) -> Tensor:
    """Return 1 / norm of each modulated filter: ``rsqrt(sum_i s_i^2 sum_k w_oik^2)``. # [N, O]."""
    energy = weight.square().sum(dim=(2, 3))  # [O, I]
    return torch.rsqrt(style.square() @ energy.t() + DEMODULATION_EPSILON)


def modulated_conv2d_reference(
    x: Tensor, weight: Tensor, style: Tensor, *, demodulate: bool = True, up_kernel: Tensor | None = None
) -> Tensor:
    """The definition of :func:`modulated_conv2d`: every sample has filters of its own (eq. 1 and 3)."""
    pictures = []
    for sample, scale in zip(x, style, strict=True):
        filters = weight * scale[None, :, None, None]
        if demodulate:
            norm = filters.square().sum(dim=(1, 2, 3), keepdim=True)
            filters = filters / torch.sqrt(norm + DEMODULATION_EPSILON)
        pictures.append(_convolve(sample[None], filters, up_kernel))
    return torch.cat(pictures)


def _convolve(x: Tensor, weight: Tensor, up_kernel: Tensor | None) -> Tensor:
    size = weight.shape[-1]
    if up_kernel is None:
        return F.conv2d(x, weight, padding=size // 2)
    taps = up_kernel.shape[-1]
    y = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)  # [N, O, 2H + k - 2, ...]
    spare = (taps - 2) - (size - 1)
    return filter2d(y, up_kernel, padding=((spare + 1) // 2 + 1, spare // 2 + 1), gain=4.0)
