"""File formats of tensors, told apart by content: torch's two, bare pickles, safetensors.

None is opened by its own library's loader. Of torch, that is the zip of today, the older run of pickles, and storages
inside pickles.
"""

import mmap
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nigaoe_core.checkpoint_header import read_header
from nigaoe_core.errors import BrokenCheckpoint, CheckpointError, ForeignCheckpoint, UnsafeCheckpoint
from nigaoe_model.checkpoints.pickle_machine import Trace, Window, run_pickle
from nigaoe_model.checkpoints.rebuilding import STORAGE_DTYPES, Rebuilder
from nigaoe_model.checkpoints.records import (
    DTYPE_BYTES,
    GlobalName,
    PersistentId,
    StorageRecord,
    make_tensor,
    row_major,
)

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
MAX_ZIP_ENTRIES = 100_000
MAX_NESTED = 2

FormatName = Literal["torch-zip", "torch-legacy", "pickle", "safetensors"]

SAFETENSORS_DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
    "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip

# What people hand over by mistake, or what other tools write: a name helps more than "unknown".
_OTHER_KINDS: tuple[tuple[bytes, str], ...] = (
    (b"\x89HDF", "an HDF5 file (Keras)"),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"\x37\x7a\xbc\xaf", "a 7z archive; unpack it first"),
    (b"Rar!", "a RAR archive; unpack it first"),
    (b"version https://git-lfs", "only a Git LFS pointer; run `git lfs pull` where it came from"),
    (b"<!DOCTYPE", "a web page: the download did not work"),
    (b"<!doctype", "a web page: the download did not work"),
    (b"<html", "a web page: the download did not work"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
)


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds.

    Attributes:
        format: How it is stored.
        value: Plain values and records.
        metadata: Texts of a safetensors header; empty for the others.
    """

    format: FormatName
    value: Any
    metadata: dict[str, str]


def read_content(path: Path, trace: Trace) -> Content:
    """Open a file by what is in it; no tensor is read and nothing is executed.

    Args:
        path: The file; its name means nothing.
        trace: Gets every name that unpickling would import, also when reading fails.

    Raises:
        BrokenCheckpoint: It is missing, empty, truncated or damaged.
        ForeignCheckpoint: It holds no tensors; the message says what it is, where that is known.
        UnsafeCheckpoint: It is built to exhaust or deceive its reader.
    """
    try:
        return _read(path, trace)
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError) as error:
        raise BrokenCheckpoint(f"`{path.name}` is damaged ({type(error).__name__}).") from error


def _read(path: Path, trace: Trace) -> Content:
    view = map_file(path)
    head = bytes(view[:64])
    if head.startswith(b"PK\x03\x04"):
        return Content("torch-zip", read_zip(path, trace), {})
    if len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < len(view):
        return _read_safetensors(path, view)
    if any(head.startswith(magic) for magic, _ in _OTHER_KINDS):
        kind = next(kind for magic, kind in _OTHER_KINDS if head.startswith(magic))
        raise ForeignCheckpoint(f"`{path.name}` is {kind}.")
    if bytes(view[257:262]) == b"ustar":
        raise ForeignCheckpoint(f"`{path.name}` is a tar archive; unpack it first.")
    return _read_pickled(path, view, trace)


def _read_pickled(path: Path, view: memoryview, trace: Trace) -> Content:
    window = Window(view)
    try:
        first = run_pickle(window, trace)
    except CheckpointError:
        if view[0] == 0x80:
            raise
        # Text, source code, anything: some of it happens to begin like a pickle of protocol 0.
        raise ForeignCheckpoint(f"`{path.name}` is no kind of weight file that Nigaoe knows.") from None
    if first == LEGACY_MAGIC:
        return Content("torch-legacy", read_legacy(window, trace), {})
    return Content("pickle", read_bare(first, trace), {})


def _read_safetensors(path: Path, view: memoryview) -> Content:
    header = read_header(path)
    metadata = header.pop("__metadata__", {})
    start = 8 + int.from_bytes(view[:8], "little")
    tensors: dict[str, Any] = {}
    try:
        for name, entry in header.items():
            first, last = entry["data_offsets"]
            dtype = SAFETENSORS_DTYPES[entry["dtype"]]
            content = view[start + first : start + last]
            if first < 0 or len(content) != last - first:
                raise BrokenCheckpoint(f"`{path.name}` is truncated: `{name}` is missing.")
            storage = _storage_of(content, dtype)
            tensors[name] = make_tensor(storage, 0, tuple(entry["shape"]), row_major(entry["shape"]))
    except (KeyError, TypeError, ValueError) as error:
        raise BrokenCheckpoint(f"The header of `{path.name}` is damaged ({type(error).__name__}: {error}).") from error
    return Content("safetensors", tensors, dict(metadata) if isinstance(metadata, dict) else {})


def _storage_of(content: memoryview, dtype: str) -> StorageRecord:
    return StorageRecord(dtype, len(content) // DTYPE_BYTES[dtype], lambda: content)


def read_zip(path: Path, trace: Trace) -> Any:
    """Read torch's format since 1.6: a zip without compression, a pickle in it, and one entry a storage.

    Raises:
        BrokenCheckpoint: It is truncated or damaged.
        ForeignCheckpoint: It is a zip of something else.
        UnsafeCheckpoint: It is a bomb, or built to deceive its reader.
    """
    try:
        archive = zipfile.ZipFile(path)
        _refuse_bombs(archive, path)
        pickles = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ForeignCheckpoint(f"`{path.name}` is a zip archive without weights of torch in it.")
        prefix = pickles[0].removesuffix("data.pkl")
        _refuse_kinds(archive, prefix, path)
        root = run_pickle(Window(memoryview(archive.read(pickles[0]))), trace)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise BrokenCheckpoint(f"`{path.name}` is a truncated or damaged archive ({error}).") from error

    def load(value: Any) -> StorageRecord:
        return _zip_storage(archive, prefix, _StorageId.parse(value))

    return _rebuilder(trace, load, depth=0).rebuild(root)


def read_legacy(window: Window, trace: Trace, *, depth: int = 0) -> Any:
    """Read torch's format before 1.6 behind its magic number: more pickles, then each storage with its length.

    Args:
        window: The cursor behind the magic number.
        trace: Gets every name that unpickling would import.
        depth: How many pickles this one lies in.

    Raises:
        BrokenCheckpoint: It is truncated or damaged.
        UnsafeCheckpoint: It is built to exhaust or deceive its reader.
    """
    protocol, system = run_pickle(window, trace), run_pickle(window, trace)
    if protocol != LEGACY_PROTOCOL or not isinstance(system, dict) or system.get("little_endian") is False:
        raise BrokenCheckpoint("The checkpoint is damaged, or was written on a big-endian machine.")
    seen_before = len(trace.persistent)
    root = run_pickle(window, trace)
    identities = _identities(trace.persistent[seen_before:])
    storages: dict[str, StorageRecord] = {}
    for key in _expect_list(run_pickle(window, trace)):
        identity = identities.get(str(key))
        if identity is None:
            raise BrokenCheckpoint("The checkpoint is damaged: its list of storages is wrong.")
        storages[str(key)] = _legacy_storage(window, identity)

    def load(value: Any) -> StorageRecord:
        return storages[_StorageId.parse(value).key]

    return _rebuilder(trace, load, depth=depth).rebuild(root)


def read_bare(value: Any, trace: Trace) -> Any:
    """Interpret a pickle that has no storages beside it, such as NVIDIA's: its tensors lie inside.

    Raises:
        BrokenCheckpoint: It is damaged.
        UnsafeCheckpoint: It is built to exhaust or deceive its reader.
    """
    return _rebuilder(trace, _no_storage, depth=0).rebuild(value)


def _rebuilder(trace: Trace, load_storage: Callable[[Any], StorageRecord], *, depth: int) -> Rebuilder:
    def load_nested(content: memoryview) -> StorageRecord:
        if depth >= MAX_NESTED:
            raise UnsafeCheckpoint("Pickles lie in pickles in pickles: no honest checkpoint does that.")
        window = Window(content)
        if run_pickle(window, trace) != LEGACY_MAGIC:
            raise BrokenCheckpoint("A tensor's bytes are not in torch's format.")
        storage = read_legacy(window, trace, depth=depth + 1)
        if not isinstance(storage, StorageRecord):
            raise BrokenCheckpoint("A tensor's bytes hold something else than numbers.")
        return storage

    return Rebuilder(load_storage, load_nested)


def _no_storage(_: Any) -> StorageRecord:
    raise BrokenCheckpoint("The pickle refers to tensors outside of itself, and there are none.")


@dataclass(frozen=True, slots=True)
class _StorageId:
    """The persistent id that torch writes for a storage."""

    dtype: str
    key: str
    count: int

    @classmethod
    def parse(cls, value: Any) -> "_StorageId":
        kind, storage_type, key, _, count, *view = value
        if kind != "storage" or not isinstance(storage_type, GlobalName) or any(view):
            raise BrokenCheckpoint("The checkpoint refers to something that is no storage of torch.")
        if type(count) is not int or count < 0 or storage_type.name not in STORAGE_DTYPES:
            raise BrokenCheckpoint(f"The checkpoint holds an unknown kind of storage, {storage_type}.")
        return cls(STORAGE_DTYPES[storage_type.name], str(key), count)

    @property
    def byte_count(self) -> int:
        return self.count * DTYPE_BYTES[self.dtype]


def _identities(references: Sequence[PersistentId]) -> dict[str, _StorageId]:
    try:
        parsed = [_StorageId.parse(reference.value) for reference in references]
    except (TypeError, ValueError) as error:
        raise BrokenCheckpoint("The checkpoint refers to something that is no storage of torch.") from error
    return {identity.key: identity for identity in parsed}


def _legacy_storage(window: Window, identity: _StorageId) -> StorageRecord:
    count = int.from_bytes(window.read(8), "little")
    content = window.view[window.position : window.position + identity.byte_count]
    if count != identity.count or len(content) != identity.byte_count:
        raise BrokenCheckpoint("The checkpoint is truncated: a tensor's numbers are missing.")
    window.position += identity.byte_count
    return StorageRecord(identity.dtype, count, lambda: content)


def _expect_list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise BrokenCheckpoint("The checkpoint is damaged: its list of storages is wrong.")
    return value


def _refuse_bombs(archive: zipfile.ZipFile, path: Path) -> None:
    entries = archive.infolist()
    if len(entries) > MAX_ZIP_ENTRIES:
        raise UnsafeCheckpoint(f"`{path.name}` has {len(entries)} entries: no checkpoint of torch has so many.")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise UnsafeCheckpoint(f"`{path.name}` has compressed entries: torch never compresses, a zip bomb does.")
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise UnsafeCheckpoint(f"`{path.name}` claims to hold more than it is large: it is a zip bomb.")


def _refuse_kinds(archive: zipfile.ZipFile, prefix: str, path: Path) -> None:
    names = set(archive.namelist())
    if f"{prefix}constants.pkl" in names:
        raise ForeignCheckpoint(f"`{path.name}` is a TorchScript program; Nigaoe needs the weights it was made from.")
    if f"{prefix}byteorder" in names and archive.read(f"{prefix}byteorder") != b"little":
        raise ForeignCheckpoint(f"`{path.name}` was written on a big-endian machine; write it again on another.")


def _zip_storage(archive: zipfile.ZipFile, prefix: str, identity: _StorageId) -> StorageRecord:
    try:
        entry = archive.getinfo(f"{prefix}data/{identity.key}")
    except KeyError as error:
        raise BrokenCheckpoint("The checkpoint is damaged: a tensor's numbers are missing.") from error
    if entry.file_size < identity.byte_count:
        raise BrokenCheckpoint("The checkpoint is truncated: a tensor's numbers are missing.")

    def read() -> bytes:
        try:
            return archive.read(entry)
        except (zipfile.BadZipFile, OSError, EOFError, RuntimeError) as error:
            raise BrokenCheckpoint(
                f"The checkpoint is damaged: `{entry.filename}` cannot be read ({error})."
            ) from error

    return StorageRecord(identity.dtype, identity.count, read)


def map_file(path: Path) -> memoryview:
    """Map a file into memory; it stays mapped while the view, or a part of it, is in use.

    Raises:
        BrokenCheckpoint: It is missing, no file, unreadable or empty.
    """
    try:
        with path.open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except FileNotFoundError as error:
        raise BrokenCheckpoint(f"There is no file `{path}`.") from error
    except ValueError as error:
        raise BrokenCheckpoint(f"`{path.name}` is empty.") from error
    except OSError as error:
        raise BrokenCheckpoint(f"`{path.name}` cannot be read ({error.strerror}).") from error
