"""Checks of registered weights that need torch, and the encoder beside an imported generator."""

import hashlib
import shutil
from pathlib import Path

from nigaoe_core.atomic_write import atomic_replacement
from nigaoe_core.errors import BrokenCheckpoint, StorageError, UsageError
from nigaoe_core.manifest import Manifest, edit_manifest
from nigaoe_core.registry import GeneratorEntry, Registry, Style, WeightEntry
from nigaoe_model.portrait.feed_forward import load_feed_forward
from nigaoe_model.portrait.pair import load_generator, load_pair
from nigaoe_model.portrait.upscale import Upscaler


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
    """Check one entry of the registry whole: digests, tensors, a style's generator and upscaler, a generator's encoder.

    Raises:
        CheckpointError: Something is wrong; the message says what.
    """
    if entry.sha256 is not None:
        _compare_sha256(entry.path, entry.sha256)
    if isinstance(entry, Style):
        _verify_style(registry, entry)
    elif isinstance(entry, GeneratorEntry):
        _verify_generator(entry)


def attach_encoder(registry: Registry, name: str, path: Path, folder: Path) -> Path:
    """Put an encoder beside an imported generator, from whose guesses searches then start.

    Args:
        registry: Knows the generator.
        name: The generator.
        path: The encoder's file; it is copied.
        folder: The user registry.

    Returns:
        The copy.

    Raises:
        UnknownGenerator: There is none of this name.
        UsageError: It came with Nigaoe, whose own manifest is not changed.
        CheckpointError: The file is no encoder, or that of another generator.
        StorageError: The folder cannot be written to.
    """
    entry = registry.generator(name)
    if entry.bundled:
        raise UsageError(f"`{name}` came with Nigaoe and is not changed; import a generator of your own.")
    load_generator(entry.path, encoder=path)
    copy = folder / f"{name}-encoder.safetensors"
    try:
        with atomic_replacement(copy) as part:
            shutil.copyfile(path, part)
    except OSError as error:
        raise StorageError(f"`{folder}` cannot be written ({error}); check its owner and space.") from error
    news = {"encoder": copy.name, "encoder_sha256": file_sha256(copy)}
    edit_manifest(folder, lambda manifest: _with_row(manifest, name, news))
    return copy


def _with_row(manifest: Manifest, name: str, news: dict[str, str]) -> Manifest:
    row = manifest.generators[name].model_copy(update=news)
    return manifest.model_copy(update={"generators": manifest.generators | {name: row}})


def _verify_style(registry: Registry, entry: Style) -> None:
    if entry.is_feed_forward:
        load_feed_forward(registry.feed_forward(entry.name))
    else:
        parent_path, style_path = registry.pair(entry.name)
        load_pair(entry.name, load_generator(parent_path), style_path)
    Upscaler(folders=registry.folders).prepare(entry.upscaler)


def _verify_generator(entry: GeneratorEntry) -> None:
    if entry.encoder is not None and entry.encoder_sha256 is not None:
        _compare_sha256(entry.encoder, entry.encoder_sha256)
    load_generator(entry.path, encoder=entry.encoder)


def _compare_sha256(path: Path, expected: str) -> None:
    if file_sha256(path) != expected:
        raise BrokenCheckpoint(f"`{path.name}` has changed since it was registered: its sha256 differs.")
