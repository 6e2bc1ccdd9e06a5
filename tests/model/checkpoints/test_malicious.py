"""Files that attack their reader: each leaves no trace and ends in a clear error, in the limited process."""

import copy
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nigaoe_core.errors import BrokenCheckpoint, CheckpointError, UnsafeCheckpoint
from nigaoe_core.registry import Registry
from nigaoe_model.checkpoints.conversion import Description
from nigaoe_model.checkpoints.examination import examine
from nigaoe_model.checkpoints.importing import ImportRequest, import_weights
from nigaoe_model.checkpoints.reader_process import MIB
from nigaoe_model.checkpoints.sandbox import read_in_sandbox

Build = Callable[..., Path]


class _WritesFile:
    """Unpickling it writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.target}",)


class _NestedLoad:
    """Unpickling it makes torch unpickle bytes: the exploit that slips through a list of allowed torch functions."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def __reduce__(self) -> tuple[Any, ...]:
        return torch.storage._load_from_bytes, (self.content,)


class _Allocates:
    """Unpickling it allocates ten gigabytes."""

    def __reduce__(self) -> tuple[Any, ...]:
        return bytearray, (10 * 2**30,)


class _Huge:
    """A tensor whose shape claims ten gigabytes of one number."""

    def __reduce__(self) -> tuple[Any, ...]:
        storage = torch.zeros(1).untyped_storage()
        typed = torch.storage.TypedStorage(wrap_storage=storage, dtype=torch.float32, _internal=True)
        return torch._utils._rebuild_tensor_v2, (typed, 0, (2_500_000_000,), (0,), False, {})


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """A file that exists only if something was executed."""
    return tmp_path / "executed"


def _zip(tmp_path: Path, value: Any) -> Path:
    path = tmp_path / "evil.pt"
    torch.save(value, path)
    return path


def _legacy(tmp_path: Path, value: Any) -> Path:
    path = tmp_path / "evil.pt"
    torch.save(value, path, _use_new_zipfile_serialization=False)
    return path


def _bare(tmp_path: Path, value: Any) -> Path:
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps(value))
    return path


@pytest.mark.parametrize("write", [_zip, _legacy, _bare])
def test_a_pickle_that_writes_a_file(tmp_path: Path, marker: Path, write: Callable[[Path, Any], Path]) -> None:
    """The command is named in the report and was never run."""
    path = write(tmp_path, {"g_ema": {}, "args": _WritesFile(marker)})
    reading = read_in_sandbox(path)
    assert reading.problem_code == UnsafeCheckpoint.code
    assert reading.unsafe_imports == (f"{os.system.__module__}.system",)
    assert not marker.exists()


def test_bytes_inside_that_are_loaded_again(tmp_path: Path, marker: Path) -> None:
    """What `torch.storage._load_from_bytes` would unpickle is read by the same inert machine."""
    path = _bare(tmp_path, {"G_ema": _NestedLoad(pickle.dumps(_WritesFile(marker)))})
    reading = read_in_sandbox(path)
    assert reading.unsafe_imports == (f"{os.system.__module__}.system",)
    assert not marker.exists()


def test_bytes_inside_bytes_inside_bytes(tmp_path: Path, marker: Path) -> None:
    """Hiding deeper does not help: the depth itself is refused."""
    content = pickle.dumps(_WritesFile(marker))
    for _ in range(5):
        buffer = _legacy(tmp_path, {"x": _NestedLoad(content)}).read_bytes()
        content = buffer
    error = examine(_bare(tmp_path, {"G_ema": _NestedLoad(content)})).error
    assert isinstance(error, UnsafeCheckpoint)
    assert not marker.exists()


@pytest.mark.parametrize("value", [_Allocates(), _Huge()])
def test_ten_gigabytes(tmp_path: Path, value: Any) -> None:
    """Neither a call that allocates nor a shape that claims costs any memory."""
    reading = read_in_sandbox(_bare(tmp_path, {"g_ema": {"x": value}}), memory=64 * MIB)
    assert reading.problem_code == UnsafeCheckpoint.code


def test_a_length_of_ten_gigabytes(tmp_path: Path) -> None:
    """A number in a file is no reason to allocate."""
    path = tmp_path / "long.pkl"
    path.write_bytes(b"\x80\x04\x8e" + struct.pack("<Q", 10 * 2**30) + b"x" * 100)
    assert read_in_sandbox(path, memory=64 * MIB).problem_code == BrokenCheckpoint.code


def test_a_structure_that_contains_itself(tmp_path: Path) -> None:
    """Walking it would never end; it is refused."""
    loop: dict[str, Any] = {"g_ema": {}}
    loop["g_ema"]["again"] = loop
    reading = read_in_sandbox(_bare(tmp_path, loop))
    assert reading.problem_code == UnsafeCheckpoint.code
    assert "contains itself" in reading.problem


def test_a_structure_that_is_nested_without_end(tmp_path: Path) -> None:
    """A hundred thousand lists in each other would overflow the stack of a recursive walk."""
    path = tmp_path / "deep.pkl"
    path.write_bytes(b"\x80\x04" + b"]" * 100_000 + b"a" * 99_999 + b".")
    assert read_in_sandbox(path).problem_code == UnsafeCheckpoint.code


def test_a_maze_of_shared_parts(tmp_path: Path) -> None:
    """Thirty levels of ten references each: small in the file, endless for a walker without a budget."""
    level: list[Any] = [1]
    for _ in range(30):
        level = [level] * 10
    assert read_in_sandbox(_bare(tmp_path, {"g_ema": level})).problem_code == UnsafeCheckpoint.code


def test_a_zip_bomb(tmp_path: Path, rosinality_file: Build) -> None:
    """Zeros that unpack to fifty megabytes from fifty kilobytes: nothing is unpacked."""
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as bomb:
        with zipfile.ZipFile(rosinality_file()) as honest:
            for entry in honest.infolist():
                bomb.writestr(entry.filename, honest.read(entry))
        bomb.writestr("foreign/data/999", bytes(50 * MIB))
    reading = read_in_sandbox(tmp_path / "bomb.pt", memory=64 * MIB)
    assert reading.problem_code == UnsafeCheckpoint.code
    assert "zip bomb" in reading.problem


def test_a_zip_whose_entries_lie_on_each_other(tmp_path: Path) -> None:
    """A bomb without compression: a hundred entries that are one."""
    with zipfile.ZipFile(tmp_path / "overlap.pt", "w") as bomb:
        bomb.writestr("a/data.pkl", pickle.dumps({}))
        bomb.writestr("a/data/0", bytes(MIB))
        for number in range(1, 100):
            twin = copy.copy(bomb.getinfo("a/data/0"))
            twin.filename = f"a/data/{number}"
            bomb.filelist.append(twin)
    reading = read_in_sandbox(tmp_path / "overlap.pt")
    assert reading.problem_code == UnsafeCheckpoint.code


def test_two_pickles_in_one_zip(tmp_path: Path, marker: Path) -> None:
    """One for the reader and one for the victim: a file that means two things is not read at all."""
    path = _zip(tmp_path, {})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("other/data.pkl", pickle.dumps(_WritesFile(marker)))
    assert examine(path).error is not None
    assert not marker.exists()


def test_memory_is_limited(tmp_path: Path) -> None:
    """A million dictionaries fit into a small file and into no small memory."""
    path = tmp_path / "many.pkl"
    path.write_bytes(b"\x80\x04(" + b"}" * 1_000_000 + b"t.")
    reading = read_in_sandbox(path, memory=32 * MIB)
    assert reading.problem_code == UnsafeCheckpoint.code


def test_time_is_limited(tmp_path: Path) -> None:
    """A file that keeps its reader busy is given up, and this process goes on."""
    path = tmp_path / "busy.pkl"
    path.write_bytes(b"\x80\x04" + b"N0" * 900_000 + b"N.")
    reading = read_in_sandbox(path, seconds=1)
    assert reading.problem_code == UnsafeCheckpoint.code


def test_the_golden_source_is_never_executed(golden: Path) -> None:
    """The golden pickle's source raises when anybody runs it; nobody does."""
    assert read_in_sandbox(golden / "nvidia-ada-64.pkl").problem == ""


@pytest.mark.parametrize("write", [_zip, _bare])
def test_importing_an_attack_registers_nothing(
    tmp_path: Path, marker: Path, write: Callable[[Path, Any], Path]
) -> None:
    """No file, no entry, no trace; the error says what was found."""
    path = write(tmp_path, _WritesFile(marker))
    folder = tmp_path / "registry"
    with pytest.raises(UnsafeCheckpoint, match="system"):
        import_weights(ImportRequest(path, Description("evil")), Registry.load(user=folder), folder)
    assert not marker.exists()
    assert not folder.exists()


def test_every_refusal_is_a_sentence(tmp_path: Path, marker: Path) -> None:
    """The user learns what to do: not to load this file anywhere."""
    error = examine(_bare(tmp_path, _WritesFile(marker))).error
    assert isinstance(error, CheckpointError)
    assert "do not load this file" in error.message
