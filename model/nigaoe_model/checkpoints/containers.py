"""The boxes in which tensors travel: torch's formats, bare pickles, safetensors; told apart by content.

None of them is opened by its own library's loader.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nigaoe_core.checkpoint_header import read_header
from nigaoe_core.errors import BrokenCheckpoint, CheckpointError, ForeignCheckpoint
from nigaoe_model.checkpoints.pickle_machine import Trace, run_pickle
from nigaoe_model.checkpoints.rebuilding import make_tensor, row_major
from nigaoe_model.checkpoints.records import DTYPE_BYTES, StorageRecord
from nigaoe_model.checkpoints.torch_formats import LEGACY_MAGIC, read_bare, read_legacy, read_zip
from nigaoe_model.checkpoints.window import Window, map_file

ContainerName = Literal["torch-zip", "torch-legacy", "pickle", "safetensors"]

_SAFETENSORS_DTYPES = {
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
    """What was in a box.

    Attributes:
        container: Kind of box.
        value: Plain values and records.
        metadata: Texts of a safetensors header; empty for the others.
    """

    container: ContainerName
    value: Any
    metadata: dict[str, str]


def read_content(path: Path, trace: Trace) -> Content:
    """Open a file by what is in it; no tensor is read and nothing is executed.

    Args:
        path: The file; its name means nothing.
        trace: Gets every name that unpickling would import, also when reading fails.

    Raises:
        BrokenCheckpoint: It is missing, empty, truncated or damaged.
        ForeignCheckpoint: It is no box of tensors; the message says what it is, where that is known.
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
            dtype = _SAFETENSORS_DTYPES[entry["dtype"]]
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
