"""Orthogonal filters with which pictures are resampled and split into octaves, without aliasing.

Daubechies, "Ten Lectures on Wavelets", 1992, symlets of order 2 and 6 (low-pass, unit sum of squares).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

SYM2 = (-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025)
SYM6 = (
    0.01540410932702737,
    0.00349071208421747,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.02106029251230056,
    0.04472490177066578,
    0.0017677118642428,
    -0.00780070832503415,
)
BANDS = 4


def low_pass(taps: tuple[float, ...]) -> Tensor:
    """Return the filter with sum 1. # [taps]."""
    row = torch.tensor(taps, dtype=torch.float64)
    return (row / row.sum()).float()


def separable(x: Tensor, taps: Tensor, *, before: int, after: int) -> Tensor:
    """Filter every channel along both axes, with zeros around. # [N, C, H, W], taps # [t] or # [N, t]."""
    batch, channels = x.shape[:2]
    rows = taps.to(x).expand(batch, -1)[:, None].expand(-1, channels, -1).reshape(batch * channels, 1, 1, -1)
    x = x.reshape(1, batch * channels, *x.shape[2:])
    x = F.conv2d(F.pad(x, (before, after, 0, 0)), rows, groups=batch * channels)
    x = F.conv2d(F.pad(x, (0, 0, before, after)), rows.transpose(2, 3), groups=batch * channels)
    return x.reshape(batch, channels, *x.shape[2:])


def octave_bands() -> Tensor:
    """Return one filter an octave, low to high: [0, pi/8], [pi/8, pi/4], [pi/4, pi/2], [pi/2, pi]. # [4, taps].

    With the half-band filter L (the autocorrelation of sym2) at ever doubled spacing, the products L(w), L(w) L(2w),
    L(w) L(2w) L(4w) are low-passes; the differences of neighbours are the bands. Their sum is the identity.
    """
    row = torch.tensor(SYM2, dtype=torch.float64)
    half_band = torch.tensor([float((row[: len(row) - abs(k)] * row[abs(k) :]).sum()) for k in range(-3, 4)]) / 2
    passes = [torch.ones(1)]
    for octave in range(BANDS - 1):
        passes.append(_convolved(passes[-1], _spread(half_band, 2**octave)))
    size = passes[-1].numel()
    padded = [F.pad(p, ((size - p.numel()) // 2,) * 2) for p in passes]
    return torch.stack([padded[3], padded[2] - padded[3], padded[1] - padded[2], padded[0] - padded[1]])


def _convolved(first: Tensor, second: Tensor) -> Tensor:
    return F.conv1d(first[None, None], second.flip(0)[None, None], padding=second.numel() - 1)[0, 0]


def _spread(taps: Tensor, spacing: int) -> Tensor:
    spread = torch.zeros((taps.numel() - 1) * spacing + 1)
    spread[::spacing] = taps
    return spread
