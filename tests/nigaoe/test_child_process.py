import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nigaoe.child_process import ChildProcess

PATIENCE = 60.0
SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]

Start = Callable[..., ChildProcess]


@pytest.fixture
def child_of() -> Iterator[Start]:
    """A function that makes children; none outlives the story."""
    made: list[ChildProcess] = []

    def make(*command: str, **options: object) -> ChildProcess:
        made.append(ChildProcess("story", command, os.environ, **options))
        return made[-1]

    yield make
    for child in made:
        child.kill()


def until(holds: Callable[[], object]) -> None:
    give_up = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def test_a_child_that_dies_is_started_again(child_of: Start) -> None:
    """After a pause, as another process."""
    child = child_of(*SLEEP)
    child.start()
    first = child.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    until(lambda: child.pid is None)
    until(lambda: child.supervise() and child.pid is not None)
    assert child.pid != first


def test_a_child_that_cannot_run_is_given_up(child_of: Start) -> None:
    """Some exit statuses say that another start would not help; others do not."""
    child = child_of(sys.executable, "-S", "-c", "raise SystemExit(78)", fatal={78})
    child.start()
    until(lambda: child.pid is None)
    assert not child.supervise()


def test_pauses_grow(child_of: Start) -> None:
    """A child that dies at once is not started a hundred times a second."""
    child = child_of(sys.executable, "-S", "-c", "")
    child.start()
    pauses = []
    for _ in range(3):
        until(lambda: child.pid is None)
        child.supervise()
        pauses.append(child._pause)
        child._start_at = 0.0  # The story does not sit the pauses out.
        child.supervise()
    assert pauses == [1.0, 2.0, 4.0]


def test_a_child_that_is_to_end_stays_ended(child_of: Start) -> None:
    """SIGTERM, and no new start."""
    child = child_of(*SLEEP)
    child.start()
    child.end()
    until(child.has_ended)
    assert child.supervise()
    assert child.has_ended()


def test_force_ends_what_the_child_started_too(child_of: Start, tmp_path: Path) -> None:
    """The whole group, grandchildren included."""
    told = tmp_path / "pid"
    script = (
        "import pathlib, subprocess, sys, time; "
        "inner = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(600)']); "
        f"pathlib.Path({str(told)!r}).write_text(str(inner.pid)); time.sleep(600)"
    )
    child = child_of(sys.executable, "-c", script)
    child.start()
    until(lambda: told.exists() and told.read_text())
    grandchild = Path(f"/proc/{told.read_text()}/stat")
    child.kill()
    until(child.has_ended)
    until(lambda: not grandchild.exists() or ") Z " in grandchild.read_text())
