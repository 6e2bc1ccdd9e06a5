"""Small networks that the model's tests share."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nigaoe_faces.align import DEMO
from nigaoe_model.inversion.encoder.architecture import EncoderArchitecture
from nigaoe_model.inversion.encoder.checkpoint import EncoderCard, EncoderCheckpoint, save_encoder
from nigaoe_model.inversion.encoder.network import Encoder
from nigaoe_model.portrait.pair import LoadedGenerator, Pair, load_generator, load_pair
from nigaoe_model.stylegan2.architecture import Architecture
from nigaoe_model.stylegan2.checkpoint import Checkpoint, CheckpointCard, save_checkpoint
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.stylegan2.latent_statistics import measure_latents


@pytest.fixture(scope="session")
def tiny() -> Architecture:
    """16 pixels, a few thousand parameters."""
    return Architecture(
        resolution=16, channels={4: 12, 8: 10, 16: 8}, z_dim=8, w_dim=8, mapping_layers=2, minibatch_std_group=2
    )


@pytest.fixture
def tiny_generator(tiny: Architecture) -> Generator:
    """A seeded random generator whose noise is not zero, as in a trained one."""
    torch.manual_seed(0)
    generator = Generator(tiny)
    with torch.no_grad():
        for resolution in tiny.resolutions:
            for conv in generator.synthesis.block(resolution).convs:
                conv.noise_strength.fill_(0.1)
        generator.mapping.w_avg.copy_(generator.mapping(torch.randn(256, tiny.z_dim)).mean(dim=0))
    return generator.eval().requires_grad_(requires_grad=False)


@pytest.fixture
def tiny_checkpoint(tiny: Architecture, tiny_generator: Generator) -> Checkpoint:
    """The tiny generator as a base checkpoint."""
    card = CheckpointCard(name="tiny", architecture=tiny, alignment=DEMO, domain="human", licence="CC0-1.0")
    return Checkpoint(card, tiny_generator.state_dict(), statistics=measure_latents(tiny_generator, samples=500))


def fine_tuned(parent: Checkpoint, *, trainable_blocks: int, seed: int = 1) -> Checkpoint:
    """Return a child whose last blocks moved a little, as after `nigaoe finetune`."""
    random = torch.Generator().manual_seed(seed)
    resolutions = parent.card.architecture.trainable_resolutions(trainable_blocks)
    prefixes = tuple(f"synthesis.blocks.b{r}." for r in resolutions)
    state = {
        name: t + 0.3 * torch.randn(t.shape, generator=random) if prefixes and name.startswith(prefixes) else t.clone()
        for name, t in parent.generator.items()
    }
    card = parent.card.model_copy(
        update={
            "name": "tiny-anime",
            "domain": "anime",
            "trainable_blocks": trainable_blocks,
            "parent_sha256": parent.digest,
        }
    )
    return Checkpoint(card, state, statistics=parent.statistics)


@pytest.fixture
def child_of() -> Callable[..., Checkpoint]:
    """A function that makes a fine-tuned child of a checkpoint, with any freeze depth."""
    return fine_tuned


@pytest.fixture
def tiny_files(tmp_path: Path, tiny_checkpoint: Checkpoint) -> tuple[Path, Path]:
    """A base generator and a style with two trained blocks, as files."""
    g_ori, g_fin = tmp_path / "g_ori.safetensors", tmp_path / "g_fin.safetensors"
    save_checkpoint(tiny_checkpoint, g_ori)
    save_checkpoint(fine_tuned(tiny_checkpoint, trainable_blocks=2), g_fin)
    return g_ori, g_fin


@pytest.fixture
def tiny_g_ori(tiny_files: tuple[Path, Path]) -> LoadedGenerator:
    """The base generator, loaded."""
    return load_generator(tiny_files[0])


@pytest.fixture
def tiny_pair(tiny_files: tuple[Path, Path], tiny_g_ori: LoadedGenerator) -> Pair:
    """Both, loaded as a style."""
    return load_pair("tiny-anime", tiny_g_ori, tiny_files[1])


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
    """The card of its file."""
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
