"""What the torch-free registry cannot check: that files are what they were, and that a pair belongs together."""

import hashlib
from pathlib import Path

from core.errors import BrokenCheckpoint
from core.registry import Registry, WeightEntry
from model.checkpoint import load_checkpoint
from model.pair import load_generator, load_pair


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
        parent_path, style_path = registry.pair(entry.name)
        load_pair(entry.name, load_generator(parent_path), style_path)
    else:
        load_checkpoint(entry.path).build_generator()
