"""Atomic writes: the whole new file or the old one."""

import stat
from pathlib import Path

import pytest

from nigaoe_core.atomic_write import atomic_replacement, atomic_write


def test_a_file_is_made_and_replaced(tmp_path: Path) -> None:
    """Bytes and text, and nothing else stays in the folder."""
    path = tmp_path / "file"
    atomic_write(path, b"\xff")
    assert path.read_bytes() == b"\xff"
    atomic_write(path, "似顔絵")
    assert path.read_text("utf-8") == "似顔絵"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_nobody_else_reads_a_secret(tmp_path: Path, mode: int) -> None:
    """Permissions are the asked-for ones at the end, and the owner's alone before."""
    with atomic_replacement(tmp_path / "file", mode=mode) as part:
        assert stat.S_IMODE(part.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


def test_a_writer_that_fails_changes_nothing(tmp_path: Path) -> None:
    """The old file stays, the unfinished one goes."""
    path = tmp_path / "file"
    atomic_write(path, "old")

    def interrupted() -> None:
        with atomic_replacement(path) as part:
            part.write_text("half of the n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_writers_at_once_do_not_mix(tmp_path: Path) -> None:
    """Each writes beside the others; the last to finish stays."""
    path = tmp_path / "file"
    with atomic_replacement(path) as first, atomic_replacement(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"
