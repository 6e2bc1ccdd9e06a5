"""Head pose, estimated from five landmarks.

A rigid model of the five points is fitted by scaled orthographic projection: the affine map from the model to the
landmarks, then the nearest rotation (the first step of DeMenthon and Davis, "Model-based object pose in 25 lines of
code", IJCV 1995). The model's shape was fitted to the landmarks of 4,500 portraits by factorisation (Tomasi and
Kanade, IJCV 1992), so that the average portrait looks straight ahead.

Five points allow an estimate, not a measurement: expect errors of about ten degrees, and too small angles for profiles,
whose hidden eye the detector guesses on the visible side.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PROFILE_YAW = 40.0
"""Degrees of yaw beyond which the far half of the face is hidden; one portrait in fifty (FFHQ, CelebA) is beyond."""

# Left eye, right eye, nose, mouth corners; x right, y down, z away from the camera; the eyes are one unit apart.
_MODEL = np.array(
    [[-0.5, 0.0, 0.0], [0.5, 0.0, 0.0], [0.0, 0.573, -0.457], [-0.452, 1.031, 0.12], [0.452, 1.031, 0.12]]
)


@dataclass(frozen=True, slots=True)
class Pose:
    """The direction of a head in degrees.

    Attributes:
        yaw: -90 to 90; positive when the face looks to the right side of the picture.
        pitch: -90 to 90; positive when it looks up.
        roll: -180 to 180; positive when the head is turned clockwise in the picture.
    """

    yaw: float
    pitch: float
    roll: float

    @property
    def is_profile(self) -> bool:
        """Whether so much of the face is hidden (``PROFILE_YAW``) that a likeness will suffer."""
        return abs(self.yaw) > PROFILE_YAW

    def to_json(self) -> dict[str, float | bool]:
        """Return the angles, rounded to tenths of a degree, and ``is_profile``."""
        return {
            "yaw": round(self.yaw, 1),
            "pitch": round(self.pitch, 1),
            "roll": round(self.roll, 1),
            "is_profile": self.is_profile,
        }


def estimate_pose(landmarks: NDArray[np.floating]) -> Pose:
    """Estimate the direction of the head whose five landmarks, [5, 2] in pixels, are given."""
    centred = np.asarray(landmarks, dtype=np.float64) - np.mean(landmarks, axis=0)
    model = _MODEL - _MODEL.mean(axis=0)
    affine = (np.linalg.pinv(model) @ centred).T  # [2, 3]
    left, _, right = np.linalg.svd(affine, full_matrices=False)
    rows = left @ right  # [2, 3]: the first two rows of the nearest rotation
    rotation = np.vstack([rows, np.cross(rows[0], rows[1])])
    return _angles(rotation)


def _angles(rotation: NDArray[np.float64]) -> Pose:
    """Decompose a rotation into roll about the line of sight, then yaw, then pitch, all of the upright head."""
    roll = np.arctan2(rotation[1, 0], rotation[0, 0])
    upright = np.array([[np.cos(roll), np.sin(roll), 0], [-np.sin(roll), np.cos(roll), 0], [0, 0, 1]]) @ rotation
    forward = -upright[:, 2]
    yaw = np.arctan2(forward[0], -forward[2])
    pitch = -np.arcsin(np.clip(forward[1], -1.0, 1.0))
    return Pose(*(float(angle) for angle in np.degrees([yaw, pitch, roll])))
