"""A face is followed through frames, over gaps, and not over cuts."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from nigaoe_faces.detect import Face, FaceDetector
from nigaoe_faces.track import FaceTracker, TrackedFrame

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Shown:
    """A frame and its time."""

    rgb: Picture
    time: float


def film(pictures: list[Picture], rate: float = 25.0) -> Iterator[Shown]:
    return (Shown(picture, index / rate) for index, picture in enumerate(pictures))


def window(photo: Picture, left: int, top: int = 0) -> Picture:
    """What a camera sees that moves over a photo."""
    return np.ascontiguousarray(photo[top : top + 256, left : left + 256])


def hidden(picture: Picture) -> Picture:
    """Somebody walks past the face."""
    covered = picture.copy()
    covered[50:180, 70:185] = covered[50:180, 70:185].mean(axis=(0, 1)).astype(np.uint8)
    return covered


def followed(frames: list[TrackedFrame[Shown]]) -> list[bool]:
    return [frame.landmarks is not None for frame in frames]


def test_a_moving_face_is_followed_and_seldom_searched(
    detector: FaceDetector, astronaut: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One search at the start; the landmarks go with the face, a few pixels behind at most."""
    searches = 0
    detect = detector.detect

    def counted(rgb: Picture, *, thorough: bool = True) -> list[Face]:
        nonlocal searches
        searches += 1
        return detect(rgb, thorough=thorough)

    monkeypatch.setattr(detector, "detect", counted)
    lefts = [100 - 3 * i for i in range(8)]
    frames = list(FaceTracker(detector).track(film([window(astronaut, left) for left in lefts])))
    assert searches == 1
    assert [frame.starts for frame in frames] == [True] + [False] * 7
    middles = [float(frame.landmarks[:, 0].mean()) for frame in frames if frame.landmarks is not None]
    assert np.subtract(middles, middles[0]) == pytest.approx([3 * i for i in range(8)], abs=6)


def test_landmarks_of_a_still_face_tremble_less(detector: FaceDetector, astronaut: Picture) -> None:
    """Of a noisy picture that does not move, against each frame for itself."""
    noise = np.random.default_rng(0)
    still = window(astronaut, 96).astype(np.float64)
    pictures = [np.clip(still + noise.normal(0, 14, still.shape), 0, 255).astype(np.uint8) for _ in range(5)]
    steady, single = (
        np.array([frame.landmarks for frame in FaceTracker(detector, steady=choice).track(film(pictures))])
        for choice in (True, False)
    )
    assert np.abs(np.diff(steady, axis=0)).mean() < 0.5 * np.abs(np.diff(single, axis=0)).mean()


def test_a_short_gap_is_bridged(detector: FaceDetector, astronaut: Picture) -> None:
    """A hand before the face for two frames: it is taken to have moved evenly, and frames keep their order."""
    pictures = [window(astronaut, 90 + 2 * i) for i in range(6)]
    pictures[2:4] = [hidden(picture) for picture in pictures[2:4]]
    frames = list(FaceTracker(detector).track(film(pictures)))
    assert followed(frames) == [True] * 6
    assert [frame.frame.time for frame in frames] == [i / 25 for i in range(6)]
    middles = [float(frame.landmarks[:, 0].mean()) for frame in frames if frame.landmarks is not None]
    assert middles == sorted(middles, reverse=True)


def test_a_long_absence_is_left_as_it_is(detector: FaceDetector, astronaut: Picture) -> None:
    """A face that stays away is not drawn where it was; when it is back it begins anew."""
    shown, away = window(astronaut, 96), hidden(window(astronaut, 96))
    frames = list(FaceTracker(detector).track(film([shown, away, away, away, shown], rate=10)))
    assert followed(frames) == [True, False, False, False, True]
    assert [frame.starts for frame in frames] == [True, False, False, False, True]


def test_the_end_of_a_film_closes_a_gap(detector: FaceDetector, astronaut: Picture) -> None:
    """Frames that were held back come out, without a face."""
    shown = window(astronaut, 96)
    assert followed(list(FaceTracker(detector).track(film([shown, hidden(shown)])))) == [True, False]


def test_a_cut_begins_anew(detector: FaceDetector, astronaut: Picture, admiral: Picture) -> None:
    """Nothing of one person is carried over to the next."""
    other = np.ascontiguousarray(admiral[80:336, 140:396])
    frames = list(FaceTracker(detector).track(film([window(astronaut, 96)] * 2 + [other] * 2)))
    assert [frame.starts for frame in frames] == [True, False, True, False]
    (found,) = detector.detect(other)
    assert frames[2].landmarks == pytest.approx(found.landmarks)


def test_a_face_that_nobody_has(detector: FaceDetector, astronaut: Picture) -> None:
    """The tracker knows how many there were."""
    tracker = FaceTracker(detector, 1)
    assert followed(list(tracker.track(film([window(astronaut, 96)])))) == [False]
    assert tracker.most_faces == 1
