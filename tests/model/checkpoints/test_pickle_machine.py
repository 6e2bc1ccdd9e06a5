"""The machine understands what pickle writes, and does nothing that a pickle asks for."""

import io
import os
import pickle
import pickletools
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigaoe_core.errors import BrokenCheckpoint, CheckpointError, UnsafeCheckpoint
from nigaoe_model.checkpoints import pickle_machine
from nigaoe_model.checkpoints.pickle_machine import Trace, Window, run_pickle
from nigaoe_model.checkpoints.records import Call, GlobalName

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_subnormal=False)
    | st.text()
    | st.binary()
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.sets(st.integers())
        | st.frozensets(st.text())
    ),
    max_leaves=20,
)


def _run(content: bytes, trace: Trace | None = None) -> Any:
    return run_pickle(Window(memoryview(content)), trace or Trace())


@given(value=values, protocol=st.integers(0, 5))
def test_plain_values_are_what_pickle_says_they_are(value: Any, protocol: int) -> None:
    """Every protocol, every container: the same value as the standard library's."""
    content = pickle.dumps(value, protocol=protocol)
    trace = Trace()
    result = _run(content, trace)
    if trace.names:  # Sets and bytes are calls of builtins in the old protocols.
        assert protocol < 4
    else:
        assert result == pickle.loads(content)


class _Executes:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", range(6))
def test_a_call_is_written_down_and_not_made(tmp_path: Path, protocol: int) -> None:
    """The command is visible, its effect is not."""
    trace = Trace()
    call = _run(pickle.dumps(_Executes(tmp_path / "trace"), protocol=protocol), trace)
    assert isinstance(call, Call)
    assert call.arguments == (f"touch {tmp_path / 'trace'}",)
    assert trace.names == {GlobalName(os.system.__module__, "system")}
    assert not list(tmp_path.iterdir())


def test_several_pickles_in_a_row_are_read_one_by_one() -> None:
    """The cursor stands behind each: torch's old format needs that."""
    content = pickle.dumps(1) + pickle.dumps("two", protocol=0) + pickle.dumps([3])
    window = Window(memoryview(content))
    assert [run_pickle(window, Trace()) for _ in range(3)] == [1, "two", [3]]
    assert window.tell() == len(content)


def test_persistent_references_are_collected() -> None:
    """Storages of torch lie outside of the pickle; who refers to them is known."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: Any) -> Any:
            return ("storage", "there") if value == "here" else None

    buffer = io.BytesIO()
    Pickler(buffer, protocol=2).dump(["here"])
    trace = Trace()
    _run(buffer.getvalue(), trace)
    assert [reference.value for reference in trace.persistent] == [("storage", "there")]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"(S'echo'\nios\nsystem\n.", None),
        (b"S'a'\n)R.", "computed"),
        (b"cos\nsystem\n}b.", "did not make"),
        (b"K\x01K\x02\x93.", "computes the name"),
    ],
)
def test_instructions_that_no_checkpoint_has_are_refused_or_inert(content: bytes, complaint: str | None) -> None:
    """Extension registry, computed callables and names, changes of modules."""
    if complaint is None:
        assert isinstance(_run(content), Call)
    else:
        with pytest.raises(UnsafeCheckpoint, match=complaint):
            _run(content)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\x80", b"\x80\x04", b".", b"(.", b"a.", b"K\x01", b"h\x05.", b"}K\x01s.", b"N(.",
        b"\x8e\xff\xff\xff\x7f\0\0\0\0a.",
    ],
)  # fmt: skip
def test_a_damaged_pickle_is_called_damaged(content: bytes) -> None:
    """Cut anywhere, or with an empty stack: one error of the tree, no other."""
    with pytest.raises(BrokenCheckpoint, match="damaged"):
        _run(content)


def test_a_claim_of_ten_gigabytes_costs_nothing() -> None:
    """The length is believed only as far as there are bytes."""
    with pytest.raises(BrokenCheckpoint, match="remain"):
        _run(b"\x80\x04\x8e" + (10 * 2**30).to_bytes(8, "little") + b"x" * 50)


def test_a_pickle_without_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instructions are counted."""
    monkeypatch.setattr(pickle_machine, "MAX_OPERATIONS", 1000)
    with pytest.raises(UnsafeCheckpoint, match="1000 instructions"):
        _run(b"\x80\x04" + b"N0" * 1000 + b"N.")


def test_a_deep_tuple_as_a_key_is_refused() -> None:
    """Hashing a tuple that is nested a million times would end the process."""
    with pytest.raises(BrokenCheckpoint, match="as a key"):
        _run(b"\x80\x04}N" + b"\x85" * 100_000 + b"Ns.")


def test_a_line_without_end_is_refused() -> None:
    """Text instructions read to the end of their line, and lines have an end."""
    with pytest.raises(UnsafeCheckpoint, match="64 KiB"):
        _run(b"I" + b"1" * 200_000)


operations = st.sampled_from([opcode.code.encode("latin-1") for opcode in pickletools.opcodes])


@given(st.lists(operations | st.binary(max_size=6), max_size=60))
def test_any_bytes_end_in_a_value_or_in_an_error_of_the_tree(parts: list[bytes]) -> None:
    """Random programs over all instructions: the machine never fails in its own way."""
    with suppress(CheckpointError):
        _run(b"\x80\x04" + b"".join(parts) + b".")
