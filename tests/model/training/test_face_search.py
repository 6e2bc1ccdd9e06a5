"""Faces that are searched once: for every style of a run, and for the next run where latents are kept."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from nigaoe_model.inversion.settings import InversionSettings
from nigaoe_model.portrait.pair import LoadedGenerator, load_generator
from nigaoe_model.stylegan2.checkpoint import Checkpoint, save_checkpoint
from nigaoe_model.training.face_search import FaceSearch

QUICK = InversionSettings(steps=2)


@pytest.fixture
def loaded(parent: Checkpoint, tmp_path: Path) -> LoadedGenerator:
    """A generator that nobody searched yet."""
    save_checkpoint(parent, tmp_path / "g_ori.safetensors")
    return load_generator(tmp_path / "g_ori.safetensors")


@pytest.fixture
def faces(loaded: LoadedGenerator) -> Tensor:
    """Three pictures."""
    side = loaded.card.architecture.resolution
    return torch.randint(0, 256, (3, 3, side, side), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def test_the_same_faces_are_searched_once(loaded: LoadedGenerator, faces: Tensor) -> None:
    """A second style gets the very latents of the first; other faces are searched."""
    search = FaceSearch(loaded, QUICK)
    found = search(faces)
    assert found.shape == (3, loaded.card.architecture.num_ws, loaded.card.architecture.w_dim)
    assert search(faces.clone()) is found
    assert not torch.equal(search(faces.flip(0)), found)


def test_kept_latents_answer_a_later_run(loaded: LoadedGenerator, faces: Tensor, tmp_path: Path) -> None:
    """They come back bit by bit, and only for the settings that found them."""
    folder = tmp_path / "found"
    found = FaceSearch(loaded, QUICK, folder)(faces)
    (file,) = folder.iterdir()
    written = file.stat().st_mtime_ns
    assert torch.equal(FaceSearch(loaded, QUICK, folder)(faces), found)
    assert file.stat().st_mtime_ns == written
    FaceSearch(loaded, InversionSettings(steps=3), folder)(faces)
    assert len(list(folder.iterdir())) == 2
