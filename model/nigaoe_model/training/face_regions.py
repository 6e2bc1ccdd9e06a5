"""Where things are in an aligned portrait, photographed or drawn, and simple measures of them."""

import colorsys
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nigaoe_model.portrait.palette import background_mask, opponent_colours

Pictures = Tensor
"""Bytes. # [N, 3, R, R]."""

Vectors = NDArray[np.float64]

LUMA = torch.tensor((0.299, 0.587, 0.114), dtype=torch.float64)
"""ITU-R BT.601."""

SKIN_ROWS, SKIN_COLUMNS = (0.58, 0.76), (0.32, 0.68)
"""From under the eyes to above the mouth, between the eyes' outer halves; shares of a demo pair's crop."""


def face_middle(pictures: Pictures) -> Vectors:
    """Return the horizontal centre of skin-like brightness in the middle band. # [N], 0..1."""
    image = pictures.double() / 255
    side = image.shape[-1]
    band = image[:, :, int(side * 0.45) : int(side * 0.8)]
    weight = (band[:, 0] - 0.5 * band[:, 2]).clamp_min(0).mean(dim=1)  # [N, R]: red without blue, rows averaged
    weight = (weight - weight.mean(dim=1, keepdim=True)).clamp_min(0)
    line = (torch.arange(side, dtype=torch.float64) + 0.5) / side
    centre: Vectors = ((weight * line).sum(dim=1) / weight.sum(dim=1).clamp_min(1e-9)).numpy()
    return centre


def mouth_contrast(pictures: Pictures) -> Vectors:
    """Return the vertical variation of brightness in the mouth region. # [N]."""
    image = pictures.double().mean(dim=1) / 255
    side = image.shape[-1]
    region = image[:, int(side * 0.7) : int(side * 0.88), int(side * 0.38) : int(side * 0.62)]
    contrast: Vectors = region.mean(dim=2).std(dim=1).numpy()
    return contrast


def hair_colour(pictures: Pictures) -> Vectors:
    """Return lightness and two chroma axes of the region where hair is. # [N, 3]."""
    image = pictures.double() / 255
    side = image.shape[-1]
    region = image[:, :, int(side * 0.06) : int(side * 0.22), int(side * 0.3) : int(side * 0.7)].mean(dim=(2, 3))
    colour: Vectors = opponent_colours(region).numpy()
    return colour


def skin_lightness(pictures: Pictures) -> Vectors:
    """Return how light the middle of the face is. # [N], 0..1."""
    side = pictures.shape[-1]
    (top, bottom), (left, right) = ([round(share * side) for share in band] for band in (SKIN_ROWS, SKIN_COLUMNS))
    patch = pictures[:, :, top:bottom, left:right].double().flatten(2) / 255  # [N, 3, P]
    lightness: Vectors = torch.einsum("c,ncp->np", LUMA, patch).median(dim=1).values.numpy()
    return lightness


def tint_background(faces: Pictures, turn: float = 0.5) -> Pictures:
    """Turn the hue of the border by ``turn`` of a circle and strengthen its colour; the middle stays as it is."""
    mask = background_mask(faces.shape[-1])
    tinted = faces.permute(0, 2, 3, 1).clone()  # [N, R, R, 3]
    flat = tinted[:, mask].double().numpy() / 255  # [N, P, 3]
    turned = np.apply_along_axis(_turned_colour, 2, flat, turn)
    tinted[:, mask] = torch.from_numpy(np.round(turned * 255)).to(torch.uint8)
    return tinted.permute(0, 3, 1, 2).contiguous()


def face_mask(side: int) -> Tensor:
    """Return where an aligned portrait shows the face: an ellipse. # [R, R] bool."""
    line = (torch.arange(side) + 0.5) / side
    y, x = torch.meshgrid(line, line, indexing="ij")
    return ((x - 0.5) / 0.25).square() + ((y - 0.62) / 0.28).square() < 1


def _turned_colour(rgb: Vectors, turn: float) -> Sequence[float]:
    hue, lightness, saturation = colorsys.rgb_to_hls(*rgb)
    return colorsys.hls_to_rgb((hue + turn) % 1.0, lightness, min(1.0, 0.3 + saturation))
