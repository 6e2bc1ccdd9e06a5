"""Face alignment: one similarity transform from the photo to the aligned crop, and its inverse.

Five landmarks are fitted to a template by least squares (Umeyama, "Least-squares estimation of transformation
parameters between two point patterns", PAMI 1991, without the reflection). The template travels in the checkpoint's
metadata, so that a generator is always fed the framing it was trained on.

Coordinates are continuous: pixel ``i`` covers ``[i, i + 1)`` and its centre lies at ``i + 0.5``. The unit square of a
template therefore maps to a crop of any resolution by one multiplication.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from nigaoe_core.errors import FaceError
from nigaoe_faces.warp import Outside, warp

_DEGENERATE = "The landmarks lie on one spot, so the face cannot be aligned; please use a clearer photo."

_Coordinate = Annotated[float, Field(allow_inf_nan=False)]
_Point = tuple[_Coordinate, _Coordinate]


class AlignmentTemplate(BaseModel):
    """Where the five landmarks of a face stand in an aligned crop.

    Attributes:
        name: What people call the framing, such as ``ffhq``.
        landmarks: Left eye, right eye, nose, left and right mouth corner (left as seen in the picture), in the
            unit square before ``zoom`` and ``shift_y``.
        zoom: Magnification about the middle of the crop; 1.2 cuts a sixth of the framing away.
        shift_y: How far the face moves down after the zoom, in crop heights.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=64)
    landmarks: tuple[_Point, _Point, _Point, _Point, _Point]
    zoom: float = Field(default=1.0, gt=0.0, le=16.0, allow_inf_nan=False)
    shift_y: float = Field(default=0.0, ge=-1.0, le=1.0, allow_inf_nan=False)

    def points(self, resolution: int = 1) -> NDArray[np.float64]:
        """Return the landmarks as they stand in a crop of ``resolution`` pixels, [5, 2]."""
        points = np.asarray(self.landmarks, dtype=np.float64)
        placed: NDArray[np.float64] = (points - 0.5) * self.zoom + 0.5 + np.array([0.0, self.shift_y])
        return placed * resolution

    def framed_box(self, side: float) -> tuple[float, float, float, float]:
        """Return the square that this template cuts out of a picture of ``side`` pixels already framed without a zoom.

        An FFHQ picture, for example, needs no landmarks: ``DEMO.framed_box(128)`` is where they would lead.
        """
        left = 0.5 - 0.5 / self.zoom
        top = 0.5 - (0.5 + self.shift_y) / self.zoom
        return left * side, top * side, (left + 1 / self.zoom) * side, (top + 1 / self.zoom) * side


_FFHQ_LANDMARKS = ((0.3769, 0.4686), (0.6230, 0.4691), (0.5012, 0.6133), (0.3931, 0.7254), (0.6115, 0.7249))

FFHQ = AlignmentTemplate(name="ffhq", landmarks=_FFHQ_LANDMARKS)
"""FFHQ's own framing, for published generators."""

DEMO = AlignmentTemplate(name="demo", landmarks=_FFHQ_LANDMARKS, zoom=1.2, shift_y=0.04)
"""The bundled demo pair's framing: closer, and the face a little lower."""


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """A similarity transform from photo pixels to the pixels of a square crop.

    Attributes:
        matrix: [2, 3] float64, read-only; ``crop = matrix[:, :2] @ photo + matrix[:, 2]``.
        resolution: Side of the crop in pixels.
    """

    matrix: NDArray[np.float64]
    resolution: int

    def __post_init__(self) -> None:
        """Freeze a private copy of the matrix.

        Raises:
            FaceError: The transform collapses the photo or is not finite.
        """
        matrix = np.array(self.matrix, dtype=np.float64).reshape(2, 3)
        if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:, :2])) < 1e-12:
            raise FaceError(_DEGENERATE)
        matrix.setflags(write=False)
        object.__setattr__(self, "matrix", matrix)

    @property
    def scale(self) -> float:
        """Crop pixels per photo pixel."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix[:, :2]))))

    def apply(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Map points from the photo into the crop, [..., 2] -> [..., 2]."""
        return np.asarray(points, dtype=np.float64) @ self.matrix[:, :2].T + self.matrix[:, 2]

    def inverse(self) -> NDArray[np.float64]:
        """Return the [2, 3] matrix from crop pixels back to photo pixels."""
        linear = np.linalg.inv(self.matrix[:, :2])
        return np.column_stack([linear, -linear @ self.matrix[:, 2]])

    def for_resolution(self, resolution: int) -> "Alignment":
        """Return the same framing for a crop of another ``resolution``."""
        return Alignment(self.matrix * (resolution / self.resolution), resolution)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, exact to the last bit."""
        return {"matrix": self.matrix.tolist(), "resolution": self.resolution}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Alignment":
        """Rebuild what ``to_json`` returned."""
        return cls(np.asarray(values["matrix"], dtype=np.float64), int(values["resolution"]))


def fit_similarity(source: NDArray[np.floating], target: NDArray[np.floating]) -> NDArray[np.float64]:
    """Fit scale, rotation and translation (no reflection) by least squares.

    In the complex plane the similarity is ``a * z + b``, and Umeyama's solution becomes a linear regression.

    Args:
        source: Points, [N, 2].
        target: Where they shall go, [N, 2].

    Returns:
        The [2, 3] matrix from ``source`` to ``target``.

    Raises:
        FaceError: All source points lie on one spot, or a coordinate is not finite.
    """
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise FaceError(_DEGENERATE)
    points, wanted = (np.asarray(array, dtype=np.float64) @ np.array([1, 1j]) for array in (source, target))
    centred = points - points.mean()
    spread = float(np.sum(np.abs(centred) ** 2))
    if spread == 0.0:
        raise FaceError(_DEGENERATE)
    a = np.sum(np.conj(centred) * (wanted - wanted.mean())) / spread
    b = wanted.mean() - a * points.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def align_landmarks(landmarks: NDArray[np.floating], template: AlignmentTemplate, resolution: int) -> Alignment:
    """Return the similarity that brings five landmarks, [5, 2] in photo pixels, to their places in the template.

    Raises:
        FaceError: The landmarks lie on one spot or are not finite.
    """
    return Alignment(fit_similarity(landmarks, template.points(resolution)), resolution)


def align_face(
    rgb: NDArray[np.uint8], landmarks: NDArray[np.floating], template: AlignmentTemplate, resolution: int
) -> tuple[NDArray[np.uint8], Alignment]:
    """Cut a face out of a photo as a generator of this ``template`` expects it.

    Args:
        rgb: The photo, [H, W, 3] uint8.
        landmarks: Five points in photo pixels, [5, 2].
        template: Where they shall stand.
        resolution: Side of the crop in pixels.

    Returns:
        The antialiased crop, [R, R, 3] uint8, and the transform that made it.

    Raises:
        FaceError: The landmarks lie on one spot or are not finite.
    """
    alignment = align_landmarks(landmarks, template, resolution)
    return crop_aligned(rgb, alignment), alignment


def crop_aligned(rgb: NDArray[np.uint8], alignment: Alignment) -> NDArray[np.uint8]:
    """Cut the crop that ``alignment`` describes out of a photo, [H, W, 3] -> [R, R, 3].

    Raises:
        FaceError: The crop lies wholly outside the photo.
    """
    if _window(alignment, rgb.shape[1], rgb.shape[0]) is None:
        raise FaceError("The face lies outside the photo, so it cannot be cut out; please use another photo.")
    return warp(rgb, alignment.matrix, (alignment.resolution, alignment.resolution), Outside.MIRROR)


def square_box_alignment(box: tuple[float, float, float, float], resolution: int) -> Alignment:
    """Return the transform that scales a square of an already framed picture to ``resolution``.

    Args:
        box: Left, top, right and bottom edge of the square in pixels of the picture.
        resolution: Side of the crop in pixels.

    Raises:
        ValueError: The box is no square.
    """
    left, top, right, bottom = box
    side = right - left
    if not side > 0 or abs(bottom - top - side) > 1e-6 * side:
        raise ValueError(f"the box {box} is no square")
    scale = resolution / side
    return Alignment(np.array([[scale, 0.0, -left * scale], [0.0, scale, -top * scale]]), resolution)


def paste_back(
    photo: NDArray[np.uint8], picture: NDArray[np.uint8], alignment: Alignment, feather: float = 0.12
) -> NDArray[np.uint8]:
    """Put a picture of a face where the face stood in the photo.

    Args:
        photo: The photo that ``alignment`` was made for, [H, W, 3] uint8.
        picture: The drawn face, [R, R, 3] uint8; R need not be the alignment's resolution.
        alignment: Photo to crop, as ``align_face`` returned it.
        feather: Width of the soft edge in crop sides, 0 (a hard, antialiased edge) to 0.5.

    Returns:
        A new photo, [H, W, 3] uint8; outside the picture every pixel is what it was.

    Raises:
        ValueError: ``feather`` is out of range or ``picture`` is not square.
    """
    if not 0.0 <= feather <= 0.5 or picture.shape[0] != picture.shape[1]:
        raise ValueError("feather must be 0 to 0.5, and the picture a square")
    exact = alignment.for_resolution(picture.shape[0])
    window = _window(exact, photo.shape[1], photo.shape[0])
    pasted = photo.copy()
    if window is None:
        return pasted
    left, top, right, bottom = window
    back = exact.inverse() - np.array([[0.0, 0.0, left], [0.0, 0.0, top]])
    drawn = warp(picture, back, (right - left, bottom - top), Outside.EDGE)
    opacity = _opacity(exact, window, feather)[..., None]  # [H', W', 1]
    region = pasted[top:bottom, left:right]
    region[...] = np.rint(region + (drawn.astype(np.float64) - region) * opacity).astype(np.uint8)
    return pasted


def _window(alignment: Alignment, width: int, height: int) -> tuple[int, int, int, int] | None:
    """Return the photo's pixels that the crop touches: left, top, right, bottom; None when it touches none."""
    side = alignment.resolution
    inverse = alignment.inverse()
    corners = np.array([[0, 0], [side, 0], [0, side], [side, side]]) @ inverse[:, :2].T + inverse[:, 2]
    left, top = (int(edge) for edge in np.clip(np.floor(corners.min(axis=0)), 0, [width, height]))
    right, bottom = (int(edge) for edge in np.clip(np.ceil(corners.max(axis=0)), 0, [width, height]))
    return (left, top, right, bottom) if left < right and top < bottom else None


def _opacity(alignment: Alignment, window: tuple[int, int, int, int], feather: float) -> NDArray[np.float64]:
    """Return how much of the picture shows in each photo pixel of ``window``, [H', W'] in 0..1."""
    left, top, right, bottom = window
    x, y = np.meshgrid(np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5)
    points = alignment.apply(np.stack([x, y], axis=-1)) / alignment.resolution  # [H', W', 2] in the unit square
    pixel = alignment.scale / alignment.resolution
    inside = np.minimum(points, 1.0 - points)
    # A hard edge still takes one pixel, centred on the border; a soft one lies inside it, so that it ends in the photo.
    ramp = np.clip(inside / feather if feather > pixel else inside / pixel + 0.5, 0.0, 1.0)
    smooth = ramp * ramp * (3.0 - 2.0 * ramp)
    opacity: NDArray[np.float64] = smooth.prod(axis=-1)
    return opacity
