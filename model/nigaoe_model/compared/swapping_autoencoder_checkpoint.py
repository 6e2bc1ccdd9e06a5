"""A Swapping Autoencoder on disk: one safetensors file that explains itself, and the import of other programs' files.

Tensors lie under ``encoder.`` and ``generator.``, beside them, where there is one, ``mean_texture``; the header's only
metadata entry, ``nigaoe``, is the JSON of a :class:`SwappingAutoencoderCard`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import torch
from torch import Tensor

from nigaoe_core.checkpoint_header import MEAN_TEXTURE
from nigaoe_core.errors import CheckpointMismatch
from nigaoe_core.style_methods import METHOD_TITLES, SWAPPING_AUTOENCODER
from nigaoe_faces.align import FFHQ, AlignmentTemplate
from nigaoe_model.checkpoints.layouts import to_foreign, to_native
from nigaoe_model.compared.method_card import MethodCard, read_card, read_foreign_tensors
from nigaoe_model.compared.swapping_autoencoder import SwappingAutoencoder
from nigaoe_model.compared.swapping_autoencoder_architecture import SwappingAutoencoderArchitecture
from nigaoe_model.compared.swapping_autoencoder_layouts import (
    PARTS,
    LayoutName,
    infer_architecture,
    refuse_variants,
    stored_kernels,
    table,
    tell_layout,
)
from nigaoe_model.device import preferred_layout
from nigaoe_model.stylegan2.checkpoint import METADATA_KEY, TrainingRecord, tensor_digest
from nigaoe_model.tensor_file import compare_tensors, load_strictly, opened, stored, write_tensors

KIND: Final = SWAPPING_AUTOENCODER
TITLE: Final = METHOD_TITLES[KIND]

_NOTES: dict[LayoutName, str] = {
    "rosinality": "Imported from rosinality's Swapping Autoencoder.",
    "official": "Imported from the official Swapping Autoencoder; its pictures were not compared with that program's.",
}


class SwappingAutoencoderCard(MethodCard):
    """Everything about a Swapping Autoencoder's file that is not a tensor.

    Attributes:
        architecture: Shape of the networks inside.
    """

    kind: Literal["swapping-autoencoder"] = KIND
    architecture: SwappingAutoencoderArchitecture


@dataclass(frozen=True, slots=True)
class SwappingAutoencoderCheckpoint:
    """A card with its tensors.

    Attributes:
        card: Metadata.
        tensors: State dict of :class:`nigaoe_model.compared.swapping_autoencoder.SwappingAutoencoder`.
        mean_texture: Texture of photos that come without a reference: the mean of a set of anime pictures, see
            :meth:`nigaoe_model.compared.swapping_autoencoder.SwappingAutoencoder.mean_texture`; None: every photo needs
            a reference. # [texture_dim].
    """

    card: SwappingAutoencoderCard
    tensors: Mapping[str, Tensor]
    mean_texture: Tensor | None = None

    @property
    def digest(self) -> str:
        """Identity of the weights: sha256 over names, types, shapes and bytes of the tensors."""
        return tensor_digest(self.tensors)

    def build(self, device: torch.device | str = "cpu") -> SwappingAutoencoder:
        """Return the networks in float32, in evaluation mode, without gradients.

        Raises:
            CheckpointMismatch: The tensors do not fit the architecture.
        """
        network = SwappingAutoencoder(self.card.architecture)
        load_strictly(network, self.tensors, TITLE)
        network = network.to(device).to(memory_format=preferred_layout(torch.device(device)))
        return network.eval().requires_grad_(requires_grad=False)


def save_swapping_autoencoder(
    checkpoint: SwappingAutoencoderCheckpoint, path: Path, *, dtype: torch.dtype | None = None
) -> None:
    """Write a checkpoint atomically.

    Args:
        checkpoint: What to write.
        path: Target; an existing file is replaced only by a complete one.
        dtype: Store weights in this type (fp16 for slim files); None keeps each type. The mean texture keeps its own.
    """
    tensors = stored(checkpoint.tensors, dtype)
    if checkpoint.mean_texture is not None:
        tensors |= stored({MEAN_TEXTURE: checkpoint.mean_texture}, None)
    write_tensors(path, tensors, {METADATA_KEY: checkpoint.card.model_dump_json()})


def load_swapping_autoencoder(path: Path) -> SwappingAutoencoderCheckpoint:
    """Read a file of ours and check its tensors against its architecture.

    Raises:
        BrokenCheckpoint: The file is missing, truncated or damaged, or its card is invalid.
        ForeignCheckpoint: A file that is not ours, or of a newer format.
        MethodMismatch: A file of ours that holds something else.
        CheckpointMismatch: Tensors that do not fit.
    """
    with opened(path) as file:
        card = read_card(
            SwappingAutoencoderCard, file.metadata(), path, title=TITLE, importer="import_swapping_autoencoder"
        )
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - safe_open is no mapping
    mean_texture = tensors.pop(MEAN_TEXTURE, None)
    with torch.device("meta"):
        compare_tensors(TITLE, SwappingAutoencoder(card.architecture).state_dict(), tensors)
    if mean_texture is not None and mean_texture.shape != (card.architecture.texture_dim,):
        raise CheckpointMismatch(
            f"`{path.name}` has a mean texture of shape {list(mean_texture.shape)}; the architecture needs "
            f"[{card.architecture.texture_dim}]."
        )
    return SwappingAutoencoderCheckpoint(card, tensors, mean_texture)


def import_swapping_autoencoder(
    path: Path,
    name: str,
    *,
    resolution: int = 256,
    alignment: AlignmentTemplate = FFHQ,
    licence: str = "unknown",
    source: str = "",
) -> SwappingAutoencoderCheckpoint:
    """Convert a file of rosinality's or the official program; nothing in it is executed.

    Args:
        path: The foreign file.
        name: Short name of the result.
        resolution: Side in pixels that it was trained with; no tensor's shape tells it.
        alignment: How photos are framed for it.
        licence: Of the weights.
        source: Where they come from; empty: the file's name.

    Raises:
        UnsafeCheckpoint: Loading the file in the usual way would run code.
        BrokenCheckpoint: The file is missing or damaged.
        ForeignCheckpoint: It is no Swapping Autoencoder, or a variant with other parts.
        CheckpointMismatch: Its tensors do not fit together.
    """
    layout, tensors = tell_layout(read_foreign_tensors(path, PARTS))
    architecture = infer_architecture(layout, tensors, resolution=resolution)
    refuse_variants(architecture, tensors)
    card = SwappingAutoencoderCard(
        name=name,
        architecture=architecture,
        alignment=alignment,
        training=TrainingRecord(notes=_NOTES[layout]),
        licence=licence,
        source=source or path.name,
    )
    return SwappingAutoencoderCheckpoint(card, to_native(table(architecture), tensors))


def foreign_document(checkpoint: SwappingAutoencoderCheckpoint) -> dict[str, Any]:
    """Return the document that the program of this flavour reads, for ``torch.save``; importing it changes nothing.

    ``rosinality``: ``{"e_ema": ..., "g_ema": ...}``. ``official``: one state dict with ``E.`` and ``G.``.

    Raises:
        CheckpointMismatch: The tensors do not fit the architecture.
    """
    architecture = checkpoint.card.architecture
    state = to_foreign(table(architecture), checkpoint.tensors) | stored_kernels(architecture)
    if architecture.is_official:
        return dict(state)
    return {
        f"{network}_ema": {
            name.removeprefix(f"{network}."): tensor for name, tensor in state.items() if name.startswith(f"{network}.")
        }
        for network in "eg"
    }
