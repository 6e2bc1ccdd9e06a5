"""One clip and one loaded library for all tests of videos."""

from pathlib import Path

import numpy as np
import pytest
from clips import Clip, Picture, background, moving_face, walk, write_clip

from nigaoe import Nigaoe

FRAMES = 12


@pytest.fixture(scope="session")
def nigaoe_library(weights: Path) -> Nigaoe:
    """The bundled styles, loaded when they are first needed; drawings are not enlarged."""
    return Nigaoe(device="cpu", threads=1, weights=weights, upscale=False)


@pytest.fixture(scope="session")
def face_frames(weights: Path) -> list[Picture]:
    """Twelve frames of a person who moves a little, seen by a noisy camera."""
    noise = np.random.default_rng(0)
    frames = moving_face(walk(weights / "g_ori.safetensors", FRAMES, share=0.3), background())
    return [np.clip(frame + noise.normal(0, 6, frame.shape), 0, 255).astype(np.uint8) for frame in frames]


@pytest.fixture(scope="session")
def clip(face_frames: list[Picture], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a file, with a tone."""
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", Clip(face_frames))
