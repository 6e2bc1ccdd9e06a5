"""Embedded service: Valkey, worker and API as one process tree below one supervisor.

The same code path as a deployment on many machines; only the supervisor is different. Children have a parent watchdog,
so nothing is left behind even by ``kill -9`` of this process; jobs survive it in the journal and the blob folder.
An unexpected error of one of them (it cannot be started for now, it does not answer) does not end the others.
"""

import http
import os
import select
import signal
import socket
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from enum import Enum
from types import FrameType
from typing import Any, Final, Self

import structlog

from nigaoe.child_process import ChildProcess
from nigaoe.embedded_redis import EmbeddedRedis
from nigaoe.exit_codes import EXIT_CODES
from nigaoe.parent_watchdog import with_watchdog
from nigaoe_core.errors import InvalidSettings, StoreUnavailable, UsageError
from nigaoe_core.guarded_loop import UnexpectedErrors
from nigaoe_core.settings import Settings

SUPERVISION_SECONDS: Final = 1.0
READY_TIMEOUT: Final = 2.0
WORKER_GRACE: Final = 30.0
"""Beyond the time for draining: handing back, storing, saying goodbye."""
API_GRACE: Final = 20.0
FATAL: Final = frozenset({EXIT_CODES[UsageError], os.EX_CONFIG})
"""Exit statuses of a child whose settings are wrong."""

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
_ENDS: Final = frozenset({int(signal.SIGTERM), int(signal.SIGINT), int(signal.SIGHUP)})

_log = structlog.get_logger(__name__)


class SignalInbox:
    """Signals of this process as something to wait for, while it is entered; only in the main thread."""

    def __enter__(self) -> Self:
        self._reader, self._writer = socket.socketpair()
        for end in (self._reader, self._writer):
            end.setblocking(False)  # noqa: FBT003 - socket's own signature.
        self._wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._handlers: dict[int, Any] = {number: signal.signal(number, _nothing) for number in _SIGNALS}
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


class Patience(Enum):
    """How the tree is to end: each further signal is less patient."""

    FINISH = 1  # Running jobs may finish.
    HAND_BACK = 2  # They go on at the next start.
    KILL = 3


class ProcessTree:
    """Supervisor that starts, restarts and ends the children.

    Args:
        settings: Of the whole system.
        listening: The API's bound socket; it survives a restart of the API, so clients wait instead of being refused.
        tell: Prints a sentence for the user who started the tree.
    """

    def __init__(self, settings: Settings, listening: socket.socket, tell: Callable[[str], None]) -> None:
        self._settings = settings
        self._tell = tell
        self._errors = UnexpectedErrors()
        self._redis = None if settings.redis_url else EmbeddedRedis(settings.data_dir / "redis", valkey_with_watchdog)
        url = settings.redis_url.get_secret_value() if settings.redis_url else None
        environment = child_environment(settings, url or (self._redis.url if self._redis else ""))
        self._port = int(listening.getsockname()[1])
        self._was_ready = False
        # -P: the folder in which somebody starts us may hold a `model.py` of their own.
        command = [sys.executable, "-P", "-m", "nigaoe"]
        self._worker = ChildProcess("worker", [*command, "worker"], environment, fatal=FATAL)
        self._api = ChildProcess(
            "api",
            [*command, "api", "--fd", str(listening.fileno())],
            environment,
            files=[listening.fileno()],
            fatal=FATAL,
        )

    def run(self) -> None:
        """Run until a signal ends the tree.

        Raises:
            NigaoeError: The tree cannot run.
        """
        with SignalInbox() as inbox:
            try:
                self._start()
                while not inbox.wait(SUPERVISION_SECONDS) & _ENDS:
                    self._supervise()
            finally:
                self._end(inbox)

    def _start(self) -> None:
        if self._redis is not None:
            self._redis.start()
        self._worker.start()
        self._api.start()

    def _supervise(self) -> None:
        with self._errors.contained("valkey"):
            self._keep_store()
        with self._errors.contained("readiness"):
            self._announce()
        for child in (self._worker, self._api):
            can_run = True
            with self._errors.contained(child.name):
                can_run = child.supervise()
            if not can_run:
                raise InvalidSettings(f"The {child.name} cannot run with these settings: its last lines say why.")

    def _keep_store(self) -> None:
        if self._redis is None or self._redis.is_running:
            return
        _log.error("child.died", child="valkey")
        try:
            self._redis.start()
        except StoreUnavailable as error:
            _log.error("child.not_started", child="valkey", reason=error.message)

    def _announce(self) -> None:
        if not self._was_ready and is_ready(self._port, self._settings.host):
            self._was_ready = True
            self._tell("Ready.")

    def _end(self, inbox: SignalInbox) -> None:
        """The worker first, while the API still answers those who wait; the store last."""
        self._tell("Ending: running jobs may finish; again (Ctrl-C) hands them back for the next start.")
        patience = Patience.FINISH
        for child, seconds in ((self._worker, self._settings.drain_seconds + WORKER_GRACE), (self._api, API_GRACE)):
            with self._errors.contained(child.name):
                patience = self._end_child(child, seconds, inbox, patience)
        if self._redis is not None:
            self._redis.stop()

    def _end_child(self, child: ChildProcess, seconds: float, inbox: SignalInbox, patience: Patience) -> Patience:
        child.end()
        give_up = time.monotonic() + seconds
        while not child.has_ended():
            if inbox.wait(SUPERVISION_SECONDS) & _ENDS:
                patience = Patience(min(patience.value + 1, Patience.KILL.value))
                child.signal(signal.SIGUSR2)
            if patience is Patience.KILL or time.monotonic() > give_up:
                _log.error("child.killed", child=child.name)
                child.kill()
        return patience


def child_environment(settings: Settings, redis_url: str) -> Mapping[str, str]:
    """The children's environment: ours, with what the command line and this tree decided."""
    decided = {
        "NIGAOE_REDIS_URL": redis_url,
        "NIGAOE_DATA_DIR": str(settings.data_dir.absolute()),
        "NIGAOE_HOST": settings.host,
        "NIGAOE_PORT": str(settings.port),
        "PYTHONUNBUFFERED": "1",
    }
    return {**os.environ, **decided}


def valkey_with_watchdog(command: list[str]) -> list[str]:
    """Tie the server to this process; SIGTERM lets it close its journal in order."""
    return with_watchdog(command, end=signal.SIGTERM)


def is_ready(port: int, host: str) -> bool:
    """Ask the API whether a photo sent now would be converted."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104 - the address is compared, not bound.
    try:
        with urllib.request.urlopen(f"http://{reachable}:{port}/readyz", timeout=READY_TIMEOUT) as answer:
            return bool(answer.status == http.HTTPStatus.OK)
    except OSError:
        return False


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """Python writes the number to the inbox by itself; a handler has to exist for that."""
