"""Families of weight files, recognised by what is in a file: some can be imported, others are refused by name."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from nigaoe_core.errors import CheckpointMismatch, ForeignCheckpoint
from nigaoe_model.checkpoints.families import nvidia, refused, rosinality, tensorflow
from nigaoe_model.checkpoints.families.recognised import Recognised
from nigaoe_model.checkpoints.formats import Content
from nigaoe_model.checkpoints.layouts import Layout, discriminator_rows
from nigaoe_model.stylegan2.architecture import Architecture

_TOLD_BY_SHAPES = ("resolution", "channels", "z_dim", "w_dim", "mapping_layers")


class Family(NamedTuple):
    """One implementation of StyleGAN2.

    Attributes:
        recognise: Collects the networks of a file; None when it is none of the family.
        generator: Where the tensors of a generator lie.
        discriminator: Where those of a discriminator lie.
    """

    recognise: Callable[[Any], Recognised | None]
    generator: Layout
    discriminator: Layout


FAMILIES = {
    "nvidia": Family(nvidia.recognise, nvidia.generator_layout, nvidia.discriminator_layout),
    "tensorflow": Family(tensorflow.recognise, tensorflow.generator_layout, tensorflow.discriminator_layout),
    "rosinality": Family(rosinality.recognise, rosinality.generator_layout, rosinality.discriminator_layout),
}
"""By the name of the layout, in the order in which files are tried."""


def recognise(content: Content) -> Recognised:
    """Tell the family of a file and collect its networks.

    Native files are not among them: they are loaded, not converted.

    Raises:
        ForeignCheckpoint: The family is known and cannot be read, or is unknown.
        CheckpointMismatch: The family is known, and its tensors do not fit together.
    """
    refused.refuse_by_name(content.value)
    for family in FAMILIES.values():
        try:
            found = family.recognise(content.value)
        except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
            raise CheckpointMismatch(
                f"The file looks like a StyleGAN2, but its tensors do not fit together ({_plain(error)})."
            ) from error
        if found is not None:
            return _as_its_card_says(_with_fitting_discriminator(found))
    raise ForeignCheckpoint(
        "The file holds no network of a family that Nigaoe reads: StyleGAN2 of rosinality (also FreezeG, e4e, pSp), "
        f"of NVIDIA (PyTorch or TensorFlow), or Nigaoe's own.{_contents(content.value)}"
    )


def _with_fitting_discriminator(found: Recognised) -> Recognised:
    """Leave the discriminator out, with a note, when it does not fit the generator's architecture."""
    rows = discriminator_rows(FAMILIES[found.layout].discriminator, found.architecture)
    tensors = found.discriminator
    if not tensors or all(row.foreign in tensors and tensors[row.foreign].shape == row.foreign_shape for row in rows):
        return found
    note = "The discriminator is of another architecture than the generator and was left out."
    return replace(found, discriminator={}, notes=(*found.notes, note))


def _as_its_card_says(found: Recognised) -> Recognised:
    """Take from the card of a file that we exported what the other layout has no place for, such as ``conv_clamp``.

    Raises:
        CheckpointMismatch: The card is damaged or describes another network.
    """
    if not found.card:
        return found
    try:
        architecture = Architecture.model_validate(json.loads(found.card)["architecture"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointMismatch(f"Nigaoe's card inside the file is damaged ({_plain(error)}).") from error
    if any(getattr(architecture, field) != getattr(found.architecture, field) for field in _TOLD_BY_SHAPES):
        raise CheckpointMismatch("Nigaoe's card inside the file describes another network than its tensors.")
    return replace(found, architecture=architecture)


def _plain(error: Exception) -> str:
    # pydantic's messages have several lines and an address.
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


def _contents(value: Any) -> str:
    if isinstance(value, dict) and value:
        names = ", ".join(f"`{str(key)[:40]}`" for key in list(value)[:5])
        return f" It holds {names}{' ...' if len(value) > 5 else ''}."
    return ""
