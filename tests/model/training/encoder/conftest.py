"""A tiny generator to learn from, with photos of its size."""

from collections.abc import Callable

import pytest

from nigaoe_model.inversion.encoder.architecture import encoder_architecture
from nigaoe_model.inversion.encoder.network import Encoder
from nigaoe_model.inversion.graphs import Recorder
from nigaoe_model.portrait.pair import LoadedGenerator
from nigaoe_model.training.dataset import PackedDataset
from nigaoe_model.training.encoder.config import EncoderConfig
from nigaoe_model.training.encoder.faces import Photos
from nigaoe_model.training.encoder.trainer import EncoderTrainer


@pytest.fixture
def brisk() -> EncoderConfig:
    """A small, quick network."""
    return EncoderConfig.model_validate(
        {
            "batch": 8,
            "variation": 0.0,
            "total_images": 4000,
            "network": {"widths": (8, 12, 16), "features": 16},
            "optimiser": {"learning_rate": 5e-3, "warm_up_images": 0, "schedule": "constant"},
            "average": {"halflife_images": 40},
            "cadence": {"log_images": 16, "score_images": 0, "score_faces": 8},
            "compute": {"device": "cpu", "threads": 1, "precision": "fp32"},
        }
    )


def trainer_of(
    loaded: LoadedGenerator, config: EncoderConfig, dataset: PackedDataset | None, recorder: Recorder | None = None
) -> EncoderTrainer:
    import torch

    torch.manual_seed(config.compute.seed)
    shape = encoder_architecture(loaded.card.architecture)
    shape = shape.model_copy(update={"widths": config.network.widths, "features": config.network.features})
    photos = (
        Photos(dataset, loaded, config.held_out, config.compute.seed, variation=config.variation)
        if dataset is not None
        else None
    )
    return EncoderTrainer(config, loaded, Encoder(shape, loaded.statistics), photos, recorder=recorder)


@pytest.fixture
def trainer_for(
    tiny_g_ori: LoadedGenerator, brisk: EncoderConfig, tiny_dataset: PackedDataset
) -> Callable[..., EncoderTrainer]:
    """A function that makes a trainer, with photos or without, and with some settings changed."""

    def make(*, photos: bool = True, recorder: Recorder | None = None, **changes: object) -> EncoderTrainer:
        return trainer_of(tiny_g_ori, brisk.model_copy(update=changes), tiny_dataset if photos else None, recorder)

    return make
