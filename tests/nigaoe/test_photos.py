"""Photos as callers name them, and what is said about their faces."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nigaoe.photos import FramedFace, find_photos, read_pixels
from nigaoe_core.errors import EmptyImage, ImageTooSmall, UsageError
from nigaoe_faces.align import DEMO, align_face
from nigaoe_faces.detect import Face

FRONTAL = np.array([[30.0, 40.0], [70.0, 40.0], [50.0, 60.0], [35.0, 80.0], [65.0, 80.0]])
TURNED = np.array([[30.0, 40.0], [44.0, 40.0], [66.0, 60.0], [36.0, 80.0], [46.0, 80.0]])


def framed(landmarks: np.ndarray, scale: float = 1.0) -> FramedFace:
    """A face of 60 x 80 pixels times ``scale``."""
    photo = np.full((int(120 * scale), int(120 * scale), 3), 90, dtype=np.uint8)
    points = landmarks * scale
    face = Face(box=(20 * scale, 20 * scale, 80 * scale, 100 * scale), landmarks=points, confidence=0.99)
    crop, alignment = align_face(photo, points, DEMO, 64)
    return FramedFace(Path("a.jpg"), face, 0, 1, crop, alignment)


def test_a_frontal_face_of_good_size_needs_no_word() -> None:
    """Silence means that nothing speaks against a good likeness."""
    assert framed(FRONTAL).warnings == []


def test_a_head_turned_away_and_a_tiny_face_are_warned_of() -> None:
    """Each warning says which photo would do better."""
    assert "turned far" in framed(TURNED).warnings[0]
    assert "closer photo" in framed(FRONTAL, scale=0.4).warnings[0]


def test_photos_are_found_once_each(tmp_path: Path) -> None:
    """Folders are searched through, patterns spelled out, repetitions dropped, other files left alone."""
    (tmp_path / "deep").mkdir()
    for name in ("b.JPG", "a.png", "deep/c.heic", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    found = find_photos([str(tmp_path), str(tmp_path / "*.png"), str(tmp_path / "a.png")])
    assert [path.name for path in found] == ["a.png", "b.JPG", "c.heic"]
    assert find_photos([str(tmp_path / "*.gif")]) == [tmp_path / "*.gif"]


def test_a_photo_is_the_same_however_it_is_given(sample_photo: Path) -> None:
    """A path, its text, the file's bytes, a PIL picture, and an array of pixels."""
    pixels = read_pixels(sample_photo)
    assert pixels.shape[2] == 3
    with Image.open(sample_photo) as picture:
        for same in (str(sample_photo), sample_photo.read_bytes(), picture, pixels):
            assert np.array_equal(read_pixels(same), pixels)


def test_a_pil_picture_is_turned_upright_and_put_on_white() -> None:
    """As the same picture in a file would be."""
    exif = Image.Exif()
    exif[0x0112] = 6
    file = BytesIO()
    Image.new("RGB", (40, 60), (10, 20, 30)).save(file, "PNG", exif=exif)
    with Image.open(file) as turned:
        assert read_pixels(turned).shape == (40, 60, 3)
    assert (read_pixels(Image.new("RGBA", (40, 40), (0, 0, 0, 0))) == 255).all()
    assert read_pixels(np.full((40, 50), 7, dtype=np.uint8)).shape == (40, 50, 3)


def test_what_is_no_photo_is_refused_with_a_sentence(tmp_path: Path) -> None:
    """Whatever form it has."""
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(EmptyImage):
        read_pixels(tmp_path / "empty.jpg")
    with pytest.raises(UsageError, match="check the name"):
        read_pixels(tmp_path / "nobody.jpg")
    with pytest.raises(UsageError, match="uint8"):
        read_pixels(np.zeros((64, 64, 3)))  # type: ignore[arg-type]  # what a mistake in a notebook looks like
    with pytest.raises(UsageError, match="convert"):
        read_pixels(Image.new("CMYK", (64, 64)))
    with pytest.raises(ImageTooSmall):
        read_pixels(np.zeros((4, 4, 3), dtype=np.uint8))
