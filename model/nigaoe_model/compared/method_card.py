"""What the files of both compared methods share: the card of ours, and the way in for those of other programs."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors.torch import load_file
from torch import Tensor

from nigaoe_core.errors import BrokenCheckpoint, CheckpointMismatch, ForeignCheckpoint, MethodMismatch
from nigaoe_faces.align import AlignmentTemplate
from nigaoe_model.checkpoints.sandbox import raise_problem, read_in_sandbox
from nigaoe_model.stylegan2.checkpoint import FORMAT_VERSION, METADATA_KEY, TrainingRecord


class MethodCard(BaseModel):
    """Everything about a method's file that is not a tensor.

    Attributes:
        kind: Tells the file from a StyleGAN2's, and from the other method's; every method fixes its own.
        name: Short name.
        alignment: How photos and anime pictures are framed for it.
        training: How the weights came to be.
        licence: SPDX expression or a sentence.
        source: Where the weights come from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = FORMAT_VERSION
    kind: str
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
    alignment: AlignmentTemplate
    training: TrainingRecord = TrainingRecord()
    licence: str = "unknown"
    source: str = ""


Card = TypeVar("Card", bound=MethodCard)


def read_card(card: type[Card], metadata: Mapping[str, str] | None, path: Path, *, title: str, importer: str) -> Card:
    """Read the card out of a safetensors file's metadata.

    Args:
        card: Of the method.
        metadata: Of the file.
        path: For its name.
        title: The method in words.
        importer: Function that converts files of other programs.

    Raises:
        BrokenCheckpoint: The card is invalid.
        ForeignCheckpoint: The file is not ours, or of a newer format.
        MethodMismatch: A file of ours that holds something else.
    """
    if not metadata or METADATA_KEY not in metadata:
        raise ForeignCheckpoint(
            f"`{path.name}` is a safetensors file of another program; published files are converted by `{importer}`."
        )
    try:
        document = json.loads(metadata[METADATA_KEY])
        if not isinstance(document, dict) or document.get("kind") != card.model_fields["kind"].default:
            raise MethodMismatch(f"`{path.name}` holds no {title}; `nigaoe weights inspect` tells what.")
        version = document.get("format_version")
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise ForeignCheckpoint(f"`{path.name}` has format {version}; this Nigaoe reads {FORMAT_VERSION}: upgrade.")
        return card.model_validate(document)
    except (ValidationError, json.JSONDecodeError) as error:
        raise BrokenCheckpoint(f"The metadata of `{path.name}` are damaged: {error}") from error


def read_foreign_tensors(path: Path, parts: tuple[str, ...]) -> dict[str, Tensor]:
    """Read tensors of a file of another program, which is no StyleGAN2, without executing anything in it.

    Args:
        path: The file.
        parts: What the names of the tensors begin with.

    Returns:
        By dotted name, in float32 at most.

    Raises:
        UnsafeCheckpoint: Loading the file in the usual way would run code.
        BrokenCheckpoint: The file is missing or damaged.
        CheckpointMismatch: One of the tensors holds no floats.
    """
    with tempfile.TemporaryDirectory(prefix="nigaoe-import-") as folder:
        output = Path(folder) / "tensors.safetensors"
        reading = read_in_sandbox(path, output=output, parts=parts)
        if reading.problem_code != ForeignCheckpoint.code:  # The report is about StyleGAN2, which this is not.
            raise_problem(reading)
        tensors = load_file(output) if output.exists() else {}
    return {name: _at_most_float32(name, tensor) for name, tensor in tensors.items()}


def _at_most_float32(name: str, tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        raise CheckpointMismatch(f"Tensor `{name[:100]}` is of type {tensor.dtype}; weights are floats.")
    return tensor.float() if tensor.dtype == torch.float64 else tensor
