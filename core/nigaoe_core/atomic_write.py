"""Atomic file writes: readers see the old file or the whole new one, also after a crash or a power cut."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PART: Final = ".part"
"""Ending of unfinished files: ``NAME.RANDOM.part`` beside ``NAME``. A process that was killed leaves them behind."""


@contextmanager
def atomic_replacement(path: Path, *, mode: int = 0o644) -> Iterator[Path]:
    """Context manager for writers that take a path: write to the one it gives, which replaces ``path`` at the end.

    If the block raises, ``path`` stays as it was and nothing is left beside it.

    Args:
        path: The file to make or replace; its folder must exist.
        mode: Permissions of the new file. Until it is complete, only its owner can read it.

    Yields:
        An empty file in the same folder.

    Raises:
        OSError: The folder cannot be written, or the disk is full.
    """
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}{PART}")
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        yield part
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.chmod(mode)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    sync_folder(path.parent)


def atomic_write(path: Path, data: bytes | str, *, mode: int = 0o644) -> None:
    """Make or replace a file; text is stored as UTF-8.

    Raises:
        OSError: As in `atomic_replacement`.
    """
    with atomic_replacement(path, mode=mode) as part:
        part.write_bytes(data.encode() if isinstance(data, str) else data)


def sync_folder(folder: Path) -> None:
    """Make new names in this folder survive a power cut.

    Raises:
        OSError: It cannot be opened.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
