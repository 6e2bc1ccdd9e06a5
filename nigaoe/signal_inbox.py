"""Signals as something to wait for, so that a supervisor sleeps until there is something to do."""

import select
import signal
import socket
from types import FrameType
from typing import Any, Self

WATCHED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class SignalInbox:
    """Collects signals of this process while it is entered; only in the main thread."""

    def __enter__(self) -> Self:
        self._reader, self._writer = socket.socketpair()
        for end in (self._reader, self._writer):
            end.setblocking(False)  # noqa: FBT003 - socket's own signature.
        self._wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._handlers: dict[int, Any] = {number: signal.signal(number, _nothing) for number in WATCHED}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        self._reader.close()
        self._writer.close()

    def wait(self, seconds: float) -> set[int]:
        """Return the signals that came, as soon as one does; empty: the time is up."""
        readable, _, _ = select.select([self._reader], [], [], seconds)
        return set(self._reader.recv(4096)) if readable else set()


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """Python writes the number to the inbox by itself; a handler has to exist for that."""
