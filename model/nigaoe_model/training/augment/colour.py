"""Moves of colour space as 4 x 4 matrices that act on (r, g, b, 1)."""

import math

import torch
from torch import Tensor

_LUMA = 1 / math.sqrt(3)
"""Each coordinate of the unit vector along which only brightness changes."""


def identity(count: int, device: torch.device) -> Tensor:
    """Return # [N, 4, 4]."""
    return torch.eye(4, device=device).repeat(count, 1, 1)


def brightness(amount: Tensor) -> Tensor:
    """Add ``amount`` # [N] to all channels."""
    matrix = identity(len(amount), amount.device)
    matrix[:, :3, 3] = amount[:, None]
    return matrix


def contrast(factor: Tensor) -> Tensor:
    """Multiply all channels by ``factor`` # [N]."""
    matrix = identity(len(factor), factor.device)
    return matrix * torch.cat([factor[:, None].expand(-1, 3), torch.ones_like(factor)[:, None]], dim=1)[:, :, None]


def luma_flip(flipped: Tensor) -> Tensor:
    """Mirror brightness and keep hue and saturation where ``flipped`` # [N] is 1."""
    return identity(len(flipped), flipped.device) - 2 * _luma_projection(flipped.device) * flipped[:, None, None]


def hue(angle: Tensor) -> Tensor:
    """Turn hues by ``angle`` # [N] radians about the grey axis (Rodrigues' formula)."""
    matrix = identity(len(angle), angle.device)
    cos, sin = torch.cos(angle)[:, None, None], torch.sin(angle)[:, None, None]
    unit = torch.eye(3, device=angle.device)
    # The cross product with (1, 1, 1): one cyclic shift of the axes minus the other.
    cross = unit.roll(1, 0) - unit.roll(-1, 0)
    matrix[:, :3, :3] = _LUMA**2 * (1 - cos) + unit * cos + _LUMA * cross * sin
    return matrix


def saturation(factor: Tensor) -> Tensor:
    """Multiply the distance from grey by ``factor`` # [N]."""
    luma = _luma_projection(factor.device)
    return luma + (identity(len(factor), factor.device) - luma) * _but_one(factor)


def apply(image: Tensor, matrix: Tensor) -> Tensor:
    """Map colours # [N, 3, H, W] by # [N, 4, 4]."""
    batch, _, height, width = image.shape
    flat = matrix[:, :3, :3] @ image.reshape(batch, 3, -1) + matrix[:, :3, 3:]
    return flat.reshape(batch, 3, height, width)


def _luma_projection(device: torch.device) -> Tensor:
    """Return what keeps brightness alone. # [4, 4]."""
    projection = torch.zeros(4, 4, device=device)
    projection[:3, :3].fill_(_LUMA**2)
    return projection


def _but_one(factor: Tensor) -> Tensor:
    """Scale the three channels and leave the fourth coordinate alone. # [N, 4, 1]."""
    return torch.cat([factor[:, None].expand(-1, 3), torch.ones_like(factor)[:, None]], dim=1)[:, :, None]
