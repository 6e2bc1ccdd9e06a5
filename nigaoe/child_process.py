"""Supervised child process: started with a parent watchdog, started again when it dies, ended in order."""

import os
import signal
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Final

import structlog

from nigaoe.parent_watchdog import with_watchdog

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
STEADY_SECONDS: Final = 60.0
"""A child that lived this long is started again without a pause."""

_log = structlog.get_logger(__name__)


class ChildProcess:
    """Supervised program that is started again whenever it dies.

    Args:
        name: For the log.
        command: Program and arguments.
        environment: The whole environment.
        files: Descriptors that the child inherits.
        fatal: Exit statuses after which another start would not help.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        files: Sequence[int] = (),
        fatal: Collection[int] = (),
    ) -> None:
        self.name = name
        self._command = with_watchdog(command)
        self._environment = dict(environment)
        self._files = tuple(files)
        self._fatal = frozenset(fatal)
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._start_at: float | None = None
        self._pause = FIRST_PAUSE
        self._is_ending = False

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Start it now."""
        # In a session of its own: Ctrl-C in the terminal is for the supervisor, which ends its children in order.
        self._process = subprocess.Popen(
            self._command,
            env=self._environment,
            pass_fds=self._files,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._started_at, self._start_at = time.monotonic(), None
        _log.info("child.started", child=self.name, pid=self._process.pid)

    def supervise(self) -> bool:
        """Start it again if it died and its pause is over; False: it cannot run at all."""
        if self._process is None or self._is_ending or self._process.poll() is None:
            return True
        if self._process.returncode in self._fatal:
            return False
        if self._start_at is None:
            self._plan_start()
        if self._start_at is not None and time.monotonic() >= self._start_at:
            self.start()
        return True

    def signal(self, number: int) -> None:
        """Send a signal if it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def end(self) -> None:
        """Ask it to end; it is not started again."""
        self._is_ending = True
        self.signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it by force, and everything it started."""
        self._is_ending = True
        if self._process is not None and self._process.poll() is None:
            with suppress(ProcessLookupError):  # It ended by itself meanwhile.
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def has_ended(self) -> bool:
        """Whether it does not run."""
        return self.pid is None

    def _plan_start(self) -> None:
        assert self._process is not None  # noqa: S101 - it was started, or it could not have died.
        lived = time.monotonic() - self._started_at
        self._pause = FIRST_PAUSE if lived > STEADY_SECONDS else min(2 * self._pause, LONGEST_PAUSE)
        pause = 0.0 if lived > STEADY_SECONDS else self._pause
        self._start_at = time.monotonic() + pause
        _log.error("child.died", child=self.name, status=self._process.returncode, again_in=pause)
