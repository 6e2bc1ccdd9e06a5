"""What the torch-free registry cannot check: that a pair belongs together, tensor for tensor."""

import hashlib
from pathlib import Path

from core.errors import BrokenCheckpoint, CheckpointMismatch, ParentMismatch
from core.registry import Registry, WeightEntry
from model.checkpoint import Checkpoint, load_checkpoint


def load_pair(registry: Registry, style_name: str) -> tuple[Checkpoint, Checkpoint]:
    """Load ``g_ori`` and ``g_fin`` of a style and check that the one was made from the other.

    Raises:
        UnknownStyle: There is no such style.
        InvalidManifest: Its parent is not installed.
        CheckpointError: A file is missing, damaged, foreign or mismatched.
        ParentMismatch: ``g_fin`` was fine-tuned from another generator.
    """
    parent_path, style_path = registry.pair(style_name)
    parent, style = load_checkpoint(parent_path), load_checkpoint(style_path)
    check_parent(style, parent)
    return parent, style


def check_parent(style: Checkpoint, parent: Checkpoint) -> None:
    """Refuse a style that was not fine-tuned from ``parent``.

    Raises:
        CheckpointMismatch: The two architectures differ, so they share no latent space.
        ParentMismatch: The style's card names other tensors, or none.
    """
    if style.card.architecture != parent.card.architecture:
        raise CheckpointMismatch(f"`{style.card.name}` and `{parent.card.name}` differ in architecture: no pair.")
    if style.card.parent_sha256 != parent.digest:
        raise ParentMismatch(
            f"`{style.card.name}` was not fine-tuned from `{parent.card.name}`: use it with the generator that it "
            "was made from, or import it again with `--parent`."
        )


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file.

    Raises:
        BrokenCheckpoint: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BrokenCheckpoint(f"The weight file `{path}` cannot be read ({error.strerror}).") from error


def verify_entry(registry: Registry, entry: WeightEntry) -> None:
    """Check one file of the registry whole: its digest, its tensors, and for a style the generator it came from.

    Raises:
        CheckpointError: Something is wrong; the message says what.
    """
    if entry.sha256 is not None and file_sha256(entry.path) != entry.sha256:
        raise BrokenCheckpoint(f"`{entry.path.name}` has changed since it was registered: its sha256 differs.")
    if entry.name in {style.name for style in registry.styles()}:
        load_pair(registry, entry.name)
    else:
        load_checkpoint(entry.path)
