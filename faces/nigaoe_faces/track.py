"""One face, followed through the frames of a video.

The detector searches a frame only where a shot begins or the face was lost; in between, the networks that refine
landmarks find it near where it was a frame before. Landmarks are smoothed in time, so that crops, and what is pasted
back by them, do not tremble.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Generic, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from nigaoe_faces.detect import Face, FaceDetector
from nigaoe_faces.one_euro import OneEuroFilter, OneEuroSettings
from nigaoe_faces.temporal import Frame, ShotDetector

LANDMARK_SMOOTHING: Final = OneEuroSettings(min_cutoff=1.0, beta=6.0)
"""Of landmarks in eye distances."""

LONGEST_GAP: Final = 0.25
"""Seconds for which a face may be missed between two frames that show it; it is taken to have moved evenly."""

_NEAR: Final = 1.5
"""A face that was missed is the same one if it comes back within so many eye distances."""

_Landmarks = NDArray[np.float64]


class TimedFrame(Protocol):
    """A frame of a video.

    Attributes:
        rgb: # [H, W, 3], upright, sRGB.
        time: In seconds.
    """

    @property
    def rgb(self) -> Frame: ...  # noqa: D102 - see the class.

    @property
    def time(self) -> float: ...  # noqa: D102 - see the class.


F = TypeVar("F", bound=TimedFrame)


@dataclass(frozen=True, slots=True, eq=False)
class TrackedFrame(Generic[F]):
    """A frame and where its face is.

    Attributes:
        frame: The frame.
        landmarks: Smoothed, # [5, 2] in pixels of the frame; None: the face is not there.
        starts: Whether nothing is known of the face from frames before: it is its first one in a shot.
    """

    frame: F
    landmarks: _Landmarks | None = None
    starts: bool = False


class FaceTracker:
    """Follows one face from frame to frame, and finds it again in every shot.

    Args:
        detector: Finds faces.
        choice: Which face of a shot is followed, in the first frame that has it: the largest one, or one by size
            from 0.
        steady: Whether frames are taken together; otherwise each is searched for itself, and nothing is smoothed.

    Attributes:
        most_faces: How many faces were found in one frame at most.
    """

    def __init__(
        self, detector: FaceDetector, choice: Literal["largest"] | int = "largest", *, steady: bool = True
    ) -> None:
        self._detector = detector
        self._index = 0 if choice == "largest" else choice
        self._steady = steady
        self._shots = ShotDetector()
        self._filter = OneEuroFilter(LANDMARK_SMOOTHING)
        self._unit = 1.0  # The eye distance in pixels where the face was first seen in this shot.
        self._last: tuple[Face, float] | None = None
        self.most_faces = 0

    def track(self, frames: Iterable[F]) -> Iterator[TrackedFrame[F]]:
        """Find the face in every frame.

        Args:
            frames: Of a video, in their order.

        Yields:
            Every frame in the same order; some only when it is known whether the face comes back.
        """
        missed: list[F] = []
        for frame in frames:
            if self._shots.begins(frame.rgb) or not self._steady or self._is_gone(frame.time):
                self._last = None
                yield from (TrackedFrame(one) for one in missed)
                missed.clear()
            before = self._last
            face = self._find(frame.rgb)
            if face is None:
                missed.append(frame)
                if before is None:
                    yield TrackedFrame(missed.pop())
                continue
            self._last = (face, frame.time)
            if before is not None:
                yield from (self._between(before, self._last, one) for one in missed)
            missed.clear()
            yield self._tracked(frame, face.landmarks, starts=before is None)
        yield from (TrackedFrame(one) for one in missed)

    def _is_gone(self, time: float) -> bool:
        return self._last is not None and time - self._last[1] > LONGEST_GAP

    def _find(self, rgb: Frame) -> Face | None:
        """Return the face that is followed, or one to follow from now on."""
        if self._last is None:
            faces = self._detector.detect(rgb, thorough=False)
            self.most_faces = max(self.most_faces, len(faces))
            return faces[self._index] if self._index < len(faces) else None
        last = self._last[0]
        if (followed := self._detector.follow(rgb, last)) is not None:
            return followed
        near = [face for face in self._detector.detect(rgb, thorough=False) if _distance(face, last) < _NEAR]
        return min(near, key=lambda face: _distance(face, last), default=None)

    def _between(self, before: tuple[Face, float], after: tuple[Face, float], frame: F) -> TrackedFrame[F]:
        share = (frame.time - before[1]) / max(after[1] - before[1], 1e-9)
        landmarks = before[0].landmarks + (after[0].landmarks - before[0].landmarks) * share
        return self._tracked(frame, landmarks, starts=False)

    def _tracked(self, frame: F, landmarks: _Landmarks, *, starts: bool) -> TrackedFrame[F]:
        if starts:
            self._filter.reset()
            self._unit = _eye_distance(landmarks)
        smooth = self._filter(landmarks / self._unit, frame.time) * self._unit
        return TrackedFrame(frame, smooth, starts)


def _eye_distance(landmarks: _Landmarks) -> float:
    return max(float(np.linalg.norm(landmarks[1] - landmarks[0])), 1.0)


def _distance(face: Face, other: Face) -> float:
    """Return how far apart two faces are, in eye distances of the second one."""
    middles = face.landmarks.mean(axis=0) - other.landmarks.mean(axis=0)
    return float(np.linalg.norm(middles)) / _eye_distance(other.landmarks)
