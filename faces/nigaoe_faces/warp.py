"""Antialiased resampling of a picture through an affine map, at any scale.

Pillow's ``transform`` reads a few pixels around each point, which is right for enlarging and aliases when a photo
shrinks. So a shrinking picture is first reduced, with a filter as wide as it must be, to twice the density that is
needed, then turned into place at that density, then halved.
"""

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

_OVERSAMPLING = 2
# Pixels that the interpolation reads beyond its points.
_SUPPORT = 3


class Outside(Enum):
    """What lies outside the source."""

    MIRROR = "mirror"
    """Its mirror image, which blurs and fades with the distance, as FFHQ was made."""

    EDGE = "edge"
    """The colour of its nearest pixel."""


@dataclass(frozen=True, slots=True)
class _Span:
    """One axis of the source: pixels ``start`` to ``stop`` are read, ``before`` and ``after`` must be made up."""

    start: int
    stop: int
    before: float
    after: float


def warp(
    source: NDArray[np.uint8], matrix: NDArray[np.float64], size: tuple[int, int], outside: Outside
) -> NDArray[np.uint8]:
    """Resample ``source`` so that its point ``p`` appears at ``matrix[:, :2] @ p + matrix[:, 2]``.

    Args:
        source: [H, W, 3] uint8.
        matrix: [2, 3], invertible; coordinates are continuous (pixel ``i`` covers ``[i, i + 1)``).
        size: Width and height of the result.
        outside: What lies outside the source.

    Returns:
        [size[1], size[0], 3] uint8.
    """
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    spans = _needed(source.shape[1], source.shape[0], matrix, size, _SUPPORT / min(scale, 1.0))
    density = min(1.0, _OVERSAMPLING * scale)
    patch, ratio = _reduce(source, spans, density)
    canvas, pads = _pad(patch, spans, ratio, outside)
    if outside is Outside.MIRROR:
        canvas = _soften(canvas, pads, patch.shape[:2], max(size) / scale * density)
    factor = _OVERSAMPLING if scale < 1.0 else 1
    read = _target_to_canvas(matrix, spans, ratio, pads, factor)
    drawn = Image.fromarray(canvas).transform(
        (size[0] * factor, size[1] * factor), Image.Transform.AFFINE, tuple(read.ravel()), Image.Resampling.BICUBIC
    )
    return np.array(drawn.resize(size, Image.Resampling.LANCZOS) if factor > 1 else drawn)


def _needed(
    width: int, height: int, matrix: NDArray[np.float64], size: tuple[int, int], margin: float
) -> tuple[_Span, _Span]:
    """Return which columns and rows of the source the result depends on."""
    corners = np.array([[0, 0], [size[0], 0], [0, size[1]], [size[0], size[1]]], dtype=np.float64)
    read = (corners - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    low, high = read.min(axis=0) - margin, read.max(axis=0) + margin
    return _span(low[0], high[0], width), _span(low[1], high[1], height)


def _span(low: float, high: float, length: int) -> _Span:
    """Clip ``low`` to ``high`` to a source of ``length`` pixels, keeping what the mirror outside will show."""
    before, after = max(0.0, -low), max(0.0, high - length)
    start = int(np.clip(np.floor(min(low, length - after)), 0, length - 1))
    stop = int(np.clip(np.ceil(max(high, before)), start + 1, length))
    return _Span(start, stop, before, after)


def _reduce(
    source: NDArray[np.uint8], spans: tuple[_Span, _Span], density: float
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Cut the needed pixels out and reduce them; return them and the exact [2] ratios, x and y, of the reduction."""
    columns, rows = spans
    patch = source[rows.start : rows.stop, columns.start : columns.stop]
    wanted = (max(1, round(patch.shape[1] * density)), max(1, round(patch.shape[0] * density)))
    ratio = np.array([wanted[0] / patch.shape[1], wanted[1] / patch.shape[0]])
    if density < 1.0:
        image = Image.fromarray(np.ascontiguousarray(patch))
        patch = np.asarray(image.resize(wanted, Image.Resampling.LANCZOS, reducing_gap=3.0))
    return patch, ratio


def _pad(
    patch: NDArray[np.uint8], spans: tuple[_Span, _Span], ratio: NDArray[np.float64], outside: Outside
) -> tuple[NDArray[np.uint8], tuple[tuple[int, int], tuple[int, int]]]:
    """Make up what lies outside; return the canvas and the pads of the x and the y axis."""
    # Two pixels even where nothing is missing: rounding must never make a border pixel black.
    x, y = (
        (int(np.ceil(span.before * ratio[axis])) + 2, int(np.ceil(span.after * ratio[axis])) + 2)
        for axis, span in enumerate(spans)
    )
    return np.pad(patch, (y, x, (0, 0)), mode="symmetric" if outside is Outside.MIRROR else "edge"), (x, y)


def _soften(
    canvas: NDArray[np.uint8],
    pads: tuple[tuple[int, int], tuple[int, int]],
    shape: tuple[int, ...],
    side: float,
) -> NDArray[np.uint8]:
    """Blur and fade the mirrored surroundings the further they lie outside; ``side`` is the crop's in canvas pixels."""
    (left, right), (top, bottom) = pads
    if max(left, right, top, bottom) <= _SUPPORT * _OVERSAMPLING + 3:
        return canvas
    x, y = (
        np.maximum(np.maximum(before - index - 0.5, index + 0.5 - before - length), 0.0)
        for before, length, index in (
            (left, shape[1], np.arange(canvas.shape[1])),
            (top, shape[0], np.arange(canvas.shape[0])),
        )
    )
    distance = np.hypot(x[None, :], y[:, None])[..., None] / side  # [H', W', 1] in crop sides
    blurred = np.asarray(Image.fromarray(canvas).filter(ImageFilter.GaussianBlur(0.04 * side)), dtype=np.float32)
    inside = canvas[top : top + shape[0], left : left + shape[1]]
    paper = np.median(inside[::4, ::4], axis=(0, 1)).astype(np.float32)
    softened = canvas + (blurred - canvas) * np.clip(distance / 0.05, 0.0, 1.0).astype(np.float32)
    softened += (paper - softened) * np.clip(distance / 0.5, 0.0, 1.0).astype(np.float32)
    result: NDArray[np.uint8] = np.rint(softened).astype(np.uint8)
    return result


def _target_to_canvas(
    matrix: NDArray[np.float64],
    spans: tuple[_Span, _Span],
    ratio: NDArray[np.float64],
    pads: tuple[tuple[int, int], tuple[int, int]],
    factor: int,
) -> NDArray[np.float64]:
    """Return the [2, 3] matrix from the oversampled result to the canvas."""
    linear = np.linalg.inv(matrix[:, :2])
    offset = -linear @ matrix[:, 2] - [span.start for span in spans]
    return np.column_stack([ratio[:, None] * linear / factor, ratio * offset + [pad[0] for pad in pads]])
