"""What changes from one frame of a video to the next: cuts between shots, and flicker.

A cut is a change that is large by itself and much larger than the changes before it, so that neither a quick pan nor a
person who waves is taken for one (the idea of PySceneDetect's adaptive detector).
"""

from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Frame = NDArray[np.uint8]
"""# [H, W, 3], sRGB."""

_THUMBNAIL: Final = (32, 32)
_LEAST_CUT: Final = 0.1
"""Mean change of a thumbnail's pixels, 0..1, below which nothing is a cut."""
_TIMES_USUAL: Final = 3.0
_REMEMBERED: Final = 8
"""Changes that say what is usual in a shot."""


class ShotDetector:
    """Tells where a shot begins, frame after frame."""

    def __init__(self) -> None:
        self._last: NDArray[np.float32] | None = None
        self._changes: deque[float] = deque(maxlen=_REMEMBERED)

    def begins(self, frame: Frame) -> bool:
        """Return whether this frame, the next of a video, begins a shot; the first one does."""
        image = Image.fromarray(frame).resize(_THUMBNAIL, Image.Resampling.BOX, reducing_gap=2.0)
        thumbnail: NDArray[np.float32] = np.asarray(image, dtype=np.float32) / np.float32(255)
        last, self._last = self._last, thumbnail
        if last is None:
            return True
        change = float(np.abs(thumbnail - last).mean())
        usual = sum(self._changes) / len(self._changes) if self._changes else 0.0
        if change > max(_LEAST_CUT, _TIMES_USUAL * usual):
            self._changes.clear()
            return True
        self._changes.append(change)
        return False


def flicker(photos: Sequence[Frame], drawings: Sequence[Frame]) -> float:
    """Return how much drawings change from frame to frame, over how much their photos do.

    Args:
        photos: Frames of one shot, at least two, all of one size.
        drawings: What was drawn of each, all of one size.

    Returns:
        Mean absolute change of the drawings divided by that of the photos; infinite where photos do not change and
        drawings do.

    Raises:
        ValueError: There are fewer than two frames, or not as many drawings.
    """
    if len(photos) < 2 or len(photos) != len(drawings):
        raise ValueError("flicker is measured between frames: two or more, and as many drawings")
    moved, changed = _mean_change(photos), _mean_change(drawings)
    if moved == 0:
        return float("inf") if changed else 0.0
    return changed / moved


def _mean_change(frames: Sequence[Frame]) -> float:
    return float(np.mean([np.abs(b.astype(np.int16) - a.astype(np.int16)).mean() for a, b in pairwise(frames)]))
