"""The job store: the one place that knows what became of a job.

How it is used: the API submits, reads, cancels and deletes; a worker claims a job, writes with its claim, and ends it;
the reaper (any process, any number of them) repairs what vanished processes left behind. The Celery message only wakes
a worker up: losing it, or getting it ten times, changes nothing.

Rules that it keeps (`tests/core/test_job_store.py`):

- A job ends exactly once; `nigaoe_core.jobs.TRANSITIONS` are the only changes of state.
- Time is the store's own clock, never that of the calling machine.
- A running job is written to only with the claim that holds it. Claims carry a fencing token that grows with every
  claim of the job; anyone else gets `LeaseLost` and must drop the work and its blobs.
- Every operation may be repeated after `StoreUnavailable`, whether or not it had taken effect.
- A record that cannot be read (damaged, or of a newer Nigaoe) hurts no other job. The first call that reads it puts it
  into quarantine: out of the queue and of every index and list, counted in `QueueReport.quarantined`. There it is
  deleted with its blobs after the retention time, may be deleted at any time (deleting never reads a record), and is
  taken up again where it stood by the first process that can read it (`JobStore.readmit`).

All methods block for a network round trip or two and are safe to call from any thread; the API calls them in threads
(``await anyio.to_thread.run_sync``). Waiting for a change is asynchronous and lives in `nigaoe_core.store.changes`.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import structlog

from nigaoe_core.errors import (
    IdempotencyConflict,
    LeaseLost,
    QueueFull,
    QuotaExceeded,
    StorageError,
    StoreUnavailable,
    UnknownJob,
    UnreadableJob,
    UsageError,
)
from nigaoe_core.guarded_loop import UnexpectedErrors
from nigaoe_core.jobs import Failure, FoundFace, Job, JobState, Outcome, Progress, Seconds, UnixTime
from nigaoe_core.store.job_records import (
    AdmissionLimits,
    Claim,
    Due,
    Erased,
    Idempotency,
    JobPage,
    Repairs,
    Submission,
)
from nigaoe_core.store.job_rows import DueIndex, Snapshot, Verdict, write_of
from nigaoe_core.store.job_table import MAX_ROUNDS, JobTable
from nigaoe_core.store.lifecycle import (
    JobPolicy,
    cancel_asked,
    cancelled,
    check_held,
    claimed,
    expired,
    failed,
    handed_back,
    lost,
    renewed,
    repaired,
    submitted,
    succeeded,
)

if TYPE_CHECKING:
    from nigaoe_core.store.redis_link import RedisLink

REPAIR_PAUSE: Final = 2.0
"""Should the reaper die between taking an entry and repairing its job, another takes the entry after this."""

WHERE: Final = "repairs"
"""Where unexpected errors of repairing a job are counted."""

_CURSOR = re.compile(r"\d{20}\.[0-9a-f-]{36}")

_log = structlog.get_logger(__name__)


class JobStore(JobTable):
    """The jobs and the rules of their life, over the table that holds them.

    Args:
        link: The connection.
        policy: The operator's choices.
        errors: Where unexpected errors are recorded; None: nobody asks for them.
    """

    def __init__(self, link: "RedisLink", policy: JobPolicy, errors: UnexpectedErrors | None = None) -> None:
        super().__init__(link, policy)
        self.errors = errors or UnexpectedErrors()

    # For the API.

    def submit(
        self,
        jobs: Sequence[Job],
        *,
        idempotency: Idempotency | None = None,
        limits: AdmissionLimits | None = None,
        deduplication_key: str | None = None,
    ) -> Submission:
        """Store new jobs (from `nigaoe_core.jobs.new_job`, one tenant) as queued: all of them or none.

        ``created_at``, ``queued_at`` and ``deadline_at`` are stamped here. Send a wake-up message for each afterwards;
        should that fail, the reaper sends it later, so an accepted job is never lost.

        An Idempotency-Key lives as long as any of its jobs. Admission limits are checked in the same atomic step.

        A deduplication key names what one job makes, for its tenant. While a job of this key waits, runs or has
        succeeded, it is returned (``replayed``) instead of a second one; the Idempotency-Key then belongs to it, too.
        One that ended otherwise does not count.

        Raises:
            UnknownJob: The job whose latent a restyle decodes was deleted meanwhile.
            IdempotencyConflict: The key is known with another body.
            QueueFull: ``details["retry_after"]`` is the advised pause in seconds.
            QuotaExceeded: The tenant has too many unfinished jobs; same detail.
            StoreUnavailable: See the module.
        """
        if not jobs:
            raise UsageError("A submission needs at least one job.")
        if deduplication_key is not None and len(jobs) > 1:
            raise UsageError("A deduplication key names one job.")
        now = self.now()
        stamped = [submitted(job, now, self.policy) for job in jobs]
        verdict, job_ids = self.insert_rows(
            [write_of(None, job, self.policy, now) for job in stamped],
            idempotency_key=_hashed(idempotency.key) if idempotency else "",
            body_hash=idempotency.body_hash if idempotency else "",
            deduplication_key=_hashed(deduplication_key) if deduplication_key else "",
            limits=limits or AdmissionLimits(),
        )
        self._raise_refusal(verdict)
        # A replay may meet jobs of which some were deleted; what is left is the truth.
        found = tuple(job for job in self.read_jobs(job_ids) if job is not None)
        return Submission(found, replayed=verdict is Verdict.REPLAYED)

    def _raise_refusal(self, verdict: Verdict) -> None:
        if verdict is Verdict.NO_PARENT:
            raise UnknownJob("The job to restyle was deleted meanwhile: convert the photo again.")
        if verdict is Verdict.CONFLICT:
            raise IdempotencyConflict("This Idempotency-Key was used with another request: use a new key for this one.")
        if verdict is Verdict.FULL:
            pause = self.queue().retry_after
            raise QueueFull(f"Too many jobs are waiting: try again in {pause:.0f} seconds.", retry_after=pause)
        if verdict is Verdict.QUOTA:
            pause = self.queue().retry_after
            raise QuotaExceeded("You have too many unfinished jobs: wait for some to end.", retry_after=pause)

    def get(self, job_id: str, *, tenant: str | None = None) -> Job:
        """Read a job. With ``tenant``, a job of anyone else does not exist.

        Raises:
            UnknownJob: There is none.
            UnreadableJob: Its record cannot be read; it is in quarantine now.
        """
        return self.find(job_id, tenant=tenant).job

    def get_many(self, job_ids: Sequence[str], *, tenant: str) -> list[Job]:
        """Read those of these jobs that the tenant has and that can be read, in the order asked for."""
        return [job for job in self.read_jobs(job_ids) if job is not None and job.tenant == tenant]

    def list_jobs(self, tenant: str, *, cursor: str | None = None, limit: int = 20) -> JobPage:
        """Read a page of a tenant's jobs, newest first; jobs made meanwhile do not shift the following pages.

        Raises:
            UsageError: The cursor is not one of ours.
        """
        if cursor is not None and not _CURSOR.fullmatch(cursor):
            raise UsageError("The cursor is not one that was given out: begin again without it.")
        marks = self.page_marks(tenant, before=cursor, limit=limit + 1)
        jobs = self.read_jobs([mark.partition(".")[2] for mark in marks[:limit]])
        return JobPage(
            jobs=tuple(job for job in jobs if job is not None),
            next_cursor=marks[limit - 1] if len(marks) > limit else None,
        )

    def cancel(self, job_id: str, *, tenant: str | None = None) -> Job:
        """Ask for an end; asking again changes nothing.

        A queued job is cancelled at once; a running one gets ``cancel_requested`` and its worker ends it at the next
        step; an ended one is returned as it is.

        Raises:
            UnknownJob: There is none.
        """
        return self.change(job_id, lambda job, now: cancel_asked(job, now, self.policy), tenant=tenant)

    def delete(self, job_id: str, *, tenant: str | None = None, with_restyles: bool = True) -> tuple[Erased, ...]:
        """Delete a job in any state: record, events, indexes, Idempotency-Key; and the restyles made of it.

        A worker that runs one gets `LeaseLost` at its next sign of life. The jobs' folders are put into the index of
        erasures in the same atomic step (`nigaoe_core.store.retention.Retention.erase` does both halves). No record is
        read.

        Args:
            job_id: Of the job; it may be gone already, and leave restyles behind that are not.
            tenant: With it, a job of anyone else does not exist.
            with_restyles: Whether restyles go, too. A restyle has its own time, so the end of its parent's is not its.

        Returns:
            What was deleted; empty if there was nothing.
        """
        facts = self.row_facts(job_id)
        if facts is not None and tenant not in (None, facts.tenant):
            return ()
        # The job first: without it, no further restyle is accepted.
        erased = [self._erase(job_id, tenant, with_restyles=with_restyles)]
        if with_restyles:
            erased += [self._erase(restyle, tenant, with_restyles=False) for restyle in self.restyles_of(job_id)]
        return tuple(one for one in erased if one is not None)

    def _erase(self, job_id: str, tenant: str | None, *, with_restyles: bool) -> Erased | None:
        for _ in range(MAX_ROUNDS):
            facts = self.row_facts(job_id)
            if facts is None or tenant not in (None, facts.tenant):
                return None
            # The worker of a running job may still be storing a picture: erase again when it must have noticed.
            delay = 2 * self.policy.lease_seconds if facts.is_held else 0.0
            erasures = {folder + "/": facts.now + delay for folder in facts.folders}
            if self.erase_row(job_id, facts.revision, erasures, with_restyles=with_restyles):
                return Erased(job_id, facts.folders, facts.is_held)
        raise StoreUnavailable("Too many processes change this job at once: try again.")

    # For workers.

    def claim(self, job_id: str, attempt: int, worker: str) -> Claim | None:
        """Take a queued job: it becomes running, with a lease and a new fencing token.

        None when there is nothing to do: the job is unknown, runs, has ended, or is at another attempt (a message that
        came twice or late). A job past its deadline is ended as expired instead.
        """

        def rule(job: Job, now: UnixTime) -> Job:
            if job.state is not JobState.QUEUED or job.attempt != attempt:
                return job
            if now >= job.deadline_at:
                return expired(job, now, self.policy)
            won.append(claimed(job, worker, now, self.policy))
            return won[-1]

        won: list[Job] = []  # One for each round; only the last round's may have been stored.
        try:
            job = self.change(job_id, rule)
        except UnknownJob:
            return None
        return Claim(job, job.fencing_token) if won and job is won[-1] else None

    def heartbeat(
        self,
        claim: Claim,
        *,
        progress: Progress | None = None,
        timings: Mapping[str, Seconds] | None = None,
        faces: Sequence[FoundFace] | None = None,
        blobs: Mapping[str, str] | None = None,
    ) -> Job:
        """Renew the lease and store what is new; call it at least every ``heartbeat_seconds``.

        The version grows only when something else than the lease changed. Timings and blobs are merged in.
        The returned job's ``cancel_requested`` must be obeyed: stop and call `finish_cancelled`.

        Raises:
            LeaseLost: The claim is no longer valid; drop the job and what was stored for it.
        """

        def rule(job: Job, now: UnixTime) -> Job:
            check_held(job, claim)
            news: dict[str, Any] = {}
            if progress is not None:
                news["progress"] = progress
            if timings:
                news["timings"] = job.timings | dict(timings)
            if faces is not None:
                news["faces"] = tuple(faces)
            if blobs:
                news["blobs"] = job.blobs | dict(blobs)
            return renewed(job, now, self.policy, news)

        return self._held(claim, rule)

    def succeed(self, claim: Claim, outcome: Outcome) -> Job:
        """End the job as succeeded. Repeating it with the same claim is harmless.

        A request to cancel that the worker has not seen yet comes too late: the result stands.

        Raises:
            LeaseLost: As in `heartbeat`; also when the job was ended by other means.
        """
        return self._finish(claim, JobState.SUCCEEDED, lambda job, now: succeeded(job, outcome, now, self.policy))

    def fail(self, claim: Claim, failure: Failure) -> Job:
        """End the job as failed: its own fault (no face, not a number), another attempt would not help.

        Raises:
            LeaseLost: As in `succeed`.
        """
        return self._finish(claim, JobState.FAILED, lambda job, now: failed(job, failure, now, self.policy))

    def finish_cancelled(self, claim: Claim) -> Job:
        """End the job as cancelled, after ``cancel_requested`` was seen.

        Raises:
            LeaseLost: As in `succeed`.
        """
        return self._finish(claim, JobState.CANCELLED, lambda job, now: cancelled(job, now, self.policy))

    def finish_expired(self, claim: Claim) -> Job:
        """End the job as expired, because its deadline passed while it ran.

        Raises:
            LeaseLost: As in `succeed`.
        """
        return self._finish(claim, JobState.EXPIRED, lambda job, now: expired(job, now, self.policy))

    def hand_back(self, claim: Claim, *, device_lost: bool = False) -> Job:
        """Queue the job again at a new attempt, keeping its place by age, because this worker shuts down.

        Send a wake-up message for the returned job. If cancelling was requested or the deadline has passed, the job
        ends instead; look at its state. Repeating it with the same claim is harmless.

        Args:
            claim: What holds the job.
            device_lost: The device was lost while it computed for this job. That counts like a worker that vanished:
                the job becomes suspect, and at the ``max_attempts``-th loss it fails with ``worker_lost``.

        Raises:
            LeaseLost: As in `succeed`.
        """
        back = lost if device_lost else handed_back

        def rule(job: Job, now: UnixTime) -> Job:
            # The same claim did this already, whatever came of it; its reply was lost.
            is_done = job.lease is None and job.state is not JobState.SUCCEEDED
            if is_done and job.fencing_token == claim.token:
                return job
            return back(check_held(job, claim), now, self.policy)

        return self._held(claim, rule)

    def _finish(self, claim: Claim, state: JobState, ending: Callable[[Job, UnixTime], Job]) -> Job:
        def rule(job: Job, now: UnixTime) -> Job:
            # The same claim did this already; its reply was lost.
            if job.state is state and job.fencing_token == claim.token:
                return job
            return ending(check_held(job, claim), now)

        return self._held(claim, rule)

    def _held(self, claim: Claim, rule: Callable[[Job, UnixTime], Job]) -> Job:
        try:
            return self.change(claim.job_id, rule)
        except UnknownJob as error:
            raise LeaseLost("This job was deleted: drop it and its pictures.") from error

    # For the reaper, the sweep and the webhook sender. Any number of processes may call these at once: every entry is
    # taken by one of them.

    def requeue_expired(self, limit: int = 100) -> Repairs:
        """Repair up to ``limit`` jobs whose lease or deadline has passed.

        A job of a lost worker gets a new attempt, or fails with ``worker_lost`` at the ``max_attempts``-th loss; one
        whose cancelling was requested is cancelled; one past its deadline expires.
        """
        repairs = [
            job
            for index in (DueIndex.LEASE, DueIndex.DEADLINE)
            for due in self.take_due(index, limit=limit, pause=REPAIR_PAUSE)
            if (job := self._repaired(index, due.member)) is not None
        ]
        return Repairs(
            requeued=tuple(job for job in repairs if job.state is JobState.QUEUED),
            ended=tuple(job for job in repairs if job.state.is_end),
        )

    def _repaired(self, index: DueIndex, job_id: str) -> Job | None:
        try:
            return self._repair(index, job_id)
        except StorageError:
            raise  # The store is away, for all of them.
        except Exception as error:  # noqa: BLE001 - a job that cannot be repaired must not keep others from it.
            self.errors.record(WHERE, error)
            return None

    def _repair(self, index: DueIndex, job_id: str) -> Job | None:
        before: list[Job] = []

        def rule(job: Job, now: float) -> Job:
            before[:] = [job]
            return repaired(job, now, self.policy)

        try:
            job = self.change(job_id, rule)
        except UnknownJob:
            self.settle(index, job_id)
            return None
        except UnreadableJob:
            return None  # It is in quarantine now, and out of this index.
        return job if job is not before[0] else None

    def due_wake_ups(self, limit: int = 100) -> list[Job]:
        """Queued jobs that nobody claimed for a while (their message may be lost); each at doubling intervals."""
        jobs = self._due_jobs(DueIndex.WAKE_UP, limit, self.policy.wake_up_seconds)
        return [job for job, _ in jobs if job.state is JobState.QUEUED]

    def due_webhooks(self, limit: int = 20) -> list[tuple[Job, int]]:
        """Ended jobs whose webhook is to be sent now, each with the number of this try (from 1).

        Unless settled, an entry comes again after ``webhook_pause_seconds``, then twice that, and so on.
        """
        return self._due_jobs(DueIndex.WEBHOOK, limit, self.policy.webhook_pause_seconds)

    def _due_jobs(self, index: DueIndex, limit: int, pause: Seconds) -> list[tuple[Job, int]]:
        due = self.take_due(index, limit=limit, pause=pause)
        jobs = self.read_jobs([entry.member for entry in due])
        for entry, job in zip(due, jobs, strict=True):
            if job is None:  # Gone, or in quarantine, which takes it out of this index, too.
                self.settle(index, entry.member)
        return [(job, entry.tries) for entry, job in zip(due, jobs, strict=True) if job is not None]

    def settle_webhook(self, job_id: str) -> None:
        """A webhook was delivered or is given up."""
        self.settle(DueIndex.WEBHOOK, job_id)

    def due_erasures(self, limit: int = 100) -> list[Due]:
        """Blob keys, or folders (ending in ``/``), to erase now; they come again until settled."""
        return self.take_due(DueIndex.ERASURE, limit=limit, pause=self.policy.lease_seconds)

    def schedule_erasure(self, member: str, seconds: Seconds) -> None:
        """Have a blob key, or a folder (ending in ``/``), erased when so long has passed, whatever happens until then.

        Schedule first and store afterwards, so that nothing is forgotten if this process ends in between.
        """
        self.schedule(DueIndex.ERASURE, member, self.now() + seconds)

    def settle_erasure(self, member: str) -> None:
        """An erasure is done."""
        self.settle(DueIndex.ERASURE, member)

    def due_retention(self, limit: int = 100) -> list[str]:
        """The ids of jobs to delete: ended ones past ``expires_at``, restyles whose parent was deleted, quarantined."""
        return [
            job_id
            for index in (DueIndex.RETENTION, DueIndex.DELETION, DueIndex.QUARANTINE)
            for job_id in self._due_rows(index, limit)
        ]

    def _due_rows(self, index: DueIndex, limit: int) -> list[str]:
        """Like `_due_jobs`, for those who need no record."""
        due = self.take_due(index, limit=limit, pause=self.policy.lease_seconds)
        known = self.known([entry.member for entry in due])
        for entry in due:
            if entry.member not in known:
                self.settle(index, entry.member)
        return [entry.member for entry in due if entry.member in known]

    def readmit(self, limit: int = 100) -> list[str]:
        """Read some quarantined records again, and take up those that this version can read; their ids."""
        return [job_id for job_id in self.quarantined(limit) if self._readmitted(job_id)]

    def _readmitted(self, job_id: str) -> bool:
        row = self.read_row(job_id)
        # Writing a row as it is puts it back into all indexes.
        is_back = isinstance(row, Snapshot) and self.replace_row(row, write_of(row.job, row.job, self.policy, row.now))
        if is_back:
            _log.warning("job.readmitted", job_id=job_id)
        return is_back


def _hashed(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
