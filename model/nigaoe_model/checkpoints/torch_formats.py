"""torch's file formats, read without torch: the zip of today, the older run of pickles, and storages inside pickles."""

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nigaoe_core.errors import BrokenCheckpoint, ForeignCheckpoint, UnsafeCheckpoint
from nigaoe_model.checkpoints.pickle_machine import Trace, run_pickle
from nigaoe_model.checkpoints.rebuilding import STORAGE_DTYPES, Rebuilder
from nigaoe_model.checkpoints.records import DTYPE_BYTES, GlobalName, PersistentId, StorageRecord
from nigaoe_model.checkpoints.window import Window

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
MAX_ZIP_ENTRIES = 100_000
MAX_NESTED = 2


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
