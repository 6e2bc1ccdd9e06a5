"""GANs N' Roses on disk: one safetensors file that explains itself, and the import of the published file.

Tensors lie under the names of the networks, ``photo_to_anime.`` and others; the header's only metadata entry,
``nigaoe``, is the JSON of a :class:`GansNRosesCard`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import torch
from torch import Tensor, nn

from nigaoe_core.errors import CheckpointMismatch, ForeignCheckpoint
from nigaoe_faces.align import FFHQ, AlignmentTemplate
from nigaoe_model.checkpoints.layouts import to_foreign, to_native
from nigaoe_model.compared.gans_n_roses import GansNRoses, GansNRosesGenerator
from nigaoe_model.compared.gans_n_roses_architecture import GansNRosesArchitecture
from nigaoe_model.compared.gans_n_roses_discriminators import GansNRosesDiscriminator, StyleDiscriminator
from nigaoe_model.compared.gans_n_roses_layout import (
    ANIME_TO_PHOTO,
    AVERAGED_NAMES,
    MARK,
    PHOTO_TO_ANIME,
    PLAIN_NAMES,
    STYLE_DISCRIMINATOR,
    infer_architecture,
    network_rows,
    refuse_variants,
    stored_filters,
)
from nigaoe_model.compared.method_card import MethodCard, read_card, read_foreign_tensors
from nigaoe_model.device import preferred_layout
from nigaoe_model.stylegan2.checkpoint import METADATA_KEY, TrainingRecord, tensor_digest
from nigaoe_model.tensor_file import compare_tensors, load_strictly, opened, stored, write_tensors

KIND: Final = "gans-n-roses"

State = Mapping[str, Tensor]


class GansNRosesCard(MethodCard):
    """Everything about a file of GANs N' Roses that is not a tensor.

    Attributes:
        architecture: Shape of the networks inside.
    """

    kind: Literal["gans-n-roses"] = KIND
    architecture: GansNRosesArchitecture


@dataclass(frozen=True, slots=True)
class GansNRosesCheckpoint:
    """A card with its tensors, checked against each other.

    Attributes:
        card: Metadata.
        networks: State dicts in our names, by the networks' names in
            :data:`nigaoe_model.compared.gans_n_roses_layout.AVERAGED_NAMES`. ``photo_to_anime`` is always there.
    """

    card: GansNRosesCard
    networks: Mapping[str, State]

    @property
    def digest(self) -> str:
        """Identity of what draws: sha256 over names, types, shapes and bytes of the tensors of ``photo_to_anime``."""
        return tensor_digest(self.networks[PHOTO_TO_ANIME])

    def build(self, device: torch.device | str = "cpu") -> GansNRoses:
        """Return the method ready to draw, in float32, in evaluation mode, without gradients.

        Raises:
            CheckpointMismatch: The tensors do not fit the architecture.
        """
        reads_styles = ANIME_TO_PHOTO in self.networks
        return GansNRoses(
            self._generator(PHOTO_TO_ANIME, device), self._generator(ANIME_TO_PHOTO, device) if reads_styles else None
        )

    def _generator(self, name: str, device: torch.device | str) -> GansNRosesGenerator:
        generator = GansNRosesGenerator(self.card.architecture)
        load_strictly(generator, self.networks[name], name)
        generator = generator.to(device).to(memory_format=preferred_layout(torch.device(device)))
        return generator.eval().requires_grad_(requires_grad=False)


def new_network(name: str, architecture: GansNRosesArchitecture) -> nn.Module:
    """Return a network with random weights, by its name in a checkpoint."""
    if name == STYLE_DISCRIMINATOR:
        return StyleDiscriminator(architecture.latent_dim)
    if name in (PHOTO_TO_ANIME, ANIME_TO_PHOTO):
        return GansNRosesGenerator(architecture)
    return GansNRosesDiscriminator(architecture)


def save_gans_n_roses(checkpoint: GansNRosesCheckpoint, path: Path, *, dtype: torch.dtype | None = None) -> None:
    """Write a checkpoint atomically.

    Args:
        checkpoint: What to write.
        path: Target; an existing file is replaced only by a complete one.
        dtype: Store weights in this type (fp16 for slim files); None keeps each type.
    """
    named = {
        f"{name}.{key}": tensor
        for name, state in checkpoint.networks.items()
        for key, tensor in stored(state, dtype).items()
    }
    write_tensors(path, named, {METADATA_KEY: checkpoint.card.model_dump_json()})


def load_gans_n_roses(path: Path) -> GansNRosesCheckpoint:
    """Read a file of ours and check its tensors against its architecture.

    Raises:
        BrokenCheckpoint: The file is missing, truncated or damaged, or its card is invalid.
        ForeignCheckpoint: A file that is not ours, or of a newer format.
        MethodMismatch: A file of ours that holds something else.
        CheckpointMismatch: Tensors that do not fit.
    """
    with opened(path) as file:
        card = read_card(GansNRosesCard, file.metadata(), path, title="GANs N' Roses", importer="import_gans_n_roses")
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - safe_open is no mapping
    networks = _networks(tensors)
    if PHOTO_TO_ANIME not in networks:
        raise CheckpointMismatch(f"`{path.name}` lacks the network that draws anime faces of photos.")
    for name, state in networks.items():
        if name not in AVERAGED_NAMES:
            raise CheckpointMismatch(f"`{path.name}` holds tensors that belong to nothing, under `{name[:100]}`.")
        with torch.device("meta"):
            compare_tensors(name, new_network(name, card.architecture).state_dict(), state)
    return GansNRosesCheckpoint(card, networks)


def import_gans_n_roses(
    path: Path, name: str, *, alignment: AlignmentTemplate = FFHQ, licence: str = "unknown", source: str = ""
) -> GansNRosesCheckpoint:
    """Convert a published file (``G_A2B_ema`` and others); nothing in it is executed.

    Args:
        path: The foreign file.
        name: Short name of the result.
        alignment: How photos are framed for it.
        licence: Of the weights.
        source: Where they come from; empty: the file's name.

    Raises:
        UnsafeCheckpoint: Loading the file in the usual way would run code.
        BrokenCheckpoint: The file is missing or damaged.
        ForeignCheckpoint: It is no GANs N' Roses.
        CheckpointMismatch: Its tensors do not fit together, or it is a variant with other parts.
    """
    networks, notes = _read(path)
    try:
        architecture = infer_architecture(networks)
    except (KeyError, ValueError, IndexError) as error:
        raise CheckpointMismatch(
            f"`{path.name}` looks like GANs N' Roses, but its tensors do not fit together ({type(error).__name__})."
        ) from error
    for network, tensors in networks.items():
        refuse_variants(network, tensors, architecture)
    card = GansNRosesCard(
        name=name,
        architecture=architecture,
        alignment=alignment,
        training=TrainingRecord(notes=notes),
        licence=licence,
        source=source or path.name,
    )
    native = {n: to_native(network_rows(n, architecture), tensors) for n, tensors in networks.items()}
    return GansNRosesCheckpoint(card, native)


def published_document(checkpoint: GansNRosesCheckpoint) -> dict[str, dict[str, Tensor]]:
    """Return what ``torch.save`` writes for the published program; importing that gives the same numbers, bit for bit.

    Raises:
        CheckpointMismatch: The tensors do not fit the architecture.
    """
    architecture = checkpoint.card.architecture
    return {
        AVERAGED_NAMES[name]: to_foreign(network_rows(name, architecture), state) | stored_filters(name, architecture)
        for name, state in checkpoint.networks.items()
    }


def _read(path: Path) -> tuple[dict[str, dict[str, Tensor]], str]:
    """Return the networks of a published file by our names, in published names, and what people should know."""
    for names, notes in (
        (AVERAGED_NAMES, "Imported from GANs N' Roses (mchong6/GANsNRoses)."),
        (PLAIN_NAMES, "Imported from GANs N' Roses (mchong6/GANsNRoses), which held no moving averages."),
    ):
        found = _networks(read_foreign_tensors(path, tuple(f"{key}." for key in names.values())))
        networks = {name: found[key] for name, key in names.items() if key in found}
        if MARK in networks.get(PHOTO_TO_ANIME, {}):
            return networks, notes
    raise ForeignCheckpoint(
        f"`{path.name}` is no GANs N' Roses as it is published: there is neither `G_A2B_ema` nor `G_A2B`; "
        "`nigaoe weights inspect` tells what it is."
    )


def _networks(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Sort tensors by the network that their names begin with."""
    networks: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        network, _, rest = name.partition(".")
        networks.setdefault(network, {})[rest] = tensor
    return networks
