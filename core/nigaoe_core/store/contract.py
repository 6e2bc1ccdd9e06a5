"""The job store's contract: the one place that knows what became of a job.

How it is used: the API submits, reads, cancels and deletes; a worker claims a job, writes with its claim, and ends it;
the reaper (any process, any number of them) repairs what vanished processes left behind. The Celery message is only
a doorbell: losing it, or getting it ten times, changes nothing.

Rules that every implementation keeps (`tests/core/test_job_store.py` runs one suite over all of them):

- A job ends exactly once; `nigaoe_core.jobs.TRANSITIONS` are the only changes of state.
- Time is the store's own clock, never that of the calling machine.
- A running job is written to only with the claim that holds it. Claims carry a fencing token that grows with every
  claim of the job; anyone else gets `LeaseLost` and must drop the work and its blobs.
- Every operation may be repeated after `StoreUnavailable`, whether or not it had taken effect.
- A record that cannot be read (damaged, or of a newer Nigaoe) hurts no other job. Whoever meets it puts it into
  quarantine: out of the queue and of every index and list, counted in `QueueReport.quarantined`. There it is forgotten
  with its blobs after the retention time, may be deleted at any time (deleting never reads a record), and is taken up
  again where it stood by the first process that can read it (`JobUpkeep.readmit`).

All methods block for a network round trip or two and are safe to call from any thread; the API calls them in threads
(``await anyio.to_thread.run_sync``). Waiting for a change is asynchronous and lives in `nigaoe_core.store.changes`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from nigaoe_core.jobs import Failure, FoundFace, Job, JobKind, JobState, Outcome, Progress, Seconds, UnixTime
from nigaoe_core.worker_report import WorkerReport


@dataclass(frozen=True)
class Idempotency:
    """An Idempotency-Key of one tenant and what it was sent with."""

    key: str  # As the client sent it; stored hashed.
    body_hash: str  # Hex digest of the request's meaning: photos and options.


@dataclass(frozen=True)
class AdmissionLimits:
    """Above which a submission is refused. None: no limit."""

    max_queued: int | None = None  # Jobs waiting, of all tenants.
    max_queue_age: Seconds | None = None  # Age of the job that waits longest.
    max_active: int | None = None  # Unfinished jobs of the submitting tenant, with the new ones.


@dataclass(frozen=True)
class Submission:
    """What a submission came to."""

    jobs: tuple[Job, ...]
    replayed: bool = False  # The Idempotency-Key or deduplication key was known: the jobs of the first time.


@dataclass(frozen=True)
class JobPage:
    """Some of a tenant's jobs, newest first."""

    jobs: tuple[Job, ...]
    next_cursor: str | None  # Pass it on for the next page; None: this was the last.


@dataclass(frozen=True)
class Claim:
    """A worker's proof that it holds a job."""

    job: Job  # As it was when claimed.
    token: int

    @property
    def job_id(self) -> str:
        """The claimed job's id."""
        return self.job.id

    @property
    def is_suspect(self) -> bool:
        """Whether a worker was lost while it ran this job: no other job may share the device with it."""
        return self.job.is_suspect


@dataclass(frozen=True)
class QueueReport:
    """The queue at one moment."""

    queued: int
    running: int
    oldest_age: Seconds  # Of the queued job that waits longest; 0 when none waits.
    states: Mapping[JobState, int] = field(default_factory=dict)  # Stored jobs by state.
    quarantined: int = 0  # Records that cannot be read; they are in no state.


@dataclass(frozen=True)
class Doorbell:
    """The message that tells workers of a queued job. Small, frozen, JSON; it names no Python module."""

    job_id: str
    attempt: int
    priority: int = 5
    kind: JobKind = JobKind.CONVERT


@dataclass(frozen=True)
class Repairs:
    """What one round of `JobUpkeep.requeue_expired` changed."""

    requeued: tuple[Job, ...] = ()  # A new attempt each: ring the doorbell for it.
    ended: tuple[Job, ...] = ()  # Failed (worker_lost), cancelled or expired.


@dataclass(frozen=True)
class Erased:
    """A job that was forgotten, and where its blobs are."""

    job_id: str
    folders: tuple[str, ...]  # One; two where a damaged record leaves open on which of two days it was made.
    is_held: bool  # A worker may still be storing something.


@dataclass(frozen=True)
class Due:
    """An entry of an agenda whose time has come; it comes again later unless it is settled."""

    member: str
    tries: int  # How often it was taken, this time included.


class JobDesk(Protocol):
    """For those who order jobs."""

    def now(self) -> UnixTime:
        """The store's clock."""

    def submit(
        self,
        jobs: Sequence[Job],
        *,
        idempotency: Idempotency | None = None,
        limits: AdmissionLimits | None = None,
        deduplication_key: str | None = None,
    ) -> Submission:
        """Store new jobs (from `nigaoe_core.jobs.new_job`, one tenant) as queued: all of them or none.

        ``created_at``, ``queued_at`` and ``deadline_at`` are stamped here. Ring the doorbell for each afterwards;
        should that fail, the reaper rings it later, so an accepted job is never lost.

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

    def get(self, job_id: str, *, tenant: str | None = None) -> Job:
        """Read a job. With ``tenant``, a job of anyone else does not exist.

        Raises:
            UnknownJob: There is none.
            UnreadableJob: Its record cannot be read; it is in quarantine now.
        """

    def get_many(self, job_ids: Sequence[str], *, tenant: str) -> list[Job]:
        """Read those of these jobs that the tenant has and that can be read, in the order asked for."""

    def list_jobs(self, tenant: str, *, cursor: str | None = None, limit: int = 20) -> JobPage:
        """Read a page of a tenant's jobs, newest first; jobs made meanwhile do not shift the following pages.

        Raises:
            UsageError: The cursor is not one of ours.
        """

    def position(self, job_id: str) -> int | None:
        """How many queued jobs run before this one; None when it is not queued."""

    def queue(self) -> QueueReport:
        """Count the queue."""

    def active_jobs(self, tenant: str) -> int:
        """How many unfinished jobs a tenant has."""

    def cancel(self, job_id: str, *, tenant: str | None = None) -> Job:
        """Ask for an end; asking again changes nothing.

        A queued job is cancelled at once; a running one gets ``cancel_requested`` and its worker ends it at the next
        step; an ended one is returned as it is.

        Raises:
            UnknownJob: There is none.
        """

    def delete(self, job_id: str, *, tenant: str | None = None, with_restyles: bool = True) -> tuple[Erased, ...]:
        """Forget a job in any state: record, events, indexes, Idempotency-Key; and the restyles made of it.

        A worker that runs one gets `LeaseLost` at its next sign of life. The jobs' folders are put on the agenda of
        erasures in the same atomic step (`nigaoe_core.store.retention.Retention.erase` does both halves). No record is
        read.

        Args:
            job_id: Of the job; it may be gone already, and leave restyles behind that are not.
            tenant: With it, a job of anyone else does not exist.
            with_restyles: Whether restyles go, too. A restyle has its own time, so the end of its parent's is not its.

        Returns:
            What was forgotten; empty if there was nothing.
        """


class JobLeases(Protocol):
    """For those who run jobs."""

    def claim(self, job_id: str, attempt: int, worker: str) -> Claim | None:
        """Take a queued job: it becomes running, with a lease and a new fencing token.

        None when there is nothing to do: the job is unknown, runs, has ended, or is at another attempt (a message that
        came twice or late). A job past its deadline is ended as expired instead.
        """

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

    def succeed(self, claim: Claim, outcome: Outcome) -> Job:
        """End the job as succeeded. Repeating it with the same claim is harmless.

        A request to cancel that the worker has not seen yet comes too late: the result stands.

        Raises:
            LeaseLost: As in `heartbeat`; also when the job was ended by other means.
        """

    def fail(self, claim: Claim, failure: Failure) -> Job:
        """End the job as failed: its own fault (no face, not a number), another attempt would not help.

        Raises:
            LeaseLost: As in `succeed`.
        """

    def finish_cancelled(self, claim: Claim) -> Job:
        """End the job as cancelled, after ``cancel_requested`` was seen.

        Raises:
            LeaseLost: As in `succeed`.
        """

    def finish_expired(self, claim: Claim) -> Job:
        """End the job as expired, because its deadline passed while it ran.

        Raises:
            LeaseLost: As in `succeed`.
        """

    def hand_back(self, claim: Claim, *, device_lost: bool = False) -> Job:
        """Queue the job again at a new attempt, keeping its place by age, because this worker shuts down.

        Ring the doorbell for the returned job. If cancelling was requested or the deadline has passed, the job ends
        instead; look at its state. Repeating it with the same claim is harmless.

        Args:
            claim: What holds the job.
            device_lost: The device was lost while it computed for this job. That counts like a worker that vanished:
                the job becomes suspect, and at the ``max_attempts``-th loss it fails with ``worker_lost``.

        Raises:
            LeaseLost: As in `succeed`.
        """


class JobUpkeep(Protocol):
    """For the reaper. Any number of processes may call these at once: every entry is taken by one of them."""

    def requeue_expired(self, limit: int = 100) -> Repairs:
        """Repair up to ``limit`` jobs whose lease or deadline has passed.

        A job of a lost worker gets a new attempt, or fails with ``worker_lost`` at the ``max_attempts``-th loss; one
        whose cancelling was requested is cancelled; one past its deadline expires.
        """

    def due_doorbells(self, limit: int = 100) -> list[Doorbell]:
        """Queued jobs that nobody claimed for a while (their message may be lost); each at doubling intervals."""

    def due_webhooks(self, limit: int = 20) -> list[tuple[Job, int]]:
        """Ended jobs whose webhook is to be sent now, each with the number of this try (from 1).

        Unless settled, an entry comes again after ``webhook_pause_seconds``, then twice that, and so on.
        """

    def settle_webhook(self, job_id: str) -> None:
        """A webhook was delivered or is given up."""

    def due_erasures(self, limit: int = 100) -> list[Due]:
        """Blob keys, or folders (ending in ``/``), to erase now; they come again until settled."""

    def schedule_erasure(self, member: str, seconds: Seconds) -> None:
        """Have a blob key, or a folder (ending in ``/``), erased when so long has passed, whatever happens until then.

        Schedule first and store afterwards, so that nothing is forgotten if this process ends in between.
        """

    def settle_erasure(self, member: str) -> None:
        """An erasure is done."""

    def due_retention(self, limit: int = 100) -> list[str]:
        """The ids of jobs to delete: ended ones past ``expires_at``, restyles whose parent was deleted, quarantined."""

    def readmit(self, limit: int = 100) -> list[str]:
        """Look at some quarantined records again, and take up those that this version can read; their ids."""

    def quarantined(self, limit: int = 100) -> list[str]:
        """The ids of some jobs in quarantine, for the operator to see."""

    def take_turn(self, name: str, seconds: Seconds) -> bool:
        """Ask to be the one process that does something for so long; False: another has taken this turn."""

    def known(self, job_ids: Collection[str]) -> set[str]:
        """Which of these ids are stored jobs (for the sweep of orphans)."""


class WorkerBoard(Protocol):
    """Where workers say how they are."""

    def report_worker(self, report: WorkerReport, *, seconds: Seconds) -> None:
        """Show a worker's state to everyone for this long."""

    def withdraw_worker(self, worker: str) -> None:
        """Take a worker's report down at once (it ends)."""

    def workers(self) -> list[WorkerReport]:
        """The reports that are still valid, sorted by worker."""


class JobStore(JobDesk, JobLeases, JobUpkeep, WorkerBoard, Protocol):
    """All roles together; what `nigaoe_core.services.connect` returns."""

    def check(self) -> None:
        """See whether the store answers and keeps what it is given (for ``/readyz`` and ``nigaoe doctor``).

        Raises:
            StoreUnavailable: It does not answer.
        """

    def close(self) -> None:
        """Give connections back."""
