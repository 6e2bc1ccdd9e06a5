"""An encoder on disk: one safetensors file that names the generator to which it belongs.

Tensors lie under ``encoder.``; the header's only metadata entry, ``nigaoe``, is the JSON of an :class:`EncoderCard`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from nigaoe_core.errors import BrokenCheckpoint, CheckpointMismatch, ForeignCheckpoint, ParentMismatch
from nigaoe_faces.align import AlignmentTemplate
from nigaoe_model.device import preferred_layout
from nigaoe_model.inversion.encoder.architecture import EncoderArchitecture
from nigaoe_model.inversion.encoder.network import Encoder
from nigaoe_model.stylegan2.checkpoint import (
    FORMAT_VERSION,
    METADATA_KEY,
    CheckpointCard,
    TrainingRecord,
    tensor_digest,
)
from nigaoe_model.stylegan2.latent_statistics import LatentStatistics
from nigaoe_model.tensor_file import load_strictly, opened, stored, write_tensors

ENCODER = "encoder."
STATISTICS = ("mean", "std")


class EncoderCard(BaseModel):
    """Everything about an encoder's file that is not a tensor.

    Attributes:
        kind: Tells the file from a generator's.
        name: Short name.
        architecture: Shape of the network inside.
        generator_sha256: Digest of the generator whose latents it guesses
            (`nigaoe_model.stylegan2.checkpoint.Checkpoint.digest`).
        alignment: How photos must be framed for it.
        training: How the weights came to be.
        licence: SPDX expression or a sentence.
        source: Where the weights come from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = FORMAT_VERSION
    kind: Literal["encoder"] = "encoder"
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
    architecture: EncoderArchitecture
    generator_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    alignment: AlignmentTemplate
    training: TrainingRecord = TrainingRecord()
    licence: str = "unknown"
    source: str = ""


@dataclass(frozen=True, slots=True)
class EncoderCheckpoint:
    """A card with its tensors.

    Attributes:
        card: Metadata.
        tensors: State dict of the network.
    """

    card: EncoderCard
    tensors: Mapping[str, Tensor]

    @property
    def digest(self) -> str:
        """Identity of the weights: sha256 over names, types, shapes and bytes of the tensors."""
        return tensor_digest(self.tensors)

    def build(self, device: torch.device | str = "cpu") -> Encoder:
        """Return the network in float32, in evaluation mode, without gradients.

        Raises:
            CheckpointMismatch: The tensors do not fit the architecture.
        """
        encoder = Encoder(self.card.architecture)
        load_strictly(encoder, self.tensors, "encoder")
        encoder = encoder.to(device).to(memory_format=preferred_layout(torch.device(device)))
        return encoder.eval().requires_grad_(requires_grad=False)


@dataclass(frozen=True, slots=True)
class LoadedEncoder:
    """An encoder on its device.

    Attributes:
        network: Evaluation mode, no gradients, float32.
        card: The file's metadata.
        digest: Identity of the weights.
    """

    network: Encoder
    card: EncoderCard
    digest: str


def save_encoder(checkpoint: EncoderCheckpoint, path: Path, *, dtype: torch.dtype | None = None) -> None:
    """Write an encoder atomically.

    Args:
        checkpoint: What to write.
        path: Target; an existing file is replaced only by a complete one.
        dtype: Store weights in this type (fp16 for slim files); None keeps each type. Statistics of w stay in float32.
    """
    tensors = stored(checkpoint.tensors, dtype) | stored({n: checkpoint.tensors[n] for n in STATISTICS}, torch.float32)
    named = {ENCODER + name: tensor for name, tensor in tensors.items()}
    write_tensors(path, named, {METADATA_KEY: checkpoint.card.model_dump_json()})


def load_encoder(path: Path) -> EncoderCheckpoint:
    """Read an encoder's file.

    Raises:
        BrokenCheckpoint: The file is missing, truncated or damaged, or its card is invalid.
        ForeignCheckpoint: A file that is not ours, or of a newer format.
        CheckpointMismatch: A file of ours that holds no encoder, or tensors that belong to nothing.
    """
    with opened(path) as file:
        card = _card(file.metadata() or {}, path)
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - safe_open is no mapping
    surplus = [name for name in tensors if not name.startswith(ENCODER)]
    if surplus:
        raise CheckpointMismatch(f"`{path.name}` holds tensors that belong to nothing: {', '.join(surplus[:3])}.")
    return EncoderCheckpoint(card, {name.removeprefix(ENCODER): tensor for name, tensor in tensors.items()})


def load_encoder_of(
    path: Path, generator: CheckpointCard, digest: str, device: torch.device | str = "cpu"
) -> LoadedEncoder:
    """Load the encoder of one generator.

    Args:
        path: The encoder's file.
        generator: Card of the generator.
        digest: Identity of the generator's tensors.
        device: Where it shall compute.

    Raises:
        CheckpointError: See `load_encoder`.
        ParentMismatch: The encoder was trained for another generator.
        CheckpointMismatch: It guesses latents of another shape.
    """
    checkpoint = load_encoder(path)
    card = checkpoint.card
    if card.generator_sha256 != digest:
        raise ParentMismatch(
            f"The encoder `{path.name}` was trained for generator {card.generator_sha256[:12]}, not for "
            f"`{generator.name}` ({digest[:12]}): train one with `nigaoe train encoder`, or remove its entry."
        )
    shape = (card.architecture.num_ws, card.architecture.w_dim)
    if shape != (generator.architecture.num_ws, generator.architecture.w_dim):
        raise CheckpointMismatch(f"The encoder `{path.name}` guesses latents of another shape than its generator's.")
    return LoadedEncoder(checkpoint.build(device), card, checkpoint.digest)


def start_encoder(
    architecture: EncoderArchitecture, statistics: LatentStatistics, earlier: Path | None = None
) -> Encoder:
    """Return an encoder to train: one that answers with the mean face, or one that knows an earlier generator.

    Args:
        architecture: Its shape.
        statistics: Of this generator's w; they replace the earlier generator's.
        earlier: File of the encoder to start from, perhaps of a generator with fewer layers: what it guesses for the
            last of them is the start for the new ones.

    Raises:
        CheckpointError: See `load_encoder`.
        CheckpointMismatch: The earlier encoder has another shape.
    """
    encoder = Encoder(architecture, statistics)
    if earlier is None:
        return encoder
    checkpoint = load_encoder(earlier)
    found = checkpoint.card.architecture
    if found.num_ws > architecture.num_ws or found.model_copy(update={"num_ws": architecture.num_ws}) != architecture:
        raise CheckpointMismatch(f"The encoder `{earlier.name}` has another shape than this run's; start without it.")
    weights = {name: tensor.float() for name, tensor in checkpoint.build().named_parameters()}
    heads = {name: _with_more_layers(weights[f"heads.{name}"], architecture) for name in ("weight", "bias")}
    encoder.load_state_dict(
        encoder.state_dict() | weights | {f"heads.{name}": tensor for name, tensor in heads.items()}
    )
    return encoder


def _with_more_layers(heads: Tensor, architecture: EncoderArchitecture) -> Tensor:
    """Repeat the last layer's head for layers that have none. # [layers * w_dim, ...] -> [num_ws * w_dim, ...]."""
    layered = heads.reshape(-1, architecture.w_dim, *heads.shape[1:])
    last = layered[-1:].expand(architecture.num_ws - len(layered), *layered.shape[1:])
    return torch.cat([layered, last]).flatten(0, 1)


def _card(metadata: Mapping[str, str], path: Path) -> EncoderCard:
    if METADATA_KEY not in metadata:
        raise ForeignCheckpoint(
            f"`{path.name}` is a safetensors file of another program; encoders are made by `nigaoe train encoder`."
        )
    try:
        document = json.loads(metadata[METADATA_KEY])
        if not isinstance(document, dict) or document.get("kind") != "encoder":
            raise CheckpointMismatch(f"`{path.name}` holds no encoder; make one with `nigaoe train encoder`.")
        version = document.get("format_version")
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise ForeignCheckpoint(f"`{path.name}` has format {version}; this Nigaoe reads {FORMAT_VERSION}: upgrade.")
        return EncoderCard.model_validate(document)
    except (ValidationError, json.JSONDecodeError) as error:
        raise BrokenCheckpoint(f"The metadata of `{path.name}` are damaged: {error}") from error
