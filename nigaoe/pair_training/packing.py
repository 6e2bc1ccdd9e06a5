"""A pair's folder as files of a bounded size, and back: for what is lent by the minute and gives back small files only.

The folder becomes one tar archive, cut into parts; `pack.json` names each part with its size and sha256. Without
Nigaoe: `cat pair.tar.* | tar x`.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from nigaoe.pair_training.pair_folder import PairPaths, locked
from nigaoe_core.errors import TrainingError

LARGEST: Final = 16 * 2**20
"""No file may reach this size."""
PART_BYTES: Final = 15 * 2**20
MANIFEST: Final = "pack.json"
_STEM: Final = "pair.tar."


class _Parts(io.RawIOBase):
    """Writes one stream as files of a bounded size.

    Args:
        folder: Where.
        size: Of each file but the last.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self._folder, self._size = folder, size
        self._pending = bytearray()
        self.rows: list[dict[str, Any]] = []

    def writable(self) -> bool:
        """It is written to."""
        return True

    def write(self, data: Any) -> int:
        """Take bytes; whole parts go to the disk."""
        self._pending += data
        while len(self._pending) >= self._size:
            self._put(bytes(self._pending[: self._size]))
            del self._pending[: self._size]
        return len(data)

    def finish(self) -> None:
        """Write what is left."""
        if self._pending or not self.rows:
            self._put(bytes(self._pending))
            self._pending.clear()

    def _put(self, data: bytes) -> None:
        name = f"{_STEM}{len(self.rows):03}"
        (self._folder / name).write_bytes(data)
        self.rows.append({"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()})


class _Joined(io.RawIOBase):
    """Reads files as one stream, each checked before its first byte is used."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._pending = chunks, b""

    def readable(self) -> bool:
        """It is read from."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with the next bytes."""
        while not self._pending:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._pending = chunk
        count = min(len(buffer), len(self._pending))
        buffer[:count], self._pending = self._pending[:count], self._pending[count:]
        return count


def pack(paths: PairPaths, folder: Path, *, part_bytes: int = PART_BYTES) -> list[Path]:
    """Write a pair's folder as parts and a list of them; parts of an earlier time are replaced.

    Args:
        paths: The pair.
        folder: Where the parts go; not inside the pair's folder.
        part_bytes: Size of each part but the last.

    Raises:
        TrainingError: There is no pair, another process works in it, or the target lies inside it.
    """
    if not paths.journal.is_file():
        raise TrainingError(f"`{paths.root}` holds no pair that could be packed.")
    if folder.resolve().is_relative_to(paths.root.resolve()):
        raise TrainingError("A pair cannot be packed into its own folder; name another one.")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    for stale in folder.glob(f"{_STEM}*"):
        stale.unlink()
    parts = _Parts(folder, part_bytes)
    with locked(paths):
        with tarfile.open(fileobj=parts, mode="w|", format=tarfile.PAX_FORMAT) as archive:
            for path in sorted(p for p in paths.root.rglob("*") if p.is_file() and not p.name.startswith(".")):
                archive.add(path, str(path.relative_to(paths.root)), recursive=False)
        parts.finish()
    document = {"format_version": 1, "pair": paths.root.name, "parts": parts.rows}
    (folder / MANIFEST).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return [folder / row["name"] for row in parts.rows]


def unpack(folder: Path, paths: PairPaths) -> None:
    """Join parts to a pair's folder, after every part was compared with its digest.

    Raises:
        TrainingError: A part is missing or damaged, or the folder holds a pair already.
    """
    if paths.journal.is_file():
        raise TrainingError(f"`{paths.root}` holds a pair already; unpack into another folder with --output.")
    rows = _rows(folder)
    for row in rows:
        _checked(folder, row)
    paths.root.mkdir(parents=True, exist_ok=True)
    stream = io.BufferedReader(_Joined(_checked(folder, row) for row in rows))
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            archive.extractall(paths.root, filter="data")
    except tarfile.TarError as error:
        raise TrainingError(f"The parts in `{folder}` are no packed pair: {error}.") from error


def _rows(folder: Path) -> list[dict[str, Any]]:
    try:
        document = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return [{"name": str(row["name"]), "sha256": str(row["sha256"])} for row in document["parts"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"`{folder}` holds no packed pair: `{MANIFEST}` is missing or damaged.") from error


def _checked(folder: Path, row: dict[str, Any]) -> bytes:
    path = folder / Path(row["name"]).name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TrainingError(f"The part `{path}` is missing; copy all of them again.") from error
    if hashlib.sha256(data).hexdigest() != row["sha256"]:
        raise TrainingError(f"The part `{path}` is damaged; copy it again.")
    return data
