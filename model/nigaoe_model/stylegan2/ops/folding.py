"""A 3 x 3 convolution and the FIR filter beside it as one convolution, for GPUs.

cuDNN's kernels for grouped convolutions, which a filter of every channel is, are slow where activations lie channels
last: the filters took 15 ms of a step's 40 on an H100. Two convolutions in a row are one with the convolution of their
kernels. Here it has 6 x 6 taps and a stride of two, so it splits into four 3 x 3 convolutions, one a phase of the finer
grid: a single dense convolution from or to four times as many channels. That is four times the arithmetic, which tensor
cores have to spare and CPUs have not. The slow reference is the filter itself
(:mod:`nigaoe_model.stylegan2.ops.resample`).
"""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

TAPS: Final = 4
"""Of the FIR filter along each axis; other filters are not folded."""


def pays(x: Tensor) -> bool:
    """Whether to fold for these activations: on a GPU in half precision, or channels last."""
    if x.device.type != "cuda":
        return False
    return x.dtype in (torch.bfloat16, torch.float16) or x.is_contiguous(memory_format=torch.channels_last)


def upsampling_taps(kernel: Tensor) -> Tensor | None:
    """Return what turns a 3 x 3 kernel into those of the four phases after doubling. # [9, 4 * 9]; None: not foldable.

    Args:
        kernel: FIR filter, normalised to sum 1. # [4, 4].
    """
    if kernel.shape[-1] != TAPS:
        return None
    # Output row 2y + r reads input row y + a - 1 by tap r + 4 - 2a of the long kernel, and columns likewise.
    long = _long_kernels(4.0 * kernel).reshape(9, 3, 2, 3, 2)  # tap 2j + r along each axis
    return long.flip((1, 3)).permute(0, 2, 4, 1, 3).reshape(9, 36)


def downsampling_taps(kernel: Tensor) -> Tensor | None:
    """Return what turns a 3 x 3 kernel into those of the four phases before halving. # [9, 4 * 9]; None: not foldable.

    Args:
        kernel: FIR filter, normalised to sum 1. # [4, 4].
    """
    if kernel.shape[-1] != TAPS:
        return None
    # Input row 2(y + a - 1) + r is read by tap 2a + r of the long kernel, and columns likewise.
    long = _long_kernels(kernel.flip((0, 1))).reshape(9, 3, 2, 3, 2)
    return long.permute(0, 2, 4, 1, 3).reshape(9, 36)


def folded_upsampling(x: Tensor, weight: Tensor, taps: Tensor) -> Tensor:
    """Convolve, transposed with stride 2, and filter.

    Args:
        x: # [N, I, H, W].
        weight: # [O, I, 3, 3].
        taps: From :func:`upsampling_taps`.

    Returns:
        # [N, O, 2H, 2W].
    """
    wide, narrow = weight.shape[:2]
    filters = (weight.flatten(2) @ taps).reshape(wide, narrow, 4, 9).permute(2, 0, 1, 3)  # [4, O, I, 9]
    phases = F.conv2d(x, filters.reshape(4 * wide, narrow, 3, 3).to(x.dtype), padding=1)  # [N, 4 * O, H, W]
    batch, _, height, width = phases.shape
    fine = phases.permute(0, 2, 3, 1).reshape(batch, height, width, 2, 2, wide).permute(0, 1, 3, 2, 4, 5)
    return fine.reshape(batch, 2 * height, 2 * width, wide).permute(0, 3, 1, 2)


def folded_downsampling(x: Tensor, weight: Tensor, taps: Tensor) -> Tensor:
    """Filter, and convolve with stride 2.

    Args:
        x: # [N, I, 2H, 2W].
        weight: # [O, I, 3, 3].
        taps: From :func:`downsampling_taps`.

    Returns:
        # [N, O, H, W].
    """
    wide, narrow = weight.shape[:2]
    filters = (weight.flatten(2) @ taps).reshape(wide, narrow, 4, 9).transpose(1, 2)  # [O, 4, I, 9]
    batch, _, height, width = x.shape
    coarse = x.permute(0, 2, 3, 1).reshape(batch, height // 2, 2, width // 2, 2, narrow).permute(0, 1, 3, 2, 4, 5)
    phases = coarse.reshape(batch, height // 2, width // 2, 4 * narrow).permute(0, 3, 1, 2)  # [N, 4 * I, H, W]
    return F.conv2d(phases, filters.reshape(wide, 4 * narrow, 3, 3).to(x.dtype), padding=1)


def folded_shortcut(x: Tensor, weight: Tensor, kernel: Tensor) -> Tensor:
    """Filter, and convolve with a 1 x 1 kernel and stride 2: one convolution with the filter's taps.

    Args:
        x: # [N, I, 2H, 2W].
        weight: # [O, I, 1, 1].
        kernel: FIR filter of an even number of taps. # [t, t].

    Returns:
        # [N, O, H, W].
    """
    filters = (weight * kernel.flip((0, 1))).to(x.dtype)  # [O, I, t, t]
    return F.conv2d(x, filters, stride=2, padding=(kernel.shape[-1] - 2) // 2)


def _long_kernels(kernel: Tensor) -> Tensor:
    """Return the convolution of each of the nine unit kernels with a filter. # [9, 6, 6]."""
    units = torch.eye(9, dtype=kernel.dtype).reshape(9, 1, 3, 3)
    return F.conv2d(units, kernel.flip((0, 1))[None, None], padding=TAPS - 1)[:, 0]
