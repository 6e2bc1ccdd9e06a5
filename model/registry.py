"""What the torch-free registry cannot check: that files are what they were, and that a pair belongs together."""

import hashlib
from pathlib import Path

from core.errors import BrokenCheckpoint
from core.registry import GeneratorEntry, Registry, WeightEntry
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
    """Check one entry of the registry whole: digests, tensors, a style's generator, and a generator's encoder.

    Raises:
        CheckpointError: Something is wrong; the message says what.
    """
    if entry.sha256 is not None:
        _compare_sha256(entry.path, entry.sha256)
    if entry.name in {style.name for style in registry.styles()}:
        parent_path, style_path = registry.pair(entry.name)
        load_pair(entry.name, load_generator(parent_path), style_path)
    elif isinstance(entry, GeneratorEntry):
        _verify_generator(entry)


def _verify_generator(entry: GeneratorEntry) -> None:
    if entry.encoder is not None and entry.encoder_sha256 is not None:
        _compare_sha256(entry.encoder, entry.encoder_sha256)
    load_generator(entry.path, encoder=entry.encoder)


def _compare_sha256(path: Path, expected: str) -> None:
    if file_sha256(path) != expected:
        raise BrokenCheckpoint(f"`{path.name}` has changed since it was registered: its sha256 differs.")
