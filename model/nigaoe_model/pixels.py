"""Pictures of people (bytes in rows) and pictures of networks (planes in [-1, 1]): there and back."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_planes(rgb: NDArray[np.uint8]) -> Tensor:
    """Return a network's view of a picture. # [H, W, 3] in 0..255 -> [3, H, W] in [-1, 1], float32."""
    return torch.from_numpy(rgb.copy()).permute(2, 0, 1).float().div(127.5).sub(1.0)


def to_rgb(planes: Tensor) -> NDArray[np.uint8]:
    """Return a picture that people can look at. # [3, H, W] in [-1, 1], clamped -> [H, W, 3] in 0..255."""
    scaled = planes.detach().float().clamp(-1, 1).add(1.0).mul(127.5).round()
    rgb: NDArray[np.uint8] = scaled.to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()
    return rgb
