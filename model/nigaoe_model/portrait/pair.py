"""A style: `g_ori`, its fine-tuned copy `g_fin`, and the frozen trunk that both share.

The thesis's observation: a latent means the same face to both, because mapping, constant and coarse blocks are equal.
Loading a pair makes sure that they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from nigaoe_core.errors import CheckpointMismatch, ParentMismatch
from nigaoe_core.manifest import DEFAULT_UPSCALER, UpscalerName
from nigaoe_model.inversion.encoder.checkpoint import LoadedEncoder, load_encoder_of
from nigaoe_model.portrait.palette import Palette
from nigaoe_model.stylegan2.checkpoint import CheckpointCard, load_checkpoint
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.stylegan2.latent_statistics import LatentStatistics, measure_latents


@dataclass(frozen=True, slots=True)
class LoadedGenerator:
    """A generator on its device with what its file says about it.

    Attributes:
        generator: Evaluation mode, no gradients, float32.
        card: The file's metadata.
        digest: Identity of the tensors, see `Checkpoint.digest`.
        statistics: Statistics of w, measured on loading where the file has none.
        encoder: Guesses where a search starts; None: there is none, and searches start from the mean face.
        palette: Of a style: which of its colours stand for a person's; None: drawings keep the style's own.
    """

    generator: Generator
    card: CheckpointCard
    digest: str
    statistics: LatentStatistics
    encoder: LoadedEncoder | None = None
    palette: Palette | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Two generators of one latent space; compared by identity.

    Attributes:
        style: The style's name.
        g_ori: Draws people.
        g_fin: Draws the style.
        trunk_resolution: Finest resolution at which both draw the same; None when nothing is shared.
        model_ids: Name and digest of each network, by its role.
        upscaler: How the style's drawings are enlarged.
    """

    style: str
    g_ori: LoadedGenerator
    g_fin: LoadedGenerator
    trunk_resolution: int | None
    model_ids: Mapping[str, str] = field(default_factory=dict)
    upscaler: UpscalerName = DEFAULT_UPSCALER


def load_generator(path: Path, device: torch.device | str = "cpu", *, encoder: Path | None = None) -> LoadedGenerator:
    """Load one generator.

    Args:
        path: Its checkpoint.
        device: Where it computes.
        encoder: Its encoder's file, where there is one.

    Raises:
        CheckpointError: See `nigaoe_model.stylegan2.checkpoint.load_checkpoint` and
            `nigaoe_model.inversion.encoder.checkpoint.load_encoder`.
        ParentMismatch: The encoder belongs to another generator.
    """
    checkpoint = load_checkpoint(path)
    generator = checkpoint.build_generator(device)
    statistics = checkpoint.statistics or measure_latents(generator)
    beside = load_encoder_of(encoder, checkpoint.card, checkpoint.digest, device) if encoder is not None else None
    palette = checkpoint.palette.to(torch.device(device)) if checkpoint.palette is not None else None
    return LoadedGenerator(generator, checkpoint.card, checkpoint.digest, statistics, beside, palette)


def load_pair(
    style: str,
    g_ori: LoadedGenerator,
    path: Path,
    device: torch.device | str = "cpu",
    *,
    upscaler: UpscalerName = DEFAULT_UPSCALER,
) -> Pair:
    """Load a style's generator beside its parent.

    Args:
        style: The style's name.
        g_ori: The parent, loaded once for all its styles.
        path: The style's checkpoint.
        device: Where it computes.
        upscaler: How its drawings are enlarged, as its manifest entry says.

    Raises:
        ParentMismatch: The style was fine-tuned from another generator.
        CheckpointMismatch: The tensors that must be frozen differ from the parent's, or the file is incomplete.
    """
    g_fin = load_generator(path, device)
    if g_fin.card.parent_sha256 != g_ori.digest:
        raise ParentMismatch(
            f"Style `{style}` was fine-tuned from generator {_short(g_fin.card.parent_sha256)}, not from "
            f"`{g_ori.card.name}` ({_short(g_ori.digest)}): install the pair that belongs together."
        )
    trunk = trunk_resolution(g_fin.card)
    check_frozen(g_ori.generator, g_fin.generator, trunk)
    model_ids = {"g_ori": model_id(g_ori), "g_fin": model_id(g_fin)}
    if g_ori.encoder is not None:
        model_ids["encoder"] = f"{g_ori.encoder.card.name}@{g_ori.encoder.digest[:12]}"
    return Pair(style, g_ori, g_fin, trunk, model_ids, upscaler)


def trunk_resolution(card: CheckpointCard) -> int | None:
    """Return the finest resolution that fine-tuning left alone; None when every block learned."""
    if card.trainable_blocks is None:
        raise CheckpointMismatch(f"`{card.name}` does not say how many blocks were trained: it is no style.")
    frozen = card.architecture.num_blocks - card.trainable_blocks
    return card.architecture.resolutions[frozen - 1] if frozen > 0 else None


def check_frozen(g_ori: Generator, g_fin: Generator, trunk: int | None) -> None:
    """Compare everything that must be frozen: mapping, constant, and blocks up to ``trunk``; nothing without a trunk.

    Raises:
        CheckpointMismatch: A tensor differs, or the architectures do.
    """
    if g_ori.architecture != g_fin.architecture:
        raise CheckpointMismatch("The two generators have different architectures; a pair needs one.")
    if trunk is None:
        return  # Everything was fine-tuned, perhaps elsewhere and the mapping network with it; importing has warned.
    prefixes = ["mapping."]
    prefixes += [f"synthesis.blocks.b{r}." for r in g_ori.architecture.resolutions if r <= trunk]
    ours = g_ori.state_dict()
    for name, tensor in g_fin.state_dict().items():
        if name.startswith(tuple(prefixes)) and not torch.equal(tensor, ours[name]):
            raise CheckpointMismatch(f"`{name}` should be frozen but differs from the parent's: the pair is damaged.")


def model_id(loaded: LoadedGenerator) -> str:
    """Return ``name@digest`` with the digest's first twelve digits."""
    return f"{loaded.card.name}@{loaded.digest[:12]}"


def _short(digest: str | None) -> str:
    return digest[:12] if digest else "unknown"
