"""Moves of the picture plane as 3 x 3 matrices, and one resampling that carries all of them out.

Matrices map output coordinates to input coordinates (the inverse of the move), in units where the picture spans
[-1, 1]; a chain of moves is the product of their matrices in the order in which the moves are made.
"""

from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from nigaoe_model.training.augment.wavelets import separable


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


@dataclass(frozen=True, slots=True)
class Resampling:
    """The two low-passes of a warp as matrices along each axis: few launches, no convolution of many groups.

    Attributes:
        up: Mirrors a picture at its borders, doubles it and filters it. # [4R, R].
        down: Filters what was sampled and halves it. # [R, 2R + taps - 2].
        reach: Half the number of taps.
    """

    up: Tensor
    down: Tensor
    reach: int

    @classmethod
    def of(cls, side: int, taps: Tensor) -> Self:
        """Return the matrices for pictures of ``side`` pixels and a low-pass of an even number of taps with sum 1."""
        row, half = taps.cpu().double()[None, None], len(taps) // 2
        continued = torch.eye(side, dtype=torch.float64)[:, None, _mirror_index(side, side // 2)]  # [R, 1, 2R]
        spread = torch.stack([continued, torch.zeros_like(continued)], dim=3).flatten(2)  # [R, 1, 4R]
        up = F.conv1d(F.pad(spread, (half, half - 1)), 2 * row)[:, 0].t()
        lines = torch.eye(2 * side + len(taps) - 2, dtype=torch.float64)[:, None]
        down = F.conv1d(lines, row.flip(2))[:, 0, ::2][:, :side].t()
        return cls(up.to(taps).contiguous(), down.to(taps).contiguous(), half)


def warp(image: Tensor, inverse: Tensor, resampling: Resampling) -> Tensor:
    """Resample pictures # [N, C, R, R] under inverse moves # [N, 3, 3].

    Pictures are mirrored at their borders and sampled at twice their resolution between two low-passes, so that no move
    leaves a trace of aliasing that the discriminator could see (Karras et al. 2020b, appendix B).
    """
    fine = resampling.up @ image @ resampling.up.t()  # [N, C, 4R, 4R]
    # The fine picture spans twice the width of the original one, so coordinates halve.
    coordinates = _output_grid(image, resampling.reach) @ inverse.transpose(1, 2)[:, None]  # [N, S, S, 3]
    moved = F.grid_sample(fine, _mirrored(coordinates[..., :2] / 2), mode="bilinear", align_corners=False)
    return resampling.down @ moved @ resampling.down.t()


def warp_reference(image: Tensor, inverse: Tensor, taps: Tensor) -> Tensor:
    """The definition of :func:`warp`: mirror, insert zeros, filter; sample; filter, keep every second pixel."""
    batch, channels, side, _ = image.shape
    index, half = _mirror_index(side, side // 2), len(taps) // 2
    grid = image.new_zeros(batch, channels, 2 * side, 2, 2 * side, 2)
    grid[:, :, :, 0, :, 0] = image[:, :, index][:, :, :, index]
    fine = separable(grid.reshape(batch, channels, 4 * side, 4 * side), taps * 2, before=half, after=half - 1)
    coordinates = _output_grid(image, half) @ inverse.transpose(1, 2)[:, None]
    moved = F.grid_sample(fine, _mirrored(coordinates[..., :2] / 2), mode="bilinear", align_corners=False)
    filtered = separable(moved, taps.flip(0), before=0, after=0)
    return filtered[:, :, ::2, ::2][:, :, :side, :side]


def _output_grid(image: Tensor, reach: int) -> Tensor:
    """Positions of twice as many samples as the output has, with a border for the filter. # [1, S, S, 3]."""
    side = image.shape[-1]
    first, last = -(reach - 1), 2 * side + reach - 1
    steps = torch.arange(first, last, device=image.device, dtype=image.dtype)
    line = (steps + 0.5) / side - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x, y, torch.ones_like(x)], dim=-1)[None]


def _mirror_index(side: int, margin: int) -> Tensor:
    """Which pixel lies where when a picture goes on beyond its borders as its mirror image. # [side + 2 margin]."""
    steps = torch.arange(-margin, side + margin) % (2 * side)
    return torch.where(steps >= side, 2 * side - 1 - steps, steps)


def _mirrored(grid: Tensor) -> Tensor:
    """Fold coordinates beyond the padded picture back into it (period 2 between mirror images of the original)."""
    # The original picture spans [-1/2, 1/2] here; its mirror images continue it with period 2.
    folded = torch.remainder(grid + 0.5, 2.0)
    return torch.where(folded > 1.0, 2.0 - folded, folded) - 0.5
