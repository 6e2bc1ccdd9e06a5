"""Parent watchdog: a launcher for a process that shall end with its parent, even when that is ended by ``kill -9``.

Run as a file, ``python -S parent_watchdog.py SIGNAL PARENT COMMAND...``: it imports next to nothing, asks the kernel to
signal it when the parent ends, and becomes the command, so process id, files and environment stay. Where the kernel
offers no such thing (macOS), it stays and watches instead.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1
WATCH_SECONDS = 0.5


def with_watchdog(command: Sequence[str], *, end: int = 9) -> list[str]:
    """Return the command with the launcher before it. Start it from a thread that lives as long as the process.

    Args:
        command: What to run.
        end: The signal it gets when this process vanishes.
    """
    return [sys.executable, "-S", "-E", __file__, str(end), str(os.getpid()), *command]


def tie(end: int, parent: int) -> bool:
    """Ask the kernel to send ``end`` when the parent dies; False: it cannot.

    A parent that died before we asked is noticed, too: then this process ends here.
    """
    if not sys.platform.startswith("linux"):
        return False
    is_tied = bool(ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, end) == 0)
    if os.getppid() != parent:
        sys.exit(0)
    return is_tied


def watch(end: int, parent: int, command: Sequence[str]) -> int:
    """Run the command as a child, pass signals on, and end it when the parent is gone; return its exit status."""
    child = subprocess.Popen(command, close_fds=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2):
        signal.signal(number, lambda received, _frame: child.send_signal(received))
    while child.poll() is None:
        if os.getppid() != parent:
            child.send_signal(end)
            break
        time.sleep(WATCH_SECONDS)
    return child.wait()


def main() -> None:
    """Become the command, or watch it."""
    end, parent, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    if tie(end, parent):
        os.execvp(command[0], command)  # noqa: S606 - becoming the command is the point.
    sys.exit(watch(end, parent, command))


if __name__ == "__main__":
    main()
