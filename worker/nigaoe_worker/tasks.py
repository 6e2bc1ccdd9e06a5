"""From a wake-up message to a job's end: read, wait for admission, claim, run, end. One Celery thread a job.

The end is written under the claim's fencing token, after the blobs: object first, then state. A worker that lost the
lease meanwhile writes nothing and clears what it stored. An unexpected exception ends its job only: it is recorded, and
the thread takes the next message.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog

from nigaoe_core.errors import LeaseLost, NigaoeError, StorageError, UnknownJob, UnreadableJob
from nigaoe_core.jobs import Failure, Job, JobState, Outcome, Seconds
from nigaoe_core.queue import Dispatcher
from nigaoe_core.services import Services
from nigaoe_core.store.job_records import Claim
from nigaoe_core.store.job_store import JobStore
from nigaoe_core.store.retention import Retention
from nigaoe_core.telemetry import job_context, span
from nigaoe_worker.admission import Admission, Decision
from nigaoe_worker.job_blobs import JobBlobs
from nigaoe_worker.leases import ClaimedJob, JobStopped, LeaseKeeper, StopCause
from nigaoe_worker.metrics import Metrics
from nigaoe_worker.slot_batch import DeviceLost

RETRY_SECONDS: Final[Seconds] = 0.5
WHERE: Final = "job"
"""Where unexpected errors of one job are counted."""

Ending = Callable[[Claim], Job]

_log = structlog.get_logger(__name__)


class JobTasks:
    """Handles wake-up messages.

    Args:
        services: Stores, dispatcher, retention.
        keeper: Renews leases.
        admission: Admits jobs.
        run: Does all that a claimed job asks for, and stores its blobs.
        metrics: Counts ends.
        worker: This worker's name.
    """

    def __init__(
        self,
        services: Services,
        keeper: LeaseKeeper,
        admission: Admission,
        run: Callable[[ClaimedJob, JobBlobs], Outcome],
        metrics: Metrics,
        worker: str,
    ) -> None:
        self._store: JobStore = services.store
        self._services = services
        self._errors = services.errors
        self._dispatcher: Dispatcher = services.dispatcher
        self._retention: Retention = services.retention
        self._keeper = keeper
        self._admission = admission
        self._run_job = run
        self._metrics = metrics
        self._worker = worker
        self._handled = 0
        self._in_flight = 0
        self._given_up = threading.Event()
        self._moved = threading.Condition()

    @property
    def handled(self) -> int:
        """How many messages came so far."""
        return self._handled

    @property
    def in_flight(self) -> int:
        """How many are being handled now."""
        return self._in_flight

    def wait_until_idle(self, seconds: Seconds) -> bool:
        """Wait until no message is being handled; False: the time was too short."""
        with self._moved:
            return self._moved.wait_for(lambda: self._in_flight == 0, seconds)

    def give_up(self) -> None:
        """Stop waiting for a store that does not answer: this process ends."""
        self._given_up.set()

    def handle(self, job_id: str, attempt: int) -> None:
        """Run a job to its end, if it can still be claimed. Never raises."""
        with self._counted(), job_context(job_id, attempt=attempt), self._errors.contained(WHERE):
            try:
                job = self._store.get(job_id)
                if job.state is JobState.QUEUED and job.attempt == attempt:
                    self._admit(job)
            except UnknownJob:
                _log.debug("wake_up.unknown_job")
            except (StorageError, UnreadableJob) as error:
                # The job is in the store as it was; the reaper sends the message again.
                _log.warning("wake_up.failed", code=error.code)

    def _admit(self, job: Job) -> None:
        with self._admission.admit(job) as decision:
            if decision is Decision.ADMITTED:
                self._claim(job)
            elif decision is Decision.CLOSED:
                self._wake(job)

    def _claim(self, job: Job) -> None:
        claim = self._store.claim(job.id, job.attempt, self._worker)
        if claim is None:
            return
        start = time.monotonic()
        _log.info("job.claimed", kind=job.kind.value, token=claim.token)
        with self._keeper.keep(claim) as claimed, span("job", job_id=job.id):
            blobs = JobBlobs(self._services.blobs, claimed, self._services.settings.blob_patience_seconds)
            blobs.clear_predecessors()
            ended = self._write_end(claimed, self._run(claimed, blobs))
            if ended is None or ended.state is not JobState.SUCCEEDED:
                blobs.clear()
        if ended is not None:
            self._follow_up(ended, time.monotonic() - start)

    def _run(self, claimed: ClaimedJob, blobs: JobBlobs) -> Ending | None:
        """Run the job; return how it is to be ended, None: not by us."""
        try:
            outcome = self._run_job(claimed, blobs)
            claimed.check()
        except JobStopped as stopped:
            return self._stopped(stopped.cause)
        except DeviceLost as lost:
            return self._device_lost(claimed, lost)
        except NigaoeError as error:
            _log.warning("job.fault", code=error.code, reason=error.message)
            return self._failed(claimed, error)
        except Exception as error:  # noqa: BLE001 - a fault of ours ends this job with a code; it is recorded whole.
            self._errors.record(WHERE, error)
            return self._failed(
                claimed, NigaoeError("Something went wrong inside Nigaoe; the operator's log says more.")
            )
        return lambda claim: self._store.succeed(claim, outcome)

    def _device_lost(self, claimed: ClaimedJob, lost: DeviceLost) -> Ending | None:
        cause = claimed.stop_cause or StopCause.DRAINED
        if cause is StopCause.DRAINED and lost.was_computing:
            # It may be this job's doing: that counts, and the next worker runs it alone.
            return lambda claim: self._store.hand_back(claim, device_lost=True)
        return self._stopped(cause)

    def _failed(self, claimed: ClaimedJob, error: NigaoeError) -> Ending | None:
        cause = claimed.stop_cause
        if cause is not None:
            return self._stopped(cause)
        failure = Failure(code=error.code, message=error.message)
        return lambda claim: self._store.fail(claim, failure)

    def _stopped(self, cause: StopCause) -> Ending | None:
        endings: dict[StopCause, Ending | None] = {
            StopCause.CANCELLED: self._store.finish_cancelled,
            StopCause.EXPIRED: self._store.finish_expired,
            StopCause.DRAINED: self._store.hand_back,
            StopCause.LEASE_LOST: None,
        }
        return endings[cause]

    def _write_end(self, claimed: ClaimedJob, ending: Ending | None) -> Job | None:
        """Write the end, however long the store is away; None: the job is not ours any more."""
        while ending is not None:
            try:
                return ending(claimed.claim)
            except LeaseLost:
                break
            except StorageError as error:
                _log.warning("job.end_postponed", code=error.code)
                if self._given_up.wait(RETRY_SECONDS):
                    return None  # The lease runs out, and the reaper of another worker takes over.
        _log.warning("job.lease_lost")
        return None

    def _follow_up(self, job: Job, seconds: Seconds) -> None:
        _log.info("job.ended", state=job.state.value, seconds=round(seconds, 3), timings=job.timings)
        if job.state is JobState.QUEUED:
            self._wake(job)
            return
        with self._errors.contained("metrics"):
            self._metrics.observe_end(job, seconds)
        try:
            self._retention.erase_due()  # The photo goes now, not at the next sweep.
        except StorageError as error:
            _log.warning("job.erasure_postponed", code=error.code)

    def _wake(self, job: Job) -> None:
        try:
            self._dispatcher.wake(job)
        except StorageError as error:
            _log.warning("wake_up.postponed", code=error.code)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._moved:
            self._handled += 1
            self._in_flight += 1
        try:
            yield
        finally:
            with self._moved:
                self._in_flight -= 1
                self._moved.notify_all()
