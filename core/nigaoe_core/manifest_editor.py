"""Change a manifest while others read it: one writer at a time, and readers only ever see a whole file."""

from collections.abc import Callable
from pathlib import Path

import tomli_w
from filelock import FileLock

from nigaoe_core.atomic_write import atomic_write
from nigaoe_core.errors import StorageError
from nigaoe_core.manifest import MANIFEST_NAME, Manifest, read_manifest

HEADER = "# Imported weights. Written by `nigaoe weights`; see docs/weights.md before editing it by hand.\n"


def edit_manifest(folder: Path, change: Callable[[Manifest], Manifest]) -> Manifest:
    """Read, change and atomically replace the manifest of ``folder``, which is created when it is missing.

    Args:
        folder: Where ``manifest.toml`` lies.
        change: Gets what is there now and returns what shall be; when it raises, nothing is written.

    Returns:
        What was written.

    Raises:
        InvalidManifest: The present manifest cannot be read.
        StorageError: The folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{MANIFEST_NAME}.lock"):
            manifest = change(read_manifest(folder))
            atomic_write(folder / MANIFEST_NAME, HEADER + _toml(manifest))
    except OSError as error:
        raise StorageError(f"The registry `{folder}` cannot be written: {error}. Check its owner and space.") from error
    return manifest


def _toml(manifest: Manifest) -> str:
    return tomli_w.dumps(manifest.model_dump(exclude_none=True, exclude_defaults=True) | {"format_version": 1})
