"""Import of a feed-forward network's file, ours or a published one: converted under a new card, and ready to draw."""

from dataclasses import replace
from pathlib import Path

from nigaoe_core.errors import MethodMismatch, UsageError
from nigaoe_core.style_methods import GANS_N_ROSES, METHOD_TITLES, StyleMethod
from nigaoe_faces.align import FFHQ
from nigaoe_model.checkpoints.conversion import Description
from nigaoe_model.checkpoints.examination import Reading
from nigaoe_model.compared.gans_n_roses_checkpoint import (
    GansNRosesCheckpoint,
    import_gans_n_roses,
    load_gans_n_roses,
    save_gans_n_roses,
)
from nigaoe_model.compared.gans_n_roses_layout import ANIME_TO_PHOTO, PHOTO_TO_ANIME
from nigaoe_model.compared.swapping_autoencoder_checkpoint import (
    SwappingAutoencoderCheckpoint,
    import_swapping_autoencoder,
    load_swapping_autoencoder,
    save_swapping_autoencoder,
)

FeedForwardCheckpoint = GansNRosesCheckpoint | SwappingAutoencoderCheckpoint

DEFAULT_RESOLUTION = 256
"""Side of the pictures that the published Swapping Autoencoders of either program draw by default."""


def read_feed_forward(
    path: Path, reading: Reading, description: Description, *, parent: str | None, resolution: int | None
) -> FeedForwardCheckpoint:
    """Read a file of a feed-forward method under a new description.

    Args:
        path: The file.
        reading: Its report.
        description: What the user says.
        parent: The generator that the user calls its parent, which it cannot have.
        resolution: Side in pixels of a published Swapping Autoencoder, which no tensor's shape tells; None: 256.

    Raises:
        MethodMismatch: It was given a parent.
        UsageError: It was given a size that the file tells by itself, or a domain.
        CheckpointError: It cannot be imported.
    """
    if parent is not None:
        raise MethodMismatch(
            f"`{path.name}` is of the method {METHOD_TITLES[reading.method]}: it draws photos in one pass and was not "
            f"fine-tuned from `{parent}`. Import it without --parent."
        )
    is_native = reading.family == "native"
    if resolution is not None and (is_native or reading.method == GANS_N_ROSES):
        raise UsageError(f"`{path.name}` tells its size by itself; leave --resolution out.")
    if description.domain is not None:
        raise UsageError("--domain says what a generator draws; a style of this method draws anime. Leave it out.")
    checkpoint = _native(path, reading.method) if is_native else _published(path, reading, description, resolution)
    return _described(checkpoint, description)


def save_feed_forward(checkpoint: FeedForwardCheckpoint, path: Path) -> None:
    """Write what draws, atomically; discriminators are left out."""
    if isinstance(checkpoint, SwappingAutoencoderCheckpoint):
        save_swapping_autoencoder(checkpoint, path)
        return
    drawing = {n: state for n, state in checkpoint.networks.items() if n in (PHOTO_TO_ANIME, ANIME_TO_PHOTO)}
    save_gans_n_roses(replace(checkpoint, networks=drawing), path)


def _native(path: Path, method: StyleMethod) -> FeedForwardCheckpoint:
    return load_gans_n_roses(path) if method == GANS_N_ROSES else load_swapping_autoencoder(path)


def _published(path: Path, reading: Reading, description: Description, resolution: int | None) -> FeedForwardCheckpoint:
    alignment = description.alignment or FFHQ
    if reading.method == GANS_N_ROSES:
        return import_gans_n_roses(path, description.name, alignment=alignment)
    side = DEFAULT_RESOLUTION if resolution is None else resolution
    return import_swapping_autoencoder(path, description.name, resolution=side, alignment=alignment)


def _described(checkpoint: FeedForwardCheckpoint, description: Description) -> FeedForwardCheckpoint:
    said = {
        "alignment": description.alignment,
        "licence": description.licence or None,
        "source": description.source or None,
    }
    update = {key: value for key, value in said.items() if value is not None} | {"name": description.name}
    if isinstance(checkpoint, GansNRosesCheckpoint):
        return replace(checkpoint, card=checkpoint.card.model_copy(update=update))
    return replace(checkpoint, card=checkpoint.card.model_copy(update=update))
