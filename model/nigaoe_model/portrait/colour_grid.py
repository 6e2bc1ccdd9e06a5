"""Colours of an aligned portrait on a coarse grid: how light each part is, and of which hue."""

import torch
import torch.nn.functional as F
from torch import Tensor


def opponent_colours(image: Tensor) -> Tensor:
    """Turn red, green and blue into lightness, red against green, and yellow against blue. # [N, 3, ...] both."""
    red, green, blue = image.unbind(dim=1)
    return torch.stack([image.mean(dim=1), red - green, (red + green) / 2 - blue], dim=1)


def colour_grid(image: Tensor, side: int) -> Tensor:
    """Return the mean opponent colours of each cell. # [N, 3, R, R] -> [N, 3, side, side]."""
    return opponent_colours(F.adaptive_avg_pool2d(image.float(), side))


def background_mask(side: int) -> Tensor:
    """Return where an aligned portrait shows background: the upper corners and the sides. # [R, R] bool."""
    line = (torch.arange(side) + 0.5) / side
    y, x = torch.meshgrid(line, line, indexing="ij")
    return ((x - 0.5).abs() > 0.4) & (y < 0.7) | ((x - 0.5).abs() > 0.3) & (y < 0.15)


def person_weights(resolution: int, side: int) -> Tensor:
    """Return how much of each cell is no background, as shares of the whole. # [1, side, side], sum 1."""
    middle = (~background_mask(resolution)).float()[None]
    weights = F.adaptive_avg_pool2d(middle, side)
    return weights / weights.sum()
