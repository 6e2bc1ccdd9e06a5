"""A tiny generator's encoder, with weights that say something."""

from pathlib import Path

import pytest
import torch

from model.checkpoint import Checkpoint
from model.encoder.architecture import EncoderArchitecture
from model.encoder.checkpoint import EncoderCard, EncoderCheckpoint, save_encoder
from model.encoder.network import Encoder


@pytest.fixture
def tiny_encoder(tiny_checkpoint: Checkpoint) -> Encoder:
    """An encoder of the tiny generator that answers every picture otherwise."""
    torch.manual_seed(3)
    shape = tiny_checkpoint.card.architecture
    architecture = EncoderArchitecture(side=16, widths=(8, 12, 16), features=16, num_ws=shape.num_ws, w_dim=shape.w_dim)
    encoder = Encoder(architecture, tiny_checkpoint.statistics)
    torch.nn.init.normal_(encoder.heads.weight, std=0.3)
    return encoder.eval().requires_grad_(requires_grad=False)


@pytest.fixture
def encoder_card(tiny_encoder: Encoder, tiny_checkpoint: Checkpoint) -> EncoderCard:
    """What its file says."""
    return EncoderCard(
        name="tiny-encoder",
        architecture=tiny_encoder.architecture,
        generator_sha256=tiny_checkpoint.digest,
        alignment=tiny_checkpoint.card.alignment,
    )


@pytest.fixture
def encoder_file(tmp_path: Path, tiny_encoder: Encoder, encoder_card: EncoderCard) -> Path:
    """The encoder on disk, in half precision."""
    path = tmp_path / "tiny-encoder.safetensors"
    save_encoder(EncoderCheckpoint(encoder_card, tiny_encoder.state_dict()), path, dtype=torch.float16)
    return path
