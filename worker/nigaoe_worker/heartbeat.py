"""The worker's pulse: tells the board how it is, and ends a process that is of no use any more.

One thread, one beat every two seconds, or at once when the worker begins to drain. It waits for nothing that may take
long: neither for the device (`DeviceWatchdog` only looks at it) nor for weights (`nigaoe_worker.weights_watcher` loads
them).
"""

import os
import queue
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from nigaoe_core.errors import NigaoeError
from nigaoe_core.guarded_loop import GIVE_UP_AFTER, GuardedThread, UnexpectedErrors
from nigaoe_core.jobs import Seconds
from nigaoe_core.store.contract import WorkerBoard
from nigaoe_core.worker_report import WorkerReport
from nigaoe_worker.self_check import DeviceWatchdog, SelfCheck

BEAT: Final[Seconds] = 2.0
REPORT_SECONDS: Final[Seconds] = 10.0
"""A vanished worker is off the board after this."""
LONGEST_BEAT: Final[Seconds] = 120.0
"""Far above what a beat takes while Redis is away and jobs are given back."""
EXIT_STATUS: Final = os.EX_TEMPFAIL
"""A supervisor should start a fresh process."""

WHERE: Final = "heartbeat"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Organs:
    """What the pulse looks at and may touch; each is called in its thread.

    Attributes:
        report: How the worker is.
        messages: Messages waiting in the queue; None: the queue does not answer.
        fetched: Messages fetched since the start.
        is_busy: Whether there is anything to do.
        activity: What the device is at, see `Engine.activity`.
        failure: Why the worker is of no use any more (the device is gone, a thread gave up); None: it is.
        give_up_device: Tells all who wait for the device that it hangs.
        abandon: Takes nothing more and gives all jobs back, because the process is about to end.
    """

    report: Callable[[], WorkerReport]
    messages: Callable[[], int | None]
    fetched: Callable[[], int]
    is_busy: Callable[[], bool]
    activity: Callable[[], int | None]
    failure: Callable[[], BaseException | None]
    give_up_device: Callable[[BaseException], None]
    abandon: Callable[[], None]


class Pulse:
    """Beats.

    Args:
        board: Where workers say how they are.
        organs: What to look at.
        check: Notices a worker that fetches nothing.
        watchdog: Notices a device that hangs.
        leave: Ends the process with a status.
        errors: Where unexpected errors are recorded; None: nobody asks for them.
    """

    def __init__(
        self,
        board: WorkerBoard,
        organs: Organs,
        check: SelfCheck,
        watchdog: DeviceWatchdog,
        leave: Callable[[int], object] = os._exit,
        *,
        errors: UnexpectedErrors | None = None,
    ) -> None:
        self._board = board
        self._organs = organs
        self._check = check
        self._watchdog = watchdog
        self._leave = leave
        # Its `put` may interrupt itself, so a signal handler may call it; a condition's lock may not.
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._errors = errors or UnexpectedErrors()
        self._bad_beats = 0
        self._beaten_at = time.monotonic()
        # Without it nobody sees how this worker is, nor ends it: a process whose pulse fails for good ends at once.
        self._thread = GuardedThread(
            WHERE, self._run, self._errors, give_up_after=GIVE_UP_AFTER, on_given_up=lambda _error: self._end()
        )

    def start(self) -> None:
        """Begin with a first beat."""
        self._thread.start()

    @property
    def is_beating(self) -> bool:
        """Whether the thread is neither dead nor stuck."""
        return self._thread.failure is None and time.monotonic() - self._beaten_at < LONGEST_BEAT

    def soon(self, call: Callable[[], None]) -> None:
        """Let the thread do something and beat at once; safe in a signal handler."""
        self._calls.put(call)

    def close(self) -> None:
        """End, and take the report off the board."""
        self._calls.put(None)
        self._thread.join()
        self._try(self._withdraw)

    def _run(self) -> None:
        while True:
            self.beat()
            try:
                call = self._calls.get(timeout=BEAT)
            except queue.Empty:
                continue
            if call is None:
                return
            self._try(call)

    def beat(self) -> None:
        """Do everything once; what fails is logged and done again at the next beat."""
        self._beaten_at = time.monotonic()
        results = [self._try(duty) for duty in (self._report, self._examine)]
        self._bad_beats = 0 if all(results) else self._bad_beats + 1
        if self._bad_beats == GIVE_UP_AFTER:
            _log.critical("worker.unwell", reason="The pulse fails again and again.")
            self._end()

    def _try(self, duty: Callable[[], None]) -> bool:
        """Do one thing; False: it raised what nobody expected, which must not silence the other things."""
        try:
            duty()
        except NigaoeError as error:
            _log.warning("pulse.postponed", duty=getattr(duty, "__name__", ""), code=error.code)
        except Exception as error:  # noqa: BLE001 - recorded whole.
            self._errors.record(WHERE, error)
            return False
        return True

    def _report(self) -> None:
        self._board.report_worker(self._organs.report(), seconds=REPORT_SECONDS)

    def _withdraw(self) -> None:
        self._board.withdraw_worker(self._organs.report().worker)

    def _examine(self) -> None:
        if self._watchdog.is_hung(self._organs.activity()):
            self._organs.give_up_device(DeviceHangs("The device does not answer any more."))
        failure = self._organs.failure()
        if failure is not None:
            _log.critical("worker.unwell", reason=repr(failure))
            self._end()
            return
        is_busy = self._organs.is_busy()
        messages = None if is_busy else self._organs.messages()
        if self._check.is_deaf(messages=messages, fetched=self._organs.fetched(), is_busy=is_busy):
            _log.critical("worker.deaf", messages=messages)
            self._end()

    def _end(self) -> None:
        """Give everything back that can be given back, and leave, whatever fails on the way."""
        for duty in (self._organs.abandon, self._withdraw):
            self._try(duty)
        self._leave(EXIT_STATUS)


class DeviceHangs(Exception):
    """One step, admission or errand takes so long that it will not end."""
