"""Mutated checkpoints: whatever is changed in a file, looking at it executes nothing, ends soon, and does not fail."""

import os
import pickle
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nigaoe_model.checkpoints.examination import examine

Build = Callable[..., Path]

_DANGEROUS = ("os.system", "os.exec", "os.posix_spawn", "subprocess.", "socket.", "pickle.find_class")


class _Alarm:
    """Notices through Python's audit events whether anything was executed; hooks cannot be taken away again."""

    def __init__(self) -> None:
        self.is_armed = False
        self.events: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, _: Any) -> None:
        if self.is_armed and event.startswith(_DANGEROUS):
            self.events.append(event)


_alarm: list[_Alarm] = []


@pytest.fixture
def alarm() -> Iterator[_Alarm]:
    """The process's one alarm, armed while a test runs."""
    if not _alarm:
        _alarm.append(_Alarm())
    _alarm[0].events.clear()
    yield _alarm[0]
    _alarm[0].is_armed = False


class _Executes:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("true",)


places = st.integers(0, 1_000_000)
"""Millionths of the way through the bytes."""

mutations = st.lists(
    st.one_of(
        st.tuples(st.just("flip"), places, st.integers(0, 255)),
        st.tuples(st.just("cut"), places, st.integers(1, 60)),
        st.tuples(st.just("repeat"), places, st.integers(1, 60)),
        st.tuples(st.just("insert"), places, st.binary(min_size=1, max_size=12)),
        st.tuples(st.just("infect"), places, st.just(pickle.dumps(_Executes(), protocol=2)[2:-1])),
    ),
    min_size=1,
    max_size=8,
)


def _mutated(content: bytes, steps: list[tuple[str, int, Any]], focus: int) -> bytes:
    """Apply the steps within the first ``focus`` bytes, where the instructions are."""
    data = bytearray(content)
    for kind, place, what in steps:
        at = place * min(focus, len(data) - 1) // 1_000_000
        if kind == "flip":
            data[at] = what
        elif kind == "cut":
            del data[at : at + what]
        elif kind == "repeat":
            data[at:at] = data[at : at + what]
        else:
            data[at:at] = what
    return bytes(data)


def _rezipped(path: Path, archive: Path, change: Callable[[bytes], bytes]) -> None:
    """Write a zip again with another pickle in it: a flipped byte outside of it only breaks a checksum."""
    with zipfile.ZipFile(archive) as before, zipfile.ZipFile(path, "w") as after:
        for entry in before.infolist():
            content = before.read(entry)
            after.writestr(entry.filename, change(content) if entry.filename.endswith("data.pkl") else content)


@pytest.mark.parametrize("kind", ["zip", "legacy", "nvidia", "tensorflow"])
def test_mutated_files(kind: str, tmp_path: Path, alarm: _Alarm, request: pytest.FixtureRequest) -> None:
    """Flips, cuts, repetitions, insertions and infections of every container."""
    builders = {"zip": "rosinality_file", "legacy": "rosinality_file", "nvidia": "nvidia_file"}
    build: Build = request.getfixturevalue(builders.get(kind, "tensorflow_file"))
    original = build(legacy=True) if kind == "legacy" else build()
    content = original.read_bytes()
    path = tmp_path / "mutant"
    examine(path)  # Everything is imported before the alarm is armed.

    @settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(steps=mutations, focus=st.sampled_from([300, 5_000, len(content)]))
    def check(steps: list[tuple[str, int, Any]], focus: int) -> None:
        if kind == "zip":
            _rezipped(path, original, lambda inner: _mutated(inner, steps, focus))
        else:
            path.write_bytes(_mutated(content, steps, focus))
        alarm.is_armed = True
        examination = examine(path)
        alarm.is_armed = False
        assert alarm.events == []
        assert (examination.error is None) == (examination.reading.problem == "")

    check()
