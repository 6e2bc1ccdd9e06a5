"""Where a face stands in a photo and where it shall stand in the crop: one similarity transform and its inverse.

Five landmarks are fitted to a template by least squares (Umeyama, "Least-squares estimation of transformation
parameters between two point patterns", PAMI 1991, without the reflection). The template travels in the checkpoint's
metadata, so that a generator is always fed the framing it was trained on.

Coordinates are continuous: pixel ``i`` covers ``[i, i + 1)`` and its centre lies at ``i + 0.5``. The unit square of a
template therefore maps to a crop of any resolution by one multiplication.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from core.errors import FaceError

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
            raise FaceError("The landmarks lie on one spot, so the face cannot be aligned; use a clearer photo.")
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
