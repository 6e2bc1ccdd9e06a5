"""A TCP line to a server that can be cut or muted, so that a story can lose its server without losing its state."""

import contextlib
import socket
import threading
from typing import Final, Self

_BLOCK: Final = 65536


class BreakableLine:
    """Carries connections to a server, until it is broken.

    Args:
        port: Where the server listens on the loopback address.
    """

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._carries = threading.Event()
        self._carries.set()
        self._ends: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = self._listen(0)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def cut(self) -> None:
        """Break all connections and refuse new ones, as when the server's process dies."""
        # A blocked accept keeps a socket open after it was closed: shutting down wakes it up.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._carries.set()
        with self._lock:
            ends, self._ends = self._ends, set()
        for end in ends:
            _close(end)

    def mute(self) -> None:
        """Carry nothing more in either direction and close nothing, as when the server's machine is gone."""
        self._carries.clear()

    def mend(self) -> None:
        """Carry again: what was muted goes on, what was cut can be connected again."""
        self._carries.set()
        if self._listener.fileno() < 0:
            self._listener = self._listen(self.port)

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port), backlog=64)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return  # Cut.
            far = socket.create_connection(self._target)
            with self._lock:
                self._ends |= {near, far}
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while block := source.recv(_BLOCK):
                self._carries.wait()
                sink.sendall(block)
        _close(source)
        _close(sink)
        with self._lock:
            self._ends -= {source, sink}


def _close(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
