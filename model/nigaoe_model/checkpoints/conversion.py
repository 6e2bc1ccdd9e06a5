"""Conversion of foreign tensors to a native checkpoint: names and shapes by the layout, and what foreign files lack."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from torch import Tensor

from nigaoe_core.errors import BrokenCheckpoint, CheckpointMismatch
from nigaoe_faces.align import FFHQ, AlignmentTemplate
from nigaoe_model.checkpoints.examination import Reading
from nigaoe_model.checkpoints.families import FAMILIES
from nigaoe_model.checkpoints.families.recognised import LayoutName
from nigaoe_model.checkpoints.layouts import discriminator_rows, generator_rows, to_native
from nigaoe_model.checkpoints.reader_process import DISCRIMINATOR, GENERATOR, LATENT_AVG
from nigaoe_model.stylegan2.architecture import Architecture
from nigaoe_model.stylegan2.checkpoint import Checkpoint, CheckpointCard, TrainingRecord, load_checkpoint
from nigaoe_model.stylegan2.generator import Mapping as MappingNetwork
from nigaoe_model.stylegan2.latent_statistics import DEFAULT_SAMPLES, sample_w

State = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Description:
    """The user's description of a file; None and empty leave it to the file.

    Attributes:
        name: Short name of the result.
        domain: ``human``, ``anime`` or ``other``.
        alignment: How photos are framed for it.
        licence: Of the weights.
        source: Where they come from.
    """

    name: str
    domain: str | None = None
    alignment: AlignmentTemplate | None = None
    licence: str = ""
    source: str = ""


def native_checkpoint(path: Path, description: Description) -> Checkpoint:
    """Load a file in our own format under a new description.

    Raises:
        CheckpointError: The file is damaged or of a newer format.
    """
    checkpoint = load_checkpoint(path)
    return replace(checkpoint, card=_described(checkpoint.card, description))


def converted_checkpoint(path: Path, reading: Reading, tensors: Path, description: Description) -> Checkpoint:
    """Build a native checkpoint from what the reader found.

    Args:
        path: The foreign file, for its name.
        reading: Its report.
        tensors: The file of tensors that the reader wrote.
        description: What the user says.

    Raises:
        CheckpointMismatch: A tensor is missing or has another shape.
    """
    if reading.architecture is None or reading.layout is None:
        raise CheckpointMismatch(f"`{path.name}` holds no generator.")
    loaded = {name: _at_most_float32(tensor) for name, tensor in load_file(tensors).items()}
    generator = _generator(reading.layout, reading.architecture, _part(loaded, GENERATOR))
    average = loaded.get(LATENT_AVG)
    if average is not None:
        # e4e stores one copy a layer.
        generator["mapping.w_avg"] = average.reshape(-1, average.shape[-1])[0].contiguous()
    discriminator = _discriminator(reading.layout, reading.architecture, _part(loaded, DISCRIMINATOR))
    card = _described(_foreign_card(path, reading), description)
    checkpoint = Checkpoint(card=card, generator=generator, discriminator=discriminator)
    return checkpoint if "mapping.w_avg" in generator else _with_mean_style(checkpoint)


def _generator(layout: LayoutName, architecture: Architecture, tensors: Mapping[str, Tensor]) -> State:
    rows = generator_rows(FAMILIES[layout].generator, architecture)
    if layout != "rosinality" or "noises.noise_0" in tensors:
        return to_native(rows, tensors)
    without_maps = [row for row in rows if not row.native.endswith(".noise_const")]
    return to_native(without_maps, tensors) | _noise_maps(architecture)


def _discriminator(layout: LayoutName, architecture: Architecture, tensors: Mapping[str, Tensor]) -> State:
    return to_native(discriminator_rows(FAMILIES[layout].discriminator, architecture), tensors) if tensors else {}


def _noise_maps(architecture: Architecture) -> State:
    """Draw the fixed noise maps that very old files lack, the same ones every time."""
    random = torch.Generator().manual_seed(0)
    maps = {}
    for resolution in architecture.resolutions:
        for conv in ("conv1",) if resolution == 4 else ("conv0", "conv1"):
            name = f"synthesis.blocks.b{resolution}.{conv}.noise_const"
            maps[name] = torch.randn(resolution, resolution, generator=random)
    return maps


def _with_mean_style(checkpoint: Checkpoint) -> Checkpoint:
    """Recompute the mean style, which rosinality's trainer does not store."""
    mapping = MappingNetwork(checkpoint.card.architecture)
    mapping.load_state_dict({"w_avg": mapping.w_avg} | _part(checkpoint.generator, "mapping."))
    mean = sample_w(mapping, DEFAULT_SAMPLES, seed=0).mean(dim=0)
    return replace(checkpoint, generator={**checkpoint.generator, "mapping.w_avg": mean})


def _foreign_card(path: Path, reading: Reading) -> CheckpointCard:
    assert reading.architecture is not None  # noqa: S101 - the caller has checked it
    if reading.card:
        try:
            card = CheckpointCard.model_validate_json(reading.card)
        except ValidationError as error:
            raise BrokenCheckpoint(f"The card inside `{path.name}` is damaged: {error}") from error
        return card.model_copy(update={"architecture": reading.architecture})
    notes = " ".join([f"Imported from {reading.title}.", *reading.notes])
    return CheckpointCard(
        name="imported",
        architecture=reading.architecture,
        alignment=FFHQ,
        domain="human",
        trainable_blocks=reading.trainable_blocks,
        training=TrainingRecord(notes=notes),
        source=path.name,
    )


def _described(card: CheckpointCard, description: Description) -> CheckpointCard:
    said = {
        "domain": description.domain,
        "alignment": description.alignment,
        "licence": description.licence or None,
        "source": description.source or None,
    }
    update = {key: value for key, value in said.items() if value is not None}
    return card.model_copy(update=update | {"name": description.name})


def _part(tensors: Mapping[str, Tensor], prefix: str) -> State:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _at_most_float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype == torch.float64 else tensor
