"""A pair of any resolution with random weights, installed as a style: what it draws is noise, what it costs is real."""

from pathlib import Path

import torch

from benchmarks.parts.service_ground import STYLE
from nigaoe_faces.align import FFHQ
from nigaoe_model.stylegan2.architecture import published_architecture
from nigaoe_model.stylegan2.checkpoint import Checkpoint, CheckpointCard, save_checkpoint
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.stylegan2.latent_statistics import measure_latents

CHANNEL_BASE = 16384
"""Of NVIDIA's 256-pixel generators (`paper256`): 64 channels at 256 pixels, 512 at 32 and below."""


def install(folder: Path, resolution: int) -> Path:
    """Write ``g_ori``, ``g_fin`` (whose last block is another) and their manifest."""
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    architecture = published_architecture(resolution, channel_base=CHANNEL_BASE)
    generator = Generator(architecture).eval().requires_grad_(requires_grad=False)
    generator.mapping.w_avg.copy_(generator.mapping(torch.randn(256, architecture.z_dim)).mean(dim=0))
    card = CheckpointCard(name="noise", architecture=architecture, alignment=FFHQ, domain="human", licence="CC0-1.0")
    parent = Checkpoint(card, generator.state_dict(), statistics=measure_latents(generator, samples=500))
    state = {
        name: tensor + 0.3 * torch.randn(tensor.shape) if f"blocks.b{resolution}." in name else tensor
        for name, tensor in parent.generator.items()
    }
    news = {"name": STYLE, "domain": "anime", "trainable_blocks": 1, "parent_sha256": parent.digest}
    child = Checkpoint(card.model_copy(update=news), state, statistics=parent.statistics)
    save_checkpoint(parent, folder / "noise.safetensors")
    save_checkpoint(child, folder / f"{STYLE}.safetensors")
    (folder / "manifest.toml").write_text(
        "format_version = 1\n"
        '[generators.noise]\nfile = "noise.safetensors"\n'
        f'[styles.{STYLE}]\nfile = "{STYLE}.safetensors"\nparent = "noise"\n'
    )
    return folder
