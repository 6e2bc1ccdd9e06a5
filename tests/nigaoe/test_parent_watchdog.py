import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from nigaoe import parent_watchdog
from nigaoe.parent_watchdog import with_watchdog

PATIENCE = 60.0

OWNER = """
import subprocess, sys, time
sys.path.insert(0, sys.argv[1])
from nigaoe.parent_watchdog import with_watchdog
child = subprocess.Popen(with_watchdog([sys.executable, "-c", "import time; time.sleep(600)"]))
print(child.pid, flush=True)
time.sleep(600)
"""


def until(holds: Callable[[], object]) -> None:
    give_up = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_child_does_not_outlive_its_parent(repository: Path) -> None:
    """kill -9 of the parent, who can do nothing about it any more."""
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(repository)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    child = int(owner.stdout.readline())
    assert is_alive(child)
    owner.kill()
    owner.wait()
    owner.stdout.close()
    until(lambda: not is_alive(child))


def test_a_parent_that_died_before_is_noticed() -> None:
    """Its child came too late to be tied, and ends without becoming the command."""
    command = with_watchdog([sys.executable, "-c", "print('never')"])
    command[command.index(str(os.getpid()))] = "1"
    result = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert result.stdout == ""


def test_the_command_keeps_the_process(tmp_path: Path) -> None:
    """Same process id, same environment, same status."""
    told = tmp_path / "told"
    tell = "import os, sys; open(sys.argv[1], 'w').write(str(os.getpid()) + os.environ['A']); sys.exit(7)"
    process = subprocess.Popen(with_watchdog([sys.executable, "-c", tell, str(told)]), env={**os.environ, "A": "!"})
    assert process.wait(PATIENCE) == 7
    assert told.read_text() == f"{process.pid}!"


WATCHED = """
import sys
sys.path.insert(0, sys.argv[1])
from nigaoe import parent_watchdog
sys.exit(parent_watchdog.watch(9, int(sys.argv[2]), [sys.executable, "-c", sys.argv[3]]))
"""


def test_where_the_kernel_cannot_it_watches_and_passes_signals_on(repository: Path) -> None:
    """The way of other systems: the launcher stays, and is as good as the command itself."""
    patient = "import signal, sys; signal.signal(15, lambda *_: sys.exit(3)); print('up', flush=True); signal.pause()"
    arguments = [sys.executable, "-c", WATCHED, str(repository), str(os.getpid()), patient]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 3
    process.stdout.close()


def test_where_the_kernel_cannot_it_ends_orphans(repository: Path) -> None:
    """The parent's id is not that of the parent: it is gone."""
    arguments = [sys.executable, "-c", WATCHED, str(repository), "1", "import time; time.sleep(600)"]
    assert subprocess.run(arguments, timeout=PATIENCE, check=False).returncode == 256 - signal.SIGKILL
    assert parent_watchdog.WATCH_SECONDS < 2
