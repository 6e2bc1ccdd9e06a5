"""Moves of the picture plane as 3 x 3 matrices, and one resampling that carries all of them out.

Matrices map output coordinates to input coordinates (the inverse of the move), in units where the picture spans
[-1, 1]; a chain of moves is the product of their matrices in the order in which the moves are made.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from model.training.augment.wavelets import SYM6, low_pass, separable


def identity(count: int, device: torch.device) -> Tensor:
    """Return # [N, 3, 3]."""
    return torch.eye(3, device=device).repeat(count, 1, 1)


def inverse_translation(x: Tensor, y: Tensor) -> Tensor:
    """Move the picture by x to the right and y down, in half widths. Both # [N]; returns # [N, 3, 3]."""
    matrix = identity(len(x), x.device)
    matrix[:, 0, 2], matrix[:, 1, 2] = -x, -y
    return matrix


def inverse_scaling(x: Tensor, y: Tensor) -> Tensor:
    """Enlarge the picture by x and y. Both # [N]; returns # [N, 3, 3]."""
    matrix = identity(len(x), x.device)
    matrix[:, 0, 0], matrix[:, 1, 1] = 1 / x, 1 / y
    return matrix


def inverse_rotation(angle: Tensor) -> Tensor:
    """Turn the picture by ``angle`` # [N] radians. Returns # [N, 3, 3]."""
    matrix = identity(len(angle), angle.device)
    cos, sin = torch.cos(angle), torch.sin(angle)
    matrix[:, 0, 0], matrix[:, 0, 1] = cos, sin
    matrix[:, 1, 0], matrix[:, 1, 1] = -sin, cos
    return matrix


def warp(image: Tensor, inverse: Tensor) -> Tensor:
    """Resample pictures # [N, C, R, R] under inverse moves # [N, 3, 3].

    Pictures are mirrored at their borders and sampled at twice their resolution between two sym6 low-passes, so that
    no move leaves a trace of aliasing that the discriminator could see (Karras et al. 2020b, appendix B).
    """
    side = image.shape[-1]
    taps = low_pass(SYM6).to(image)
    reach = len(taps) // 2
    margin = side // 2
    padded = _continued(image, margin)
    fine = upsample(padded, taps)  # [N, C, 4R, 4R]
    # The fine picture spans twice the width of the original one, so coordinates halve.
    coordinates = _output_grid(image, reach) @ inverse.transpose(1, 2)[:, None]  # [N, S, S, 3]
    moved = F.grid_sample(fine, _mirrored(coordinates[..., :2] / 2), mode="bilinear", align_corners=False)
    return downsample(moved, taps, side)


def upsample(x: Tensor, taps: Tensor) -> Tensor:
    """Double the size with a low-pass of an even number of taps. # [N, C, H, W] -> [N, C, 2H, 2W]."""
    batch, channels, height, width = x.shape
    grid = x.new_zeros(batch, channels, height, 2, width, 2)
    grid[:, :, :, 0, :, 0] = x
    half = len(taps) // 2
    return separable(grid.reshape(batch, channels, 2 * height, 2 * width), taps * 2, before=half, after=half - 1)


def downsample(x: Tensor, taps: Tensor, side: int) -> Tensor:
    """Halve the size, using up the border that :func:`_output_grid` drew. # [N, C, 2R + t - 2, ...] -> [N, C, R, R]."""
    filtered = separable(x, taps.flip(0), before=0, after=0)
    return filtered[:, :, ::2, ::2][:, :, :side, :side]


def _output_grid(image: Tensor, reach: int) -> Tensor:
    """Positions of twice as many samples as the output has, with a border for the filter. # [1, S, S, 3]."""
    side = image.shape[-1]
    first, last = -(reach - 1), 2 * side + reach - 1
    steps = torch.arange(first, last, device=image.device, dtype=image.dtype)
    line = (steps + 0.5) / side - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x, y, torch.ones_like(x)], dim=-1)[None]


def _continued(image: Tensor, margin: int) -> Tensor:
    """Continue pictures beyond their borders by their mirror images. # [N, C, R, R] -> [N, C, R + 2 margin, ...]."""
    side = image.shape[-1]
    steps = torch.arange(-margin, side + margin, device=image.device) % (2 * side)
    index = torch.where(steps >= side, 2 * side - 1 - steps, steps)
    return image[:, :, index][:, :, :, index]


def _mirrored(grid: Tensor) -> Tensor:
    """Fold coordinates beyond the padded picture back into it (period 2 between mirror images of the original)."""
    # The original picture spans [-1/2, 1/2] here; its mirror images continue it with period 2.
    folded = torch.remainder(grid + 0.5, 2.0)
    return torch.where(folded > 1.0, 2.0 - folded, folded) - 0.5
