"""Repairs what vanished processes left behind: lost workers, lost messages, what is due to be erased.

It runs in a thread of every worker; the job store hands every entry to one of them, so more workers only mean that
repairs go on when one of them is gone.
"""

import threading
import time
from collections.abc import Callable, Iterable

import structlog

from nigaoe_core.errors import StorageError
from nigaoe_core.guarded_loop import GuardedThread
from nigaoe_core.jobs import Job, Seconds
from nigaoe_core.services import Services

LONGEST_ORPHAN_PAUSE: Seconds = 3600.0
"""Looking for orphans lists the whole blob store."""

WHERE = "reaper"

_log = structlog.get_logger(__name__)


class Reaper:
    """One round every ``sweep_seconds``.

    Args:
        services: The stores to repair, and the queue for wake-up messages.
    """

    def __init__(self, services: Services) -> None:
        self._store = services.store
        self._retention = services.retention
        self._dispatcher = services.dispatcher
        self._errors = services.errors
        self._pause = services.settings.sweep_seconds
        self._orphan_pause = min(LONGEST_ORPHAN_PAUSE, services.settings.orphan_hours * 3600 / 2)
        self._orphans_at = time.monotonic() + self._orphan_pause
        self._closing = threading.Event()
        self._thread = GuardedThread(WHERE, self._run, self._errors)

    def start(self) -> None:
        """Begin with a first round."""
        self._thread.start()

    def close(self) -> None:
        """End after the round that runs."""
        self._closing.set()
        self._thread.join()

    def round(self) -> None:
        """Do everything that is due once; what fails is logged and stays due."""
        for duty in (self.repair, self.wake, self.readmit, self._forget, self._forget_orphans):
            self._try(duty)

    def repair(self) -> None:
        """Give jobs of lost workers a new attempt, end those whose time or patience is over."""
        repairs = self._store.requeue_expired()
        for job in repairs.ended:
            _log.warning("job.ended_by_reaper", job_id=job.id, state=job.state.value, losses=job.losses)
        for job in repairs.requeued:
            _log.warning("job.requeued", job_id=job.id, attempt=job.attempt, losses=job.losses)
        self._wake_all(repairs.requeued)

    def wake(self) -> None:
        """Send wake-up messages again for jobs that no worker took for a while."""
        self._wake_all(self._store.due_wake_ups())

    def readmit(self) -> None:
        """Take up jobs whose records another version of Nigaoe could not read."""
        self._store.readmit()

    def _wake_all(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            self._dispatcher.wake(job)

    def _forget(self) -> None:
        sweep = self._retention.sweep()
        if sweep.jobs or sweep.erasures:
            _log.info("retention.swept", jobs=sweep.jobs, erasures=sweep.erasures)

    def _forget_orphans(self) -> None:
        if time.monotonic() < self._orphans_at:
            return
        self._orphans_at = time.monotonic() + self._orphan_pause
        if not self._retention.take_turn(self._orphan_pause):
            return  # Another worker has done it within this time.
        orphans = self._retention.sweep_orphans().orphans
        if orphans:
            _log.info("retention.orphans", folders=orphans)

    def _run(self) -> None:
        while not self._closing.is_set():
            self.round()
            self._closing.wait(self._pause)

    def _try(self, duty: Callable[[], None]) -> None:
        try:
            duty()
        except StorageError as error:
            _log.warning("reaper.postponed", duty=duty.__name__, code=error.code)
        except Exception as error:  # noqa: BLE001 - a fault in one duty must not end the repairs of all jobs; it is recorded.
            self._errors.record(WHERE, error)
