"""A claimed job while this worker runs it, and the thread that renews the leases of all of them.

`ClaimedJob` is shared by the task's thread, the device's and the lease keeper's. Neither a slow optimisation step nor
a slow store may cost a lease, so the device's thread never talks to Redis and the lease keeper never computes. A job
whose lease is gone (this process was suspended, or cut off from Redis for long) is stopped at the first answer. An
unexpected exception in one job's renewal is recorded and costs the other jobs nothing.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

import structlog

from nigaoe_core.errors import LeaseLost, StorageError, UsageError
from nigaoe_core.guarded_loop import GIVE_UP_AFTER, GuardedThread, UnexpectedErrors, pause_after
from nigaoe_core.jobs import Job, Progress, Seconds
from nigaoe_core.settings import Settings
from nigaoe_core.store.events import EventLog
from nigaoe_core.store.job_records import Claim
from nigaoe_core.store.job_store import JobStore

RETRY_SECONDS: Seconds = 0.5
"""Pause after an unreachable store, for all jobs together."""
QUIET_SECONDS: Seconds = 2.0
"""Interval of progress while nobody follows a job's events; a client that polls the job sees it that old."""

WHERE = "lease_keeper"

_log = structlog.get_logger(__name__)


class StopCause(StrEnum):
    """Why a claimed job must stop before it is done."""

    CANCELLED = "cancelled"
    EXPIRED = "expired"
    LEASE_LOST = "lease_lost"
    DRAINED = "drained"


class JobStopped(Exception):
    """Leaves a job's work from inside; caught where the job ends, never shown to anyone."""

    def __init__(self, cause: StopCause) -> None:
        """Remember the cause."""
        super().__init__(cause.value)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Preview:
    """A picture on its way to the job's followers.

    Attributes:
        step: The step that drew it.
        encode: Makes the JPEG; called in the lease keeper's thread, and only if somebody follows the job.
        encode_drawing: Makes the JPEG of what the style makes of it; None: it was not drawn.
    """

    step: int
    encode: Callable[[], bytes]
    encode_drawing: Callable[[], bytes] | None = None


class ClaimedJob:
    """A claim with its deadline, its unsent progress and preview, and the cause to stop, should there be one.

    Args:
        claim: What the job store gave.
        deadline: When the job expires, in the clock's time.
        on_update: Called after the first update since the last was taken, and after a stop.
        clock: Seconds that only grow.

    Attributes:
        is_followed: Whether somebody follows the job's events, as far as the lease keeper knows.
    """

    def __init__(
        self,
        claim: Claim,
        deadline: Seconds,
        on_update: Callable[[], None] = lambda: None,
        clock: Callable[[], Seconds] = time.monotonic,
    ) -> None:
        self.claim = claim
        self.deadline = deadline
        self.is_followed = False
        self._on_update = on_update
        self._clock = clock
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._cause: StopCause | None = None
        self._progress: Progress | None = None
        self._preview: Preview | None = None

    @property
    def job(self) -> Job:
        """The job, as it was claimed."""
        return self.claim.job

    @property
    def stop_cause(self) -> StopCause | None:
        """Why the job must stop; None: go on."""
        with self._lock:
            if self._cause is None and self._clock() >= self.deadline:
                self._cause = StopCause.EXPIRED
            return self._cause

    @property
    def is_stopped(self) -> bool:
        """Whether the job must stop."""
        return self.stop_cause is not None

    def stop(self, cause: StopCause) -> None:
        """Ask for a stop. The first cause counts, except that a lost lease overrules: then nothing may be written."""
        with self._lock:
            if self._cause is None or cause is StopCause.LEASE_LOST:
                self._cause = cause
        self._stopped.set()
        self._on_update()

    def check(self) -> None:
        """Leave if the job must stop; call it between two pieces of work.

        Raises:
            JobStopped: It must.
        """
        cause = self.stop_cause
        if cause is not None:
            raise JobStopped(cause)

    def wait(self, seconds: Seconds) -> None:
        """Sleep, or until a stop is asked for."""
        self._stopped.wait(seconds)

    def update(self, *, progress: Progress | None = None, preview: Preview | None = None) -> None:
        """Leave progress or a preview to be sent soon; newer ones replace those not sent yet. Never blocks."""
        with self._lock:
            is_first = (progress is not None and self._progress is None) or (
                preview is not None and self._preview is None
            )
            self._progress = progress or self._progress
            self._preview = preview or self._preview
        if is_first:
            self._on_update()

    @property
    def has_progress(self) -> bool:
        """Whether progress waits to be sent."""
        return self._progress is not None

    @property
    def has_preview(self) -> bool:
        """Whether a preview waits to be sent."""
        return self._preview is not None

    def take_progress(self) -> Progress | None:
        """Take the progress that was left."""
        with self._lock:
            progress, self._progress = self._progress, None
            return progress

    def take_preview(self) -> Preview | None:
        """Take the preview that was left."""
        with self._lock:
            preview, self._preview = self._preview, None
            return preview


@dataclass
class _Lease:
    claimed: ClaimedJob
    renewed_at: Seconds
    is_followed: bool = True
    previewed_at: Seconds = float("-inf")
    failures: int = 0
    paused_until: Seconds = float("-inf")


class LeaseKeeper:
    """Renews the leases of all claimed jobs and sends their progress and previews.

    Args:
        store: Where leases are renewed.
        events: Where previews go.
        settings: Intervals of heartbeats, progress and previews.
        clock: Seconds that only grow.
        errors: Where unexpected errors are recorded.
        on_end: Called when the thread gives up: no lease is renewed any more.
    """

    def __init__(
        self,
        store: JobStore,
        events: EventLog,
        settings: Settings,
        clock: Callable[[], Seconds] = time.monotonic,
        *,
        errors: UnexpectedErrors | None = None,
        on_end: Callable[[BaseException], object] = lambda _error: None,
    ) -> None:
        self._store = store
        self._events = events
        self._settings = settings
        self._clock = clock
        self._leases: dict[int, _Lease] = {}
        self._pause_until = float("-inf")
        self._is_closing = False
        self._woken = threading.Condition()
        self._errors = errors or UnexpectedErrors()
        self._thread = GuardedThread(WHERE, self._run, self._errors, give_up_after=GIVE_UP_AFTER, on_given_up=on_end)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread; leases still kept are renewed no more."""
        with self._woken:
            self._is_closing = True
            self._woken.notify_all()
        self._thread.join()

    @property
    def failure(self) -> BaseException | None:
        """Why no lease is renewed any more; None: they are."""
        return self._thread.failure

    @property
    def kept(self) -> int:
        """Number of leases that are kept."""
        with self._woken:
            return len(self._leases)

    @contextmanager
    def keep(self, claim: Claim) -> Iterator[ClaimedJob]:
        """Keep a claim's lease for the block."""
        now = self._clock()
        # The store stamped both times at the claim, so their difference needs no clock of ours.
        left = claim.job.deadline_at - (claim.job.started_at or claim.job.queued_at)
        claimed = ClaimedJob(claim, now + left, on_update=self._wake, clock=self._clock)
        with self._woken:
            self._leases[id(claimed)] = _Lease(claimed, now)
            self._woken.notify_all()
        try:
            yield claimed
        finally:
            with self._woken:
                del self._leases[id(claimed)]

    def stop_all(self, cause: StopCause) -> None:
        """Stop every claimed job."""
        with self._woken:
            jobs = [lease.claimed for lease in self._leases.values()]
        for claimed in jobs:
            claimed.stop(cause)

    def _wake(self) -> None:
        with self._woken:
            self._woken.notify_all()

    def _run(self) -> None:
        while True:
            with self._woken:
                due = self._due()
                while not due and not self._is_closing:
                    self._woken.wait(self._timeout())
                    due = self._due()
                if self._is_closing:
                    return
            for lease in due:
                if not self._send_due(lease):
                    break

    def _due(self) -> list[_Lease]:
        now = self._clock()
        if now < self._pause_until:
            return []
        return sorted(
            (lease for lease in self._leases.values() if self._due_at(lease) <= now), key=lambda each: each.renewed_at
        )

    def _timeout(self) -> Seconds | None:
        if not self._leases:
            return None  # Idle costs nothing.
        soonest = min(self._due_at(lease) for lease in self._leases.values())
        return max(0.001, max(soonest, self._pause_until) - self._clock())

    def _due_at(self, lease: _Lease) -> Seconds:
        return max(lease.paused_until, min(self._renewal_at(lease), self._preview_at(lease)))

    def _renewal_at(self, lease: _Lease) -> Seconds:
        settings = self._settings
        if not lease.claimed.has_progress:
            return lease.renewed_at + settings.heartbeat_seconds
        if lease.is_followed:
            return lease.renewed_at + settings.progress_seconds
        return lease.renewed_at + max(settings.progress_seconds, min(settings.heartbeat_seconds, QUIET_SECONDS))

    def _preview_at(self, lease: _Lease) -> Seconds:
        if not lease.claimed.has_preview or not lease.is_followed:
            return float("inf")  # While nobody follows, the newest one waits for the next renewal, which asks again.
        return lease.previewed_at + self._settings.preview_seconds

    def _send_due(self, lease: _Lease) -> bool:
        """Send what is due for one job; False: the store does not answer, try all again later."""
        try:
            if self._clock() >= self._renewal_at(lease):
                self._renew(lease)
            if self._clock() >= self._preview_at(lease):
                self._send_preview(lease)
        except LeaseLost:
            # Asked for again at every heartbeat until the job's thread ends it: cheap, and it cannot be missed.
            lease.renewed_at = self._clock()
            lease.claimed.stop(StopCause.LEASE_LOST)
        except StorageError as error:
            _log.warning("lease.store_trouble", job_id=lease.claimed.job.id, reason=error.message)
            self._pause_until = self._clock() + RETRY_SECONDS
            return False
        except Exception as error:  # noqa: BLE001 - recorded whole; one job's trouble must not cost the others their leases.
            self._errors.record(WHERE, error)
            lease.failures += 1
            lease.paused_until = self._clock() + min(pause_after(lease.failures), self._settings.heartbeat_seconds)
        else:
            lease.failures = 0
        return True

    def _renew(self, lease: _Lease) -> None:
        progress = lease.claimed.take_progress()
        try:
            job = self._store.heartbeat(lease.claimed.claim, progress=progress)
        except StorageError:
            if progress is not None and not lease.claimed.has_progress:
                lease.claimed.update(progress=progress)
            raise
        lease.renewed_at = self._clock()
        if job.cancel_requested:
            lease.claimed.stop(StopCause.CANCELLED)
        self._check_followers(lease)

    def _check_followers(self, lease: _Lease) -> None:
        lease.is_followed = lease.claimed.is_followed = self._events.is_watched(lease.claimed.job.id)

    def _send_preview(self, lease: _Lease) -> None:
        self._check_followers(lease)
        if not lease.is_followed:
            return
        preview = lease.claimed.take_preview()
        if preview is None or lease.claimed.is_stopped:
            return
        lease.previewed_at = self._clock()
        try:
            drawing = preview.encode_drawing() if preview.encode_drawing is not None else None
            self._events.preview(lease.claimed.claim, preview.encode(), step=preview.step, drawing=drawing)
        except UsageError as error:
            _log.warning("preview.refused", job_id=lease.claimed.job.id, reason=error.message)
