from pathlib import Path

import numpy as np
import pytest
import torch

from nigaoe_faces.align import DEMO
from nigaoe_model.stylegan2.architecture import Architecture
from nigaoe_model.stylegan2.checkpoint import Checkpoint, CheckpointCard, load_checkpoint, save_checkpoint
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.stylegan2.latent_statistics import measure_latents
from nigaoe_model.training.config import TrainingConfig
from nigaoe_model.training.dataset import IMAGES, DatasetCard, PackedDataset, write_card
from nigaoe_model.training.gans_n_roses.config import GansNRosesConfig
from nigaoe_model.training.methods.domains import Domains


@pytest.fixture(scope="session")
def tiny_architecture() -> Architecture:
    return Architecture(
        resolution=16, channels={4: 8, 8: 8, 16: 4}, z_dim=8, w_dim=8, mapping_layers=2, minibatch_std_group=2
    )


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> PackedDataset:
    """Forty pictures of 16 px: coloured gradients."""
    return PackedDataset(write_dataset(tmp_path_factory.mktemp("data") / "gradients", count=40, resolution=16))


@pytest.fixture(scope="session")
def larger_dataset(tmp_path_factory: pytest.TempPathFactory) -> PackedDataset:
    """Twelve pictures of 32 px: coloured gradients."""
    return PackedDataset(write_dataset(tmp_path_factory.mktemp("data") / "larger", count=12, resolution=32))


@pytest.fixture(scope="session")
def domains(tiny_dataset: PackedDataset, tmp_path_factory: pytest.TempPathFactory) -> Domains:
    """The forty gradients as photos, of which four are held out, and thirty others as anime faces."""
    folder = write_dataset(tmp_path_factory.mktemp("data") / "anime", count=30, resolution=16, seed=1)
    return Domains.of(tiny_dataset, PackedDataset(folder), 4)


@pytest.fixture
def gans_n_roses_config() -> GansNRosesConfig:
    """Small, quick networks of 16 pixels."""
    return GansNRosesConfig.model_validate(
        {
            "architecture": {
                "size": 16,
                "num_down": 1,
                "channels": {4: 16, 8: 16, 16: 12},
                "style_dim": 16,
                "mapping_layers": 2,
                "local_size": 8,
            },
            "total_images": 400,
            "regularisation": {"r1_every": 3},
            "cadence": {"log_images": 8, "grid_images": 0, "score_images": 0, "score_samples": 8},
            "compute": {"precision": "fp32", "threads": 1, "device": "cpu"},
        }
    )


def write_dataset(folder: Path, *, count: int, resolution: int, seed: int = 0) -> Path:
    folder.mkdir()
    random = np.random.default_rng(seed)
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


@pytest.fixture(scope="session")
def parent(tiny_architecture: Architecture, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A slim generator on disk, as a fine-tune finds it."""
    torch.manual_seed(7)
    generator = Generator(tiny_architecture)
    generator.mapping.w_avg.normal_()
    state = {name: t.half() for name, t in generator.state_dict().items()}
    card = CheckpointCard(name="g_ori", architecture=tiny_architecture, alignment=DEMO, domain="human")
    path = tmp_path_factory.mktemp("parent") / "g_ori.safetensors"
    save_checkpoint(Checkpoint(card, state, statistics=measure_latents(generator, samples=100)), path)
    return load_checkpoint(path)
