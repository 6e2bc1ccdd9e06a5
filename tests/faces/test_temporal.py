"""Cuts are found where a film is cut, and flicker is what a drawing adds to the movement."""

import numpy as np
import pytest
from PIL import Image

from nigaoe_faces.temporal import ShotDetector, flicker

Frame = np.ndarray


def pattern(seed: int) -> Frame:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 12, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((192, 96), Image.Resampling.BICUBIC))


def starts(frames: list[Frame]) -> list[int]:
    detector = ShotDetector()
    return [index for index, frame in enumerate(frames) if detector.begins(frame)]


def test_a_cut_between_two_scenes_is_found() -> None:
    """The first frame begins a shot, and so does the first one of the other scene."""
    assert starts([pattern(0)] * 6 + [pattern(1)] * 6) == [0, 6]


def test_neither_noise_nor_a_pan_is_a_cut() -> None:
    """Sensors are noisy, cameras turn: slowly at first, then a twelfth of the picture a frame."""
    noise = np.random.default_rng(0)
    still = [np.clip(pattern(0) + noise.normal(0, 12, (96, 192, 3)), 0, 255).astype(np.uint8) for _ in range(6)]
    wide = np.concatenate([pattern(0), pattern(1)], axis=1)
    lefts = np.cumsum([0, 2, 4, 8, 12, 16, 16, 16, 16, 16])
    pan = [np.ascontiguousarray(wide[:, left : left + 192]) for left in lefts]
    assert starts(still) == [0]
    assert starts(pan) == [0]


def test_flicker_is_the_change_of_the_drawing_over_that_of_the_photo() -> None:
    """As much as the photo: 1. A drawing that stands still: 0. Twice as much: 2."""
    photos = [np.full((4, 4, 3), value, np.uint8) for value in (10, 20, 10, 20)]
    doubled = [np.full((4, 4, 3), value, np.uint8) for value in (10, 30, 10, 30)]
    assert flicker(photos, photos) == 1.0
    assert flicker(photos, [photos[0]] * 4) == 0.0
    assert flicker(photos, doubled) == 2.0
    assert flicker([photos[0]] * 4, doubled) == float("inf")


def test_one_frame_cannot_flicker() -> None:
    """Nor can frames without their drawings."""
    frame = pattern(0)
    with pytest.raises(ValueError, match="two or more"):
        flicker([frame], [frame])
    with pytest.raises(ValueError, match="as many"):
        flicker([frame, frame], [frame])
