"""The native checkpoint: one safetensors file that explains itself and executes nothing.

Tensors lie under ``generator.``, ``discriminator.``, ``statistics.`` and ``palette.``; the header's only metadata
entry, ``nigaoe``, is the JSON of a :class:`CheckpointCard`.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from nigaoe_core.errors import BrokenCheckpoint, CheckpointMismatch, ForeignCheckpoint, MethodMismatch
from nigaoe_core.style_methods import METHOD_TITLES, feed_forward_method
from nigaoe_faces.align import AlignmentTemplate
from nigaoe_model.portrait.palette import Palette
from nigaoe_model.stylegan2.architecture import Architecture
from nigaoe_model.stylegan2.discriminator import Discriminator
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.stylegan2.latent_statistics import LatentStatistics
from nigaoe_model.tensor_file import compare_tensors, load_strictly, opened, stored, write_tensors

METADATA_KEY = "nigaoe"
FORMAT_VERSION: Literal[1] = 1
GENERATOR = "generator."
DISCRIMINATOR = "discriminator."
STATISTICS = "statistics."
PALETTE = "palette."


class TrainingRecord(BaseModel):
    """Training history of the weights; every field may be unknown in an imported file.

    Attributes:
        images_seen: Real images shown to the discriminator in all, the parent's not included.
        datasets: Names of the data sets.
        recipe: The resolved settings of the run.
        metrics: Name to value, as measured when the file was written.
        notes: Free text.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    images_seen: Annotated[int, Field(ge=0)] = 0
    datasets: tuple[str, ...] = ()
    recipe: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, float] = Field(default_factory=dict)
    notes: str = ""


class CheckpointCard(BaseModel):
    """Everything about a checkpoint that is not a tensor.

    Attributes:
        name: Short name, as in ``--style``.
        architecture: Shape of the networks inside.
        alignment: How photos are framed for this generator.
        domain: What the pictures show.
        trainable_blocks: Freeze depth of a fine-tuned generator, counted from the output; None for a base generator.
        parent_sha256: Digest of the generator that this one was fine-tuned from; None for a base generator.
        training: How the weights came to be.
        licence: SPDX expression or a sentence.
        source: Where the weights come from: a run, a file name, an address.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = FORMAT_VERSION
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
    architecture: Architecture
    alignment: AlignmentTemplate
    domain: Literal["human", "anime", "other"]
    trainable_blocks: Annotated[int, Field(ge=0, le=9)] | None = None
    parent_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    training: TrainingRecord = TrainingRecord()
    licence: str = "unknown"
    source: str = ""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A card with its tensors, checked against each other.

    Attributes:
        card: Metadata.
        generator: State dict in our names; empty when the file holds no generator.
        discriminator: State dict in our names; empty when the file holds none.
        statistics: Statistics of w, when the file holds a generator.
        palette: Where a style's colours lie beside its parent's; without it drawings keep the style's own.
    """

    card: CheckpointCard
    generator: Mapping[str, Tensor] = field(default_factory=dict)
    discriminator: Mapping[str, Tensor] = field(default_factory=dict)
    statistics: LatentStatistics | None = None
    palette: Palette | None = None

    @property
    def digest(self) -> str:
        """Identity of the generator: sha256 over names, types, shapes and bytes of its tensors.

        It does not depend on the card, so that a corrected licence text orphans no fine-tuned child.
        """
        return tensor_digest(self.generator)

    def build_generator(self, device: torch.device | str = "cpu") -> Generator:
        """Return the generator in float32, in evaluation mode, without gradients.

        Raises:
            CheckpointMismatch: There is no generator, or it does not fit the architecture.
        """
        generator = Generator(self.card.architecture)
        load_strictly(generator, self.generator, "generator")
        return generator.to(device).eval().requires_grad_(requires_grad=False)

    def build_discriminator(self, device: torch.device | str = "cpu") -> Discriminator:
        """Return the discriminator in float32, in evaluation mode, without gradients.

        Raises:
            CheckpointMismatch: There is no discriminator, or it does not fit the architecture.
        """
        discriminator = Discriminator(self.card.architecture)
        load_strictly(discriminator, self.discriminator, "discriminator")
        return discriminator.to(device).eval().requires_grad_(requires_grad=False)


def tensor_digest(state: Mapping[str, Tensor]) -> str:
    """Return the sha256 over the sorted names, types, shapes and bytes of ``state``."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().contiguous().cpu()
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save_checkpoint(checkpoint: Checkpoint, path: Path, *, dtype: torch.dtype | None = None) -> None:
    """Write a checkpoint atomically.

    Args:
        checkpoint: What to write.
        path: Target; an existing file is replaced only by a complete one.
        dtype: Store floating-point network tensors in this type (fp16 for slim files); None keeps each type.
            Statistics and palette always stay in float32.
    """
    tensors = _prefixed(GENERATOR, checkpoint.generator, dtype) | _prefixed(
        DISCRIMINATOR, checkpoint.discriminator, dtype
    )
    if checkpoint.statistics is not None:
        tensors |= _prefixed(STATISTICS, checkpoint.statistics.tensors(), None)
    if checkpoint.palette is not None:
        tensors |= _prefixed(PALETTE, checkpoint.palette.tensors(), None)
    write_tensors(path, tensors, {METADATA_KEY: checkpoint.card.model_dump_json()})


def read_card(path: Path) -> CheckpointCard:
    """Read only the metadata of a native checkpoint.

    Raises:
        BrokenCheckpoint: The file is missing, truncated or damaged, or its card is invalid.
        ForeignCheckpoint: A safetensors file that is not ours, or of a newer format.
    """
    with opened(path) as file:
        return _card(file.metadata(), path)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a native checkpoint and check its tensors against its architecture.

    Raises:
        BrokenCheckpoint: The file is missing, truncated or damaged, or its card is invalid.
        ForeignCheckpoint: A safetensors file that is not ours, or of a newer format.
        MethodMismatch: It holds a feed-forward network.
        CheckpointMismatch: A tensor is missing, surplus, or of another shape.
    """
    with opened(path) as file:
        card = _card(file.metadata(), path)
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - safe_open is no mapping
    surplus = [n for n in tensors if not n.startswith((GENERATOR, DISCRIMINATOR, STATISTICS, PALETTE))]
    if surplus:
        raise CheckpointMismatch(f"`{path.name}` holds tensors that belong to nothing: {', '.join(surplus[:3])}.")
    statistics, palette = _part(tensors, STATISTICS), _part(tensors, PALETTE)
    checkpoint = Checkpoint(
        card=card,
        generator=_part(tensors, GENERATOR),
        discriminator=_part(tensors, DISCRIMINATOR),
        statistics=LatentStatistics.from_tensors(statistics, card.architecture) if statistics else None,
        palette=Palette.from_tensors(palette) if palette else None,
    )
    _check_shapes(checkpoint)
    return checkpoint


def _check_shapes(checkpoint: Checkpoint) -> None:
    architecture = checkpoint.card.architecture
    if not checkpoint.generator and not checkpoint.discriminator:
        raise CheckpointMismatch(f"`{checkpoint.card.name}` holds neither a generator nor a discriminator.")
    with torch.device("meta"):
        if checkpoint.generator:
            compare_tensors("generator", Generator(architecture).state_dict(), checkpoint.generator)
        if checkpoint.discriminator:
            compare_tensors("discriminator", Discriminator(architecture).state_dict(), checkpoint.discriminator)


def _prefixed(prefix: str, state: Mapping[str, Tensor], dtype: torch.dtype | None) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in stored(state, dtype).items()}


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _card(metadata: Mapping[str, str] | None, path: Path) -> CheckpointCard:
    if not metadata or METADATA_KEY not in metadata:
        raise ForeignCheckpoint(
            f"`{path.name}` is a safetensors file of another program; bring it in with `nigaoe weights import`."
        )
    try:
        document = json.loads(metadata[METADATA_KEY])
        version = document.get("format_version") if isinstance(document, dict) else None
        if isinstance(document, dict) and document.get("kind") == "encoder":
            raise CheckpointMismatch(
                f"`{path.name}` is an encoder, no generator; put it beside its generator with `nigaoe weights attach`."
            )
        method = feed_forward_method(document.get("kind")) if isinstance(document, dict) else None
        if method is not None:
            raise MethodMismatch(
                f"`{path.name}` is of the method {METHOD_TITLES[method]}, no StyleGAN2 that latents are searched in: "
                "import it as a style of its own, without --parent."
            )
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise ForeignCheckpoint(f"`{path.name}` has format {version}; this Nigaoe reads {FORMAT_VERSION}: upgrade.")
        return CheckpointCard.model_validate(document)
    except (ValidationError, json.JSONDecodeError) as error:
        raise BrokenCheckpoint(f"The metadata of `{path.name}` are damaged: {error}") from error
