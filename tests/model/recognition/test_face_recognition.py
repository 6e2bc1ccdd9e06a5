"""dlib's network against the original graph, and against what its descriptors are for."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from nigaoe_core.errors import BrokenCheckpoint
from nigaoe_model.pixels import to_planes
from nigaoe_model.recognition.face_recognition import SAME_PERSON, SIDE, FaceRecognition, shared_face_recognition


@pytest.fixture(scope="module")
def expected(repository: Path) -> dict[str, torch.Tensor]:
    """One input, and what face-api.js's own graph answers in float32."""
    return load_file(repository / "tests" / "data" / "golden" / "face-api-expected.safetensors")


def test_the_original_graph_is_met(expected: dict[str, torch.Tensor]) -> None:
    """128 numbers; what is left are the weights' 16 bits."""
    chips = expected["face_recognition.input"].float() / 127.5 - 1
    found = shared_face_recognition()(chips)
    torch.testing.assert_close(found, expected["face_recognition.output"], atol=1e-3, rtol=0)


def test_neighbours_change_nothing(expected: dict[str, torch.Tensor]) -> None:
    """A face is described alone as among others."""
    chips = expected["face_recognition.input"].float() / 127.5 - 1
    among_others = shared_face_recognition()(torch.cat([chips.flip(3), chips, -chips]))[1]
    torch.testing.assert_close(among_others, shared_face_recognition()(chips)[0], atol=1e-5, rtol=0)


def test_one_person_is_nearer_than_two(repository: Path) -> None:
    """Mirrored and darkened she is still herself; another person is somebody else."""
    boxes = {"astronaut.jpg": (165, 50, 285, 170), "grace_hopper.jpg": (190, 90, 350, 250)}
    faces = {}
    for name, box in boxes.items():
        with Image.open(repository / "samples" / name) as photo:
            faces[name] = to_planes(np.asarray(photo.convert("RGB").resize((SIDE, SIDE), box=box)))
    astronaut, hopper = faces.values()
    first, mirrored, other = shared_face_recognition()(torch.stack([astronaut, astronaut.flip(2) * 0.8, hopper]))
    assert (first - mirrored).norm() < min(SAME_PERSON, (first - other).norm())


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    """One sentence, not a stack of keys."""
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    for path in (tmp_path / "x.safetensors", tmp_path / "missing.safetensors"):
        with pytest.raises(BrokenCheckpoint, match="face recognition"):
            FaceRecognition(path)
