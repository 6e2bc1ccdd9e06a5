"""The worker's pulse: tells the board how it is, sees new weights, and ends a process that is of no use any more.

One thread, one beat every two seconds, or at once when the worker begins to drain.
"""

import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from core.errors import NigaoeError, StorageError
from core.job_store import WorkerBoard
from core.jobs import Seconds
from core.worker_report import WorkerReport
from worker.self_check import SelfCheck

BEAT: Final[Seconds] = 2.0
REPORT_SECONDS: Final[Seconds] = 10.0
"""A vanished worker is off the board after this."""
EXIT_STATUS: Final = os.EX_TEMPFAIL
"""A supervisor should start a fresh process."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Organs:
    """What the pulse looks at and may touch; each is called in its thread.

    Attributes:
        report: How the worker is.
        refresh: Sees whether weights changed, and loads them.
        messages: Messages waiting in the queue; None: the queue does not answer.
        fetched: Messages fetched since the start.
        is_busy: Whether there is anything to do.
        failure: Why the device stopped working; None: it works.
        abandon: Gives all jobs back, because the process is about to end.
    """

    report: Callable[[], WorkerReport]
    refresh: Callable[[], None]
    messages: Callable[[], int | None]
    fetched: Callable[[], int]
    is_busy: Callable[[], bool]
    failure: Callable[[], BaseException | None]
    abandon: Callable[[], None]


class Pulse:
    """Beats.

    Args:
        board: Where workers say how they are.
        organs: What to look at.
        check: Notices a worker that fetches nothing.
        leave: Ends the process with a status.
    """

    def __init__(
        self, board: WorkerBoard, organs: Organs, check: SelfCheck, leave: Callable[[int], object] = os._exit
    ) -> None:
        self._board = board
        self._organs = organs
        self._check = check
        self._leave = leave
        # Its `put` may interrupt itself, so a signal handler may call it; a condition's lock may not.
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def start(self) -> None:
        """Begin with a first beat."""
        self._thread.start()

    def soon(self, call: Callable[[], None]) -> None:
        """Let the thread do something and beat at once; safe in a signal handler."""
        self._calls.put(call)

    def close(self) -> None:
        """End, and take the report off the board."""
        self._calls.put(None)
        self._thread.join()
        try:
            self._board.withdraw_worker(self._organs.report().worker)
        except StorageError as error:
            _log.warning("pulse.not_withdrawn", code=error.code)

    def _run(self) -> None:
        while True:
            self.beat()
            try:
                call = self._calls.get(timeout=BEAT)
            except queue.Empty:
                continue
            if call is None:
                return
            call()

    def beat(self) -> None:
        """Do everything once; what fails is logged and done again at the next beat."""
        for duty in (self._report, self._organs.refresh, self._examine):
            try:
                duty()
            except NigaoeError as error:
                _log.warning("pulse.postponed", duty=getattr(duty, "__name__", ""), code=error.code)
            except Exception:  # noqa: BLE001 - one faulty duty must not silence the others; it is logged whole.
                _log.exception("pulse.fault")

    def _report(self) -> None:
        self._board.report_worker(self._organs.report(), seconds=REPORT_SECONDS)

    def _examine(self) -> None:
        failure = self._organs.failure()
        if failure is not None:
            _log.critical("worker.device_lost", reason=repr(failure))
            self._end()
        is_busy = self._organs.is_busy()
        messages = None if is_busy else self._organs.messages()
        if self._check.is_deaf(messages=messages, fetched=self._organs.fetched(), is_busy=is_busy):
            _log.critical("worker.deaf", messages=messages)
            self._end()

    def _end(self) -> None:
        self._organs.abandon()
        try:
            self._board.withdraw_worker(self._organs.report().worker)
        except StorageError as error:
            _log.warning("pulse.not_withdrawn", code=error.code)
        self._leave(EXIT_STATUS)
