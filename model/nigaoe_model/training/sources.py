"""Where pictures come from: folders, tar and zip archives, read one file at a time and in a fixed order."""

import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nigaoe_core.errors import DatasetError

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".avif", ".heic", ".heif"})
EVERYTHING = slice(None)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One picture's bytes.

    Attributes:
        source: Name of the folder or archive.
        name: Path inside it.
        data: Content.
    """

    source: str
    name: str
    data: bytes


def read_source(path: Path, part: slice = EVERYTHING) -> Iterator[SourceFile]:
    """Yield pictures of one folder or archive in the order of their names, one in memory at a time.

    Args:
        path: Folder, tar or zip.
        part: Which of the sorted pictures; the others are not read.

    Raises:
        DatasetError: The source is missing, damaged, or neither folder nor archive.
    """
    if path.is_dir():
        for file in sorted(p for p in path.rglob("*") if p.is_file() and _is_picture(p.name))[part]:
            yield SourceFile(path.name, str(file.relative_to(path)), _read_file(file))
    elif not path.is_file():
        raise DatasetError(f"`{path}` does not exist.")
    elif zipfile.is_zipfile(path):
        yield from _read_zip(path, part)
    elif tarfile.is_tarfile(path):
        yield from _read_tar(path, part)
    else:
        raise DatasetError(f"`{path}` is neither a folder nor a tar or zip archive.")


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(f"`{path}` cannot be read: {error.strerror}.") from error


def _read_zip(path: Path, part: slice) -> Iterator[SourceFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            for name in sorted(n for n in archive.namelist() if _is_picture(n))[part]:
                yield SourceFile(path.name, name, archive.read(name))
    except zipfile.BadZipFile as error:
        raise DatasetError(f"`{path}` is damaged: {error}") from error


def _read_tar(path: Path, part: slice) -> Iterator[SourceFile]:
    try:
        with tarfile.open(path) as archive:
            members = sorted((m for m in archive if m.isfile() and _is_picture(m.name)), key=lambda m: m.name)
            for member in members[part]:
                file = archive.extractfile(member)
                if file is not None:
                    yield SourceFile(path.name, member.name, file.read())
    except (tarfile.TarError, EOFError) as error:
        raise DatasetError(f"`{path}` is damaged: {error}") from error


def _is_picture(name: str) -> bool:
    return Path(name).suffix.lower() in PICTURE_SUFFIXES and not Path(name).name.startswith(".")


def count_pictures(path: Path) -> int:
    """Return how many pictures a source holds, without reading them.

    Raises:
        DatasetError: The source is missing, damaged, or neither folder nor archive.
    """
    try:
        if path.is_dir():
            return sum(1 for p in path.rglob("*") if p.is_file() and _is_picture(p.name))
        if path.is_file() and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return sum(_is_picture(name) for name in archive.namelist())
        with tarfile.open(path) as tar:
            return sum(m.isfile() and _is_picture(m.name) for m in tar)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError) as error:
        raise DatasetError(f"`{path}` is neither a folder nor a readable tar or zip archive.") from error
