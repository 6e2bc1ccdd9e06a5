"""Conversion between 8-bit RGB arrays and tensors in [-1, 1]."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_planes(rgb: NDArray[np.uint8]) -> Tensor:
    """Return a picture as a network's input. # [H, W, 3] in 0..255 -> [3, H, W] in [-1, 1], float32."""
    return torch.from_numpy(rgb.copy()).permute(2, 0, 1).float().div(127.5).sub(1.0)


def to_rgb(planes: Tensor) -> NDArray[np.uint8]:
    """Return a network's picture as 8-bit RGB. # [3, H, W] in [-1, 1], clamped -> [H, W, 3] in 0..255."""
    scaled = planes.detach().float().clamp(-1, 1).add(1.0).mul(127.5).round()
    rgb: NDArray[np.uint8] = scaled.to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()
    return rgb
