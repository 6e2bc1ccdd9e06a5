"""What goes into the job store and comes out of it, beside the job itself (`nigaoe_core.jobs.Job`)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from nigaoe_core.jobs import Job, JobState, Seconds

EVENT_SECONDS: Final = 3600
"""How long a log outlives its last event."""
MAX_EVENTS: Final = 64
"""How many events a log keeps: enough for a client to come back after some 20 seconds without a gap in the previews."""
LAST_EVENTS: Final = 8
"""How many stay when the job has ended: previews are pictures of a person."""


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
    """Result of a submission."""

    jobs: tuple[Job, ...]
    replayed: bool = False  # The Idempotency-Key or deduplication key was known: the jobs of the first time.


@dataclass(frozen=True)
class JobPage:
    """Page of a tenant's jobs, newest first."""

    jobs: tuple[Job, ...]
    next_cursor: str | None  # Pass it on for the next page; None: this was the last.


@dataclass(frozen=True)
class Claim:
    """A worker's proof that it holds a job."""

    job: Job  # As it was when claimed.
    token: int  # Fencing token; it grows with every claim of the job.

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
    """Counts of the queue at one moment."""

    queued: int
    running: int
    oldest_age: Seconds  # Of the queued job that waits longest; 0 when none waits.
    states: Mapping[JobState, int] = field(default_factory=dict)  # Stored jobs by state.
    quarantined: int = 0  # Records that cannot be read; they are in no state.

    @property
    def retry_after(self) -> Seconds:
        """The advised pause, by Little's law: a tenth of the queue leaves in a tenth of the age of its oldest job."""
        return float(min(60, max(2, math.ceil(self.oldest_age / 10))))


@dataclass(frozen=True)
class Repairs:
    """What one round of `JobStore.requeue_expired` changed."""

    requeued: tuple[Job, ...] = ()  # A new attempt each: send a wake-up message for it.
    ended: tuple[Job, ...] = ()  # Failed (worker_lost), cancelled or expired.


@dataclass(frozen=True)
class Erased:
    """A job that was deleted, and where its blobs are."""

    job_id: str
    folders: tuple[str, ...]  # One; two where a damaged record leaves open on which of two days it was made.
    is_held: bool  # A worker may still be storing something.


@dataclass(frozen=True)
class Due:
    """Entry of a due index whose time has come; it comes again later unless it is settled."""

    member: str
    tries: int  # How often it was taken, this time included.
