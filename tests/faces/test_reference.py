"""References are framed by their face where one is found, else as a square; blank ones are refused."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nigaoe_core.errors import ReferenceWithoutFace
from nigaoe_faces.align import DEMO, align_face
from nigaoe_faces.detect import FaceDetector
from nigaoe_faces.reference import frame_reference

SIDE = 64


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector()


def sample(weights: Path, style: str) -> NDArray[np.uint8]:
    return np.asarray(Image.open(weights / "samples" / style / "1.webp").convert("RGB"))


def test_a_face_that_is_found_is_framed_like_a_photos(detector: FaceDetector, weights: Path) -> None:
    """A softly painted one, in the corner of a larger picture."""
    picture = np.zeros((800, 900, 3), np.uint8)
    picture[288:800, 388:900] = sample(weights, "illustration")
    (face,) = detector.detect(picture)
    expected, _ = align_face(picture, face.landmarks, DEMO, SIDE)
    assert np.array_equal(frame_reference(picture, DEMO, SIDE, detector), expected)


@pytest.mark.parametrize(("top", "left"), [(0, 0), (120, 0), (0, 120)])
def test_of_a_drawing_that_is_no_face_to_the_detector_a_square_is_taken(
    detector: FaceDetector, weights: Path, top: int, left: int
) -> None:
    """The middle of a wide picture and the upper end of a tall one, reduced to the style's size."""
    drawing = sample(weights, "anime")
    height, width, _ = drawing.shape
    picture = np.zeros((height + top, width + 2 * left, 3), np.uint8)
    picture[:height, left : left + width] = drawing
    reference = frame_reference(picture, DEMO, SIDE, detector)
    alone = frame_reference(drawing, DEMO, SIDE, detector)
    assert reference.shape == (SIDE, SIDE, 3)
    assert np.abs(reference.astype(int) - alone).mean() < 1
    assert np.abs(reference.astype(int).mean((0, 1)) - drawing.mean((0, 1))).max() < 3


def test_a_blank_picture_is_no_reference(detector: FaceDetector) -> None:
    """Whatever its colour, and with the noise of a compression."""
    noise = np.random.default_rng(0).integers(-1, 2, (128, 128, 3))
    for colour in (0, 128, 255):
        blank = np.clip(noise + colour, 0, 255).astype(np.uint8)
        with pytest.raises(ReferenceWithoutFace, match="anime face"):
            frame_reference(blank, DEMO, SIDE, detector)
