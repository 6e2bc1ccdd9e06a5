"""Upsample, filter, downsample: the FIR resampling that keeps StyleGAN2 free of aliasing.

Zhang, "Making Convolutional Networks Shift-Invariant Again", 2019; Karras et al. 2020, section 3.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def fir_kernel(taps: tuple[float, ...]) -> Tensor:
    """Return the separable two-dimensional kernel of ``taps``, normalised to sum 1. # [k, k]."""
    row = torch.tensor(taps, dtype=torch.float32)
    kernel = torch.outer(row, row)
    return kernel / kernel.sum()


def filter2d(x: Tensor, kernel: Tensor, *, padding: tuple[int, int], gain: float = 1.0) -> Tensor:
    """Convolve every channel with one kernel.

    Args:
        x: # [N, C, H, W].
        kernel: # [k, k].
        padding: Zeros before and after, the same on both axes.
        gain: Factor on the result.

    Returns:
        # [N, C, H + before + after - k + 1, ...].
    """
    filtered: Tensor = _Filter.apply(x, (kernel * gain).flip((0, 1)), *padding)
    return filtered


class _Filter(torch.autograd.Function):
    """Correlate every channel with one constant kernel; the gradient is the same operation with the kernel turned.

    PyTorch's own double backward of a depthwise convolution loops over channels, because it also prepares the kernel's
    gradient: R1 and path length took twice as long.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, before: int, after: int) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.padding = (before, after)
        channels = x.shape[1]
        filters = weight.to(x.dtype)[None, None].expand(channels, 1, -1, -1)
        if before == after >= 0:
            return F.conv2d(x, filters, padding=before, groups=channels)
        return F.conv2d(F.pad(x, (before, after, before, after)), filters, groups=channels)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (weight,) = ctx.saved_tensors
        before, after = ctx.padding
        reach = weight.shape[-1] - 1
        return _Filter.apply(gradients[0], weight.flip((0, 1)), reach - before, reach - after), None, None, None


def upsample2d(x: Tensor, kernel: Tensor) -> Tensor:
    """Double the size: insert zeros, filter with ``4 * kernel``. # [N, C, H, W] -> [N, C, 2H, 2W]."""
    upsampled: Tensor = _Spread.apply(x, kernel * 4)
    return upsampled


def downsample2d(x: Tensor, kernel: Tensor) -> Tensor:
    """Halve the size: filter, keep every second pixel. # [N, C, H, W] -> [N, C, H/2, W/2]."""
    downsampled: Tensor = _Gather.apply(x, kernel.flip((0, 1)))
    return downsampled


class _Gather(torch.autograd.Function):
    """Correlate every channel with one constant kernel, with stride 2; the gradient is :class:`_Spread`.

    As with :class:`_Filter`, PyTorch's own double backward would loop over channels.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        channels, padding = x.shape[1], (weight.shape[-1] - 2) // 2
        filters = weight.to(x.dtype)[None, None].expand(channels, 1, -1, -1)
        return F.conv2d(x, filters, stride=2, padding=padding, groups=channels)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (weight,) = ctx.saved_tensors
        return _Spread.apply(gradients[0], weight), None


class _Spread(torch.autograd.Function):
    """Scatter every pixel of every channel by one constant kernel, with stride 2; the gradient is :class:`_Gather`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        channels, padding = x.shape[1], (weight.shape[-1] - 2) // 2
        filters = weight.to(x.dtype)[None, None].expand(channels, 1, -1, -1)
        return F.conv_transpose2d(x, filters, stride=2, padding=padding, groups=channels)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (weight,) = ctx.saved_tensors
        return _Gather.apply(gradients[0], weight), None


def upsampling_matrix(side: int, kernel: Tensor) -> Tensor:
    """Return U with ``U @ image @ U.T`` equal to :func:`upsample2d` of pictures of ``side`` pixels. # [2 side, side].

    Args:
        side: In pixels.
        kernel: Separable, as :func:`fir_kernel` makes it. # [t, t].
    """
    row = kernel.sum(dim=1).double()  # the kernel along one axis, of sum 1
    lines = torch.eye(side, dtype=torch.float64)[:, None]  # [side, 1, side]
    spread = F.conv_transpose1d(lines, 2.0 * row[None, None], stride=2, padding=(len(row) - 2) // 2)
    return spread[:, 0].t().to(kernel.dtype).contiguous()


def upfirdn2d_reference(x: Tensor, kernel: Tensor, *, up: int, down: int, padding: tuple[int, int]) -> Tensor:
    """The definition: insert ``up - 1`` zeros after each sample, pad, convolve, keep every ``down``-th sample.

    All fast functions of this file are special cases of it.
    """
    batch, channels, height, width = x.shape
    grid = x.new_zeros(batch, channels, height * up, width * up)
    grid[:, :, ::up, ::up] = x
    before, after = padding
    grid = F.pad(grid, (before, after, before, after))
    taps = kernel.shape[-1]
    out_height, out_width = grid.shape[2] - taps + 1, grid.shape[3] - taps + 1
    total = x.new_zeros(batch, channels, out_height, out_width)
    for i in range(taps):
        for j in range(taps):
            # A convolution reads the kernel backwards.
            weight = kernel[taps - 1 - i, taps - 1 - j]
            total = total + weight * grid[:, :, i : i + out_height, j : j + out_width]
    return total[:, :, ::down, ::down]
