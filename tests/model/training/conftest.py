from pathlib import Path

import numpy as np
import pytest

from faces.align import DEMO
from model.architecture import Architecture
from model.training.config import TrainingConfig
from model.training.dataset import IMAGES, DatasetCard, PackedDataset, write_card


@pytest.fixture(scope="session")
def tiny_architecture() -> Architecture:
    return Architecture(
        resolution=16, channels={4: 8, 8: 8, 16: 4}, z_dim=8, w_dim=8, mapping_layers=2, minibatch_std_group=2
    )


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> PackedDataset:
    """Forty pictures of 16 px: coloured gradients."""
    return PackedDataset(write_dataset(tmp_path_factory.mktemp("data") / "gradients", count=40, resolution=16))


def write_dataset(folder: Path, *, count: int, resolution: int) -> Path:
    folder.mkdir()
    random = np.random.default_rng(0)
    line = np.linspace(0, 1, resolution)
    slopes = random.uniform(-1, 1, (count, 3, 2))
    gradient = slopes[..., 0, None, None] * line[:, None] + slopes[..., 1, None, None] * line
    pixels = np.clip(128 + 100 * gradient, 0, 255).astype(np.uint8)
    (folder / IMAGES).write_bytes(pixels.tobytes())
    write_card(folder, DatasetCard(name=folder.name, resolution=resolution, count=count, alignment=DEMO))
    return folder


@pytest.fixture
def tiny_config(tiny_architecture: Architecture) -> TrainingConfig:
    return TrainingConfig.model_validate(
        {
            "architecture": tiny_architecture,
            "batch": 4,
            "total_images": 400,
            "regularisation": {"r1_every": 3, "path_length_every": 2},
            "cadence": {"log_images": 8, "grid_images": 0, "score_images": 0},
            "compute": {"precision": "fp32", "threads": 1, "device": "cpu"},
        }
    )
