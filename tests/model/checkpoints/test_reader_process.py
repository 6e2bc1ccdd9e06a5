"""A bound process cannot do what reading weights never needs."""

import subprocess
import sys
from pathlib import Path

import pytest

BIND = (
    "from pathlib import Path; from nigaoe_model.checkpoints.reader_process import bind_process;"
    "import os, socket, subprocess, pickle;"
)


@pytest.mark.parametrize(
    ("attempt", "event"),
    [
        ("os.system('true')", "os.system"),
        ("subprocess.Popen(['true'])", "subprocess.Popen"),
        ("socket.create_connection(('127.0.0.1', 9))", "socket"),
        ("pickle.loads(b'cposix\\nsystem\\n.')", "pickle.find_class"),
        ("os.remove(PATH)", "os.remove"),
        ("os.fork()", "os.fork"),
    ],
)
def test_a_bound_process_starts_connects_and_deletes_nothing(tmp_path: Path, attempt: str, event: str) -> None:
    """The second wall stands even where the first has a hole."""
    target = tmp_path / "file"
    target.write_text("still here")
    code = f"{BIND} PATH={str(target)!r}; bind_process(Path(PATH), memory=10**9, seconds=60); {attempt}"
    process = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert process.returncode == 1
    assert f"must not cause {event}" in process.stderr
    assert target.read_text() == "still here"


def test_a_bound_process_has_no_more_memory_than_it_was_given(tmp_path: Path) -> None:
    """Beyond the budget there is a MemoryError, not a slower machine."""
    (tmp_path / "file").touch()
    code = f"{BIND} bind_process(Path({str(tmp_path / 'file')!r}), memory=2**26, seconds=60); bytearray(2**28)"
    process = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert "MemoryError" in process.stderr
