"""One thread that keeps the leases of all held jobs alive, whatever the device is doing, and carries their news.

Neither a slow optimisation step nor a slow store may cost a lease, so the device's thread never talks to Redis and
this one never computes. A job whose lease is gone (this process was suspended, or cut off from Redis for long) is
told so at the first answer. What nobody expected of one job is recorded and costs the other jobs nothing.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from nigaoe_core.errors import LeaseLost, StorageError, UsageError
from nigaoe_core.guarded_loop import GIVE_UP_AFTER, GuardedThread, UnexpectedErrors, pause_after
from nigaoe_core.jobs import Seconds
from nigaoe_core.settings import Settings
from nigaoe_core.store.contract import Claim, JobLeases
from nigaoe_core.store.events import EventLog
from nigaoe_worker.claimed_job import Hold, StopCause

RETRY_SECONDS: Seconds = 0.5
"""Pause after an unreachable store, for all jobs together."""
QUIET_SECONDS: Seconds = 2.0
"""Rhythm of progress while nobody follows a job's events; who only looks at it now and then sees it that old."""

WHERE = "lease_keeper"

_log = structlog.get_logger(__name__)


@dataclass
class _Watch:
    hold: Hold
    renewed_at: Seconds
    is_followed: bool = True
    previewed_at: Seconds = float("-inf")
    failures: int = 0
    rests_until: Seconds = float("-inf")


class LeaseKeeper:
    """Holds claims and renews them.

    Args:
        leases: Where claims are renewed.
        events: Where previews go.
        settings: Rhythm of heartbeats, progress and previews.
        clock: Seconds that only grow.
        errors: Where unexpected errors are recorded; None: nobody asks for them.
        on_end: Called when the thread gives up: no lease is renewed any more.
    """

    def __init__(
        self,
        leases: JobLeases,
        events: EventLog,
        settings: Settings,
        clock: Callable[[], Seconds] = time.monotonic,
        *,
        errors: UnexpectedErrors | None = None,
        on_end: Callable[[BaseException], object] = lambda _error: None,
    ) -> None:
        self._leases = leases
        self._events = events
        self._settings = settings
        self._clock = clock
        self._watches: dict[int, _Watch] = {}
        self._pause_until = float("-inf")
        self._is_closing = False
        self._woken = threading.Condition()
        self._errors = errors or UnexpectedErrors()
        self._thread = GuardedThread(WHERE, self._run, self._errors, give_up_after=GIVE_UP_AFTER, on_given_up=on_end)

    def start(self) -> None:
        """Begin to renew."""
        self._thread.start()

    def close(self) -> None:
        """End the thread; what is still held is renewed no more."""
        with self._woken:
            self._is_closing = True
            self._woken.notify_all()
        self._thread.join()

    @property
    def failure(self) -> BaseException | None:
        """Why no lease is renewed any more; None: they are."""
        return self._thread.failure

    @property
    def held(self) -> int:
        """How many jobs are held."""
        with self._woken:
            return len(self._watches)

    @contextmanager
    def holding(self, claim: Claim) -> Iterator[Hold]:
        """Keep a claim's lease alive for the block."""
        now = self._clock()
        # The store stamped both times at the claim, so their difference needs no clock of ours.
        left = claim.job.deadline_at - (claim.job.started_at or claim.job.queued_at)
        hold = Hold(claim, now + left, on_news=self._wake, clock=self._clock)
        with self._woken:
            self._watches[id(hold)] = _Watch(hold, now)
            self._woken.notify_all()
        try:
            yield hold
        finally:
            with self._woken:
                del self._watches[id(hold)]

    def stop_all(self, cause: StopCause) -> None:
        """Stop every held job."""
        with self._woken:
            holds = [watch.hold for watch in self._watches.values()]
        for hold in holds:
            hold.stop(cause)

    def _wake(self) -> None:
        with self._woken:
            self._woken.notify_all()

    def _run(self) -> None:
        while True:
            with self._woken:
                due = self._due()
                while not due and not self._is_closing:
                    self._woken.wait(self._rest())
                    due = self._due()
                if self._is_closing:
                    return
            for watch in due:
                if not self._serve(watch):
                    break

    def _due(self) -> list[_Watch]:
        now = self._clock()
        if now < self._pause_until:
            return []
        return sorted(
            (watch for watch in self._watches.values() if self._due_at(watch) <= now), key=lambda w: w.renewed_at
        )

    def _rest(self) -> Seconds | None:
        if not self._watches:
            return None  # Idle costs nothing.
        soonest = min(self._due_at(watch) for watch in self._watches.values())
        return max(0.001, max(soonest, self._pause_until) - self._clock())

    def _due_at(self, watch: _Watch) -> Seconds:
        return max(watch.rests_until, min(self._renewal_at(watch), self._preview_at(watch)))

    def _renewal_at(self, watch: _Watch) -> Seconds:
        settings = self._settings
        if not watch.hold.has_progress:
            return watch.renewed_at + settings.heartbeat_seconds
        if watch.is_followed:
            return watch.renewed_at + settings.progress_seconds
        return watch.renewed_at + max(settings.progress_seconds, min(settings.heartbeat_seconds, QUIET_SECONDS))

    def _preview_at(self, watch: _Watch) -> Seconds:
        if not watch.hold.has_preview or not watch.is_followed:
            return float("inf")  # While nobody follows, the newest one waits for the next renewal, which asks again.
        return watch.previewed_at + self._settings.preview_seconds

    def _serve(self, watch: _Watch) -> bool:
        """Send what is due for one job; False: the store does not answer, try all again later."""
        try:
            if self._clock() >= self._renewal_at(watch):
                self._renew(watch)
            if self._clock() >= self._preview_at(watch):
                self._show(watch)
        except LeaseLost:
            # Asked for again at every heartbeat until the job's thread lets go: cheap, and it cannot be missed.
            watch.renewed_at = self._clock()
            watch.hold.stop(StopCause.LEASE_LOST)
        except StorageError as error:
            _log.warning("lease.store_trouble", job_id=watch.hold.job_id, reason=error.message)
            self._pause_until = self._clock() + RETRY_SECONDS
            return False
        except Exception as error:  # noqa: BLE001 - recorded whole; one job's trouble must not cost the others their leases.
            self._errors.record(WHERE, error)
            watch.failures += 1
            watch.rests_until = self._clock() + min(pause_after(watch.failures), self._settings.heartbeat_seconds)
        else:
            watch.failures = 0
        return True

    def _renew(self, watch: _Watch) -> None:
        progress = watch.hold.take_progress()
        try:
            job = self._leases.heartbeat(watch.hold.claim, progress=progress)
        except StorageError:
            if progress is not None and not watch.hold.has_progress:
                watch.hold.tell(progress=progress)
            raise
        watch.renewed_at = self._clock()
        if job.cancel_requested:
            watch.hold.stop(StopCause.CANCELLED)
        self._ask_for_followers(watch)

    def _ask_for_followers(self, watch: _Watch) -> None:
        watch.is_followed = watch.hold.is_followed = self._events.is_watched(watch.hold.job_id)

    def _show(self, watch: _Watch) -> None:
        self._ask_for_followers(watch)
        if not watch.is_followed:
            return
        preview = watch.hold.take_preview()
        if preview is None or watch.hold.is_stopped:
            return
        watch.previewed_at = self._clock()
        try:
            drawing = preview.encode_drawing() if preview.encode_drawing is not None else None
            self._events.preview(watch.hold.claim, preview.encode(), step=preview.step, drawing=drawing)
        except UsageError as error:
            _log.warning("preview.refused", job_id=watch.hold.job_id, reason=error.message)
