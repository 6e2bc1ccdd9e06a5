"""Two public-domain portraits, what cameras make of them, and one detector for all tests."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pillow_heif import from_pillow

from nigaoe_faces.detect import FaceDetector

Picture = NDArray[np.uint8]

SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture(scope="session")
def astronaut_file() -> bytes:
    return (SAMPLES / "astronaut.jpg").read_bytes()


@pytest.fixture(scope="session")
def astronaut(astronaut_file: bytes) -> Picture:
    return _frozen(Image.open(BytesIO(astronaut_file)))


@pytest.fixture(scope="session")
def admiral() -> Picture:
    with Image.open(SAMPLES / "grace_hopper.jpg") as image:
        return _frozen(image)


def _frozen(image: Image.Image) -> Picture:
    array = np.array(image)
    array.setflags(write=False)
    return array


@pytest.fixture(scope="session")
def detector() -> FaceDetector:
    return FaceDetector()


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """Write an image in one of the five formats with Pillow's own options."""

    def write(image: Image.Image, picture_format: str, **options: Any) -> bytes:
        buffer = BytesIO()
        if picture_format == "HEIC":
            from_pillow(image).save(buffer, **options)
        else:
            image.save(buffer, format=picture_format, **options)
        return buffer.getvalue()

    return write


@pytest.fixture(scope="session")
def quarters() -> Picture:
    """Four coloured quarters, [48, 64, 3]: red, green, blue, yellow; no turn or mirror image of it is itself."""
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:24, :32] = (220, 30, 30)
    picture[:24, 32:] = (30, 200, 30)
    picture[24:, :32] = (30, 30, 220)
    picture[24:, 32:] = (220, 220, 30)
    picture.setflags(write=False)
    return picture
