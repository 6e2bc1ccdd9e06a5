"""A quick Swapping Autoencoder of 16 pixels, with what it learns from."""

from collections.abc import Callable

import pytest
import torch

from nigaoe_model.inversion.graphs import Recorder
from nigaoe_model.training.config import change_config
from nigaoe_model.training.methods.domains import Domains
from nigaoe_model.training.methods.trainer import MethodTrainer
from nigaoe_model.training.swapping_autoencoder.config import SwappingAutoencoderConfig
from nigaoe_model.training.swapping_autoencoder.step import SwappingAutoencoderStep

Made = tuple[MethodTrainer, SwappingAutoencoderStep]


@pytest.fixture
def brisk() -> SwappingAutoencoderConfig:
    """Small networks; R1 in every second of the discriminators' steps."""
    return SwappingAutoencoderConfig.model_validate(
        {
            "architecture": {
                "resolution": 16,
                "encoder_channels": [8, 16],
                "texture_channels": [24],
                "texture_dim": 24,
                "head_channels": [12, 16],
                "up_channels": [12],
            },
            "discriminator_channels": {4: 12, 8: 12, 16: 8},
            "patch_discriminator": {"patch_size": 8, "channels": [8, 12], "pair_widths": [16]},
            "crops": {"count": 3, "min_scale": 0.25, "max_scale": 0.5, "size": 8},
            "weights": {"r1_gamma": 0.1, "patch_r1_gamma": 0.1, "r1_every": 2},
            "batch": 8,
            "total_images": 4000,
            "average": {"halflife_images": 200},
            "cadence": {"log_images": 16, "grid_images": 0, "score_images": 0, "score_samples": 8},
            "compute": {"precision": "fp32", "threads": 1, "device": "cpu"},
        }
    )


@pytest.fixture
def made(brisk: SwappingAutoencoderConfig, domains: Domains) -> Callable[..., Made]:
    """A function that makes a trainer with its step, with some settings changed."""

    def make(recorder: Recorder | None = None, **changes: object) -> Made:
        config = change_config(brisk, {name.replace("__", "."): value for name, value in changes.items()})
        torch.manual_seed(config.compute.seed)
        device = torch.device("cpu")
        body = SwappingAutoencoderStep(config, domains, device)
        return MethodTrainer("swapping-autoencoder", config, domains, body, device, recorder=recorder), body

    return make
