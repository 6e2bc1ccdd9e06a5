"""What a run says about its faces."""

from pathlib import Path

import numpy as np

from nigaoe.conversion_run import failure_report, warnings_for
from nigaoe.photos import FramedFace, find_photos
from nigaoe_core.errors import NoFace
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
    assert warnings_for(framed(FRONTAL)) == []


def test_a_head_turned_away_and_a_tiny_face_are_told() -> None:
    """Each warning says which photo would do better."""
    assert "turned far" in warnings_for(framed(TURNED))[0]
    assert "closer photo" in warnings_for(framed(FRONTAL, scale=0.4))[0]


def test_a_failure_is_json_with_a_code() -> None:
    """Programs read the code, people the sentence, and details come along."""
    report = failure_report(Path("x.jpg"), NoFace("No face here.", faces=[]))
    assert report == {"photo": "x.jpg", "error": {"code": "no_face", "message": "No face here.", "faces": []}}


def test_photos_are_found_once_each(tmp_path: Path) -> None:
    """Folders are searched through, patterns spelled out, repetitions dropped, other files left alone."""
    (tmp_path / "deep").mkdir()
    for name in ("b.JPG", "a.png", "deep/c.heic", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    found = find_photos([str(tmp_path), str(tmp_path / "*.png"), str(tmp_path / "a.png")])
    assert [path.name for path in found] == ["a.png", "b.JPG", "c.heic"]
    assert find_photos([str(tmp_path / "*.gif")]) == [tmp_path / "*.gif"]
