"""A worker's health: the heartbeat that reports it, the watchdogs, and the HTTP server for probes and metrics.

The heartbeat is one thread: every two seconds, or at once when the worker begins to drain, it reports to the job store,
and it ends a process that is of no use any more. It waits for nothing that may take long: neither for the device
(`DeviceWatchdog` only compares numbers) nor for weights (`nigaoe_worker.model_cache` loads them).
"""

import os
import queue
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from wsgiref.simple_server import WSGIRequestHandler, make_server

import structlog
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer
from typing_extensions import override

from nigaoe_core.errors import NigaoeError
from nigaoe_core.guarded_loop import GIVE_UP_AFTER, GuardedThread, UnexpectedErrors
from nigaoe_core.jobs import Seconds
from nigaoe_core.store.job_store import JobStore
from nigaoe_core.worker_report import WorkerReport

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

BEAT_SECONDS: Final[Seconds] = 2.0
REPORT_SECONDS: Final[Seconds] = 10.0
"""A report expires after this: its worker has vanished."""
LONGEST_BEAT: Final[Seconds] = 120.0
"""Far above what a beat takes while Redis is away and jobs are given back."""
EXIT_STATUS: Final = os.EX_TEMPFAIL
"""A supervisor should start a fresh process."""
QUEUE_PATIENCE: Final[Seconds] = 30.0
"""How long messages may wait for a worker that has nothing to do."""
LONGEST_INTERVAL: Final[Seconds] = 10.0
"""Above the time between two beats of a heartbeat that is doing well."""

WHERE: Final = "heartbeat"
SERVER: Final = "health_page"
"""Where unexpected errors of the HTTP server are counted."""

_log = structlog.get_logger(__name__)


class DeviceHangs(Exception):
    """One step, admission or device task takes so long that it will not end."""


@dataclass(frozen=True)
class HealthChecks:
    """What the heartbeat reads and may do; each is called in its thread.

    Attributes:
        report: The worker's report.
        messages: Messages waiting in the queue; None: the queue does not answer.
        fetched: Messages fetched since the start.
        is_busy: Whether there is anything to do.
        activity: What the device is at, see `Engine.activity`.
        failure: Why the worker is of no use any more (the device is gone, a thread gave up); None: it is.
        give_up_device: Rejects all that wait for the device, because it hangs.
        abandon: Fetches nothing more and hands all jobs back, because the process is about to end.
    """

    report: Callable[[], WorkerReport]
    messages: Callable[[], int | None]
    fetched: Callable[[], int]
    is_busy: Callable[[], bool]
    activity: Callable[[], int | None]
    failure: Callable[[], BaseException | None]
    give_up_device: Callable[[BaseException], None]
    abandon: Callable[[], None]


class QueueWatchdog:
    """Detects a worker that fetches nothing ("catatonic" after a lost connection: celery #8030, #8990).

    Args:
        patience: How long messages may wait for a worker that has nothing to do.
        clock: Seconds that only grow.
    """

    def __init__(self, patience: Seconds = QUEUE_PATIENCE, clock: Callable[[], Seconds] = time.monotonic) -> None:
        self._patience = patience
        self._clock = clock
        self._stalled_since: Seconds | None = None
        self._fetched = 0

    def is_stalled(self, *, messages: int | None, fetched: int, is_busy: bool) -> bool:
        """Check once.

        Args:
            messages: Messages that wait in the queue; None: Redis does not answer, so nobody could fetch.
            fetched: Messages that this worker has fetched since it started.
            is_busy: Whether it has anything to do.
        """
        if not messages or is_busy or fetched != self._fetched:
            self._fetched = fetched
            self._stalled_since = None
            return False
        if self._stalled_since is None:
            self._stalled_since = self._clock()
        return self._clock() - self._stalled_since >= self._patience


class DeviceWatchdog:
    """Detects a device that has been at the same thing for too long.

    It adds up the time between its own checks, of each at most `LONGEST_INTERVAL`: a process that was suspended as a
    whole (a laptop's lid, a debugger) finds its device where it left it, and that is no fault.

    Args:
        limit: How long one step, admission or device task may take; 0: without limit.
        clock: Seconds that only grow.
    """

    def __init__(self, limit: Seconds, clock: Callable[[], Seconds] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._activity: int | None = None
        self._checked_at = clock()
        self._seconds = 0.0

    def is_hung(self, activity: int | None) -> bool:
        """Check once.

        Args:
            activity: A number that changes with whatever the device begins; None: it does nothing that is watched.
        """
        now = self._clock()
        since, self._checked_at = min(now - self._checked_at, LONGEST_INTERVAL), now
        is_same = activity is not None and activity == self._activity
        self._activity = activity
        self._seconds = self._seconds + since if is_same else 0.0
        return bool(self._limit) and self._seconds >= self._limit


class Heartbeat:
    """The thread that reports a worker's health, and ends its process when it has failed.

    Args:
        store: Where workers report.
        checks: What to read.
        queue_watchdog: Detects a worker that fetches nothing.
        device_watchdog: Detects a device that hangs.
        leave: Ends the process with a status.
        errors: Where unexpected errors are recorded.
    """

    def __init__(
        self,
        store: JobStore,
        checks: HealthChecks,
        queue_watchdog: QueueWatchdog,
        device_watchdog: DeviceWatchdog,
        leave: Callable[[int], object] = os._exit,
        *,
        errors: UnexpectedErrors | None = None,
    ) -> None:
        self._store = store
        self._checks = checks
        self._queue_watchdog = queue_watchdog
        self._device_watchdog = device_watchdog
        self._leave = leave
        # Its `put` may interrupt itself, so a signal handler may call it; a condition's lock may not.
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._errors = errors or UnexpectedErrors()
        self._bad_beats = 0
        self._beaten_at = time.monotonic()
        # Without it a worker's health goes unseen and a failed process does not end: so it ends with its heartbeat.
        self._thread = GuardedThread(
            WHERE, self._run, self._errors, give_up_after=GIVE_UP_AFTER, on_given_up=lambda _error: self._end()
        )

    def start(self) -> None:
        """Start the thread with a first beat."""
        self._thread.start()

    @property
    def is_beating(self) -> bool:
        """Whether the thread is neither dead nor stuck."""
        return self._thread.failure is None and time.monotonic() - self._beaten_at < LONGEST_BEAT

    def call_soon(self, call: Callable[[], None]) -> None:
        """Run something in the thread and beat at once; safe in a signal handler."""
        self._calls.put(call)

    def close(self) -> None:
        """End the thread, and withdraw the report."""
        self._calls.put(None)
        self._thread.join()
        self._try(self._withdraw)

    def _run(self) -> None:
        while True:
            self.beat()
            try:
                call = self._calls.get(timeout=BEAT_SECONDS)
            except queue.Empty:
                continue
            if call is None:
                return
            self._try(call)

    def beat(self) -> None:
        """Report and examine once; what fails is logged and done again at the next beat."""
        self._beaten_at = time.monotonic()
        results = [self._try(duty) for duty in (self._report, self._examine)]
        self._bad_beats = 0 if all(results) else self._bad_beats + 1
        if self._bad_beats == GIVE_UP_AFTER:
            _log.critical("worker.unwell", reason="The heartbeat fails again and again.")
            self._end()

    def _try(self, duty: Callable[[], None]) -> bool:
        """Do one thing; False: it raised an unexpected exception, which must not prevent the other things."""
        try:
            duty()
        except NigaoeError as error:
            _log.warning("heartbeat.postponed", duty=getattr(duty, "__name__", ""), code=error.code)
        except Exception as error:  # noqa: BLE001 - recorded whole.
            self._errors.record(WHERE, error)
            return False
        return True

    def _report(self) -> None:
        self._store.report_worker(self._checks.report(), seconds=REPORT_SECONDS)

    def _withdraw(self) -> None:
        self._store.withdraw_worker(self._checks.report().worker)

    def _examine(self) -> None:
        if self._device_watchdog.is_hung(self._checks.activity()):
            self._checks.give_up_device(DeviceHangs("The device does not answer any more."))
        failure = self._checks.failure()
        if failure is not None:
            _log.critical("worker.unwell", reason=repr(failure))
            self._end()
            return
        is_busy = self._checks.is_busy()
        messages = None if is_busy else self._checks.messages()
        if self._queue_watchdog.is_stalled(messages=messages, fetched=self._checks.fetched(), is_busy=is_busy):
            _log.critical("worker.deaf", messages=messages)
            self._end()

    def _end(self) -> None:
        """Hand back what can be handed back, and end the process, whatever fails on the way."""
        for duty in (self._checks.abandon, self._withdraw):
            self._try(duty)
        self._leave(EXIT_STATUS)


class HealthServer:
    """HTTP server for orchestrators and Prometheus: ``/livez``, ``/readyz``, ``/metrics``.

    Args:
        port: TCP port on all addresses (a container's probes come from outside).
        is_alive: Whether the process works at all.
        is_ready: Whether it takes jobs.
        registry: Prometheus's metrics.
        errors: Where unexpected errors are recorded.
    """

    def __init__(
        self,
        port: int,
        is_alive: Callable[[], bool],
        is_ready: Callable[[], bool],
        registry: CollectorRegistry,
        errors: UnexpectedErrors | None = None,
    ) -> None:
        self._probes = {"/livez": is_alive, "/readyz": is_ready}
        self._metrics: Callable[..., Iterable[bytes]] = make_wsgi_app(registry)
        self._errors = errors or UnexpectedErrors()
        self._server = make_server("", port, self._answer, ThreadingWSGIServer, _QuietHandler)
        self._thread = GuardedThread(SERVER, self._server.serve_forever, self._errors)

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._server.server_port

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        body = self._get(environ | {"REQUEST_METHOD": "GET"}, start_response)
        return () if environ["REQUEST_METHOD"] == "HEAD" else body

    def _get(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer a path; an unexpected exception becomes a 500 and costs no other path."""
        try:
            if environ["PATH_INFO"] == "/metrics":
                return self._metrics(environ, start_response)
            status, text = self._probe(environ["PATH_INFO"])
        except Exception as error:  # noqa: BLE001 - recorded whole; the other paths are there all the same.
            self._errors.record(SERVER, error)
            status, text = "500 Internal Server Error", "an unexpected fault, see the log\n"
        start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [text.encode()]

    def _probe(self, path: str) -> tuple[str, str]:
        if path not in self._probes:
            return "404 Not Found", "/livez /readyz /metrics\n"
        return ("200 OK", "ok\n") if self._probes[path]() else ("503 Service Unavailable", "not now\n")


class _QuietHandler(WSGIRequestHandler):
    @override
    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: probes come every few seconds."""
