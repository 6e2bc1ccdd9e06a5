"""Moves of the picture plane that leave a style as it is: what GANs N' Roses calls content is what they change.

Chong & Forsyth, "GANs N' Roses: Stable, Controllable, Diverse Image to Image Translation", 2021, section 3.1. The
published program moves, enlarges, crops and mirrors one after the other and fills what lies outside with grey; here all
of it is one resampling, and pictures are mirrored at their borders.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from nigaoe_model.training.augment.geometry import (
    identity,
    inverse_rotation,
    inverse_scaling,
    inverse_translation,
)
from nigaoe_model.training.gans_n_roses.config import AugmentationSettings


def augmented(pictures: Tensor, settings: AugmentationSettings) -> Tensor:
    """Move every picture in a way of its own; half of them are mirrored.

    Args:
        pictures: # [N, 3, S, S] in [-1, 1].
        settings: How far.

    Returns:
        # [N, 3, S, S] in [-1, 1]; the device's global generator decides.
    """
    inverse = inverse_moves(len(pictures), settings, pictures.device)
    grid = F.affine_grid(inverse[:, :2], list(pictures.shape), align_corners=False)
    moved = F.grid_sample(pictures, grid, mode="bicubic", padding_mode="reflection", align_corners=False)
    return moved.clamp(-1, 1)  # bicubic interpolation overshoots at edges


def inverse_moves(count: int, settings: AugmentationSettings, device: torch.device) -> Tensor:
    """Draw the moves as matrices from output to input coordinates, in units where a picture spans [-1, 1].

    Returns:
        # [count, 3, 3].
    """

    def between(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, device=device)

    def around_zero(reach: float) -> Tensor:
        return between(-reach, reach)

    scale, crop = 1 + around_zero(settings.scale), torch.full((count,), 1 + settings.crop, device=device)
    mirror = torch.where(torch.rand(count, device=device) < 0.5, -1.0, 1.0)
    slant = identity(count, device)
    slant[:, 0, 1], slant[:, 1, 0] = around_zero(settings.shear), around_zero(settings.shear)
    # Coordinates span two units a side, so shifts count twice; a crop is a shift of the enlarged picture.
    return (
        inverse_translation(around_zero(2 * settings.translation), around_zero(2 * settings.translation))
        @ inverse_rotation(around_zero(math.radians(settings.degrees)))
        @ slant
        @ inverse_scaling(scale, scale)
        @ inverse_scaling(crop, crop)
        @ inverse_translation(around_zero(settings.crop), around_zero(settings.crop))
        @ inverse_scaling(mirror, torch.ones_like(mirror))
    )
