"""What the store needs from a database: rows replaced by compare-and-set, and indexes that follow from the row.

Two tables exist, in memory and in Redis. Both are dumb on purpose: which record follows which is decided by
`nigaoe_core.store.lifecycle`, and what is indexed is decided here, by `write_of`.
"""

import contextlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Protocol

from nigaoe_core.errors import UnreadableJob
from nigaoe_core.jobs import Job, JobState, Seconds, UnixTime
from nigaoe_core.store.blob_store import PHOTO, is_folder, job_of
from nigaoe_core.store.contract import AdmissionLimits, Due, QueueReport
from nigaoe_core.store.events import EventKind, events_of
from nigaoe_core.store.lifecycle import JobPolicy, last_moment
from nigaoe_core.worker_report import WorkerReport


class Agenda(StrEnum):
    """Lists of things to do at a time. Members are job ids, except for erasures: blob keys and folders."""

    LEASE = "lease"
    DEADLINE = "deadline"
    RETENTION = "retention"
    DOORBELL = "doorbell"
    WEBHOOK = "webhook"
    QUARANTINE = "quarantine"  # Unreadable records, due when they are to be forgotten.
    DELETION = "deletion"  # Jobs that are to be deleted whatever is written to them; the row's end settles it.
    ERASURE = "erasure"


FOLLOWS_ROW: Final = frozenset(Agenda) - {Agenda.ERASURE, Agenda.DELETION}
"""Agendas whose entries are replaced with every write of their row."""

QUARANTINED: Final = "quarantined"
"""What stands in the place of a row's state while its record cannot be read."""


@dataclass(frozen=True)
class Snapshot:
    """A row at one moment."""

    job: Job
    revision: int  # Grows with every write, also with those that no client sees.
    now: UnixTime


@dataclass(frozen=True)
class Unreadable:
    """A row whose record cannot be read, at one moment."""

    job_id: str
    revision: int


@dataclass(frozen=True)
class RowFacts:
    """What a row says outside its record, so that it can be erased without reading that."""

    tenant: str
    folders: tuple[str, ...]  # See `nigaoe_core.store.contract.Erased`.
    is_held: bool
    revision: int
    now: UnixTime


@dataclass(frozen=True)
class Write:
    """A row and everything that changes with it in one atomic step."""

    job: Job
    rank: float | None  # Place in the queue, smaller first; None: not queued.
    agenda: Mapping[Agenda, UnixTime]  # The job's entries; it has no others.
    events: Sequence[tuple[EventKind, dict[str, Any]]] = ()
    erasures: Mapping[str, UnixTime] = field(default_factory=dict)  # To be added to that agenda.
    is_visible: bool = True  # Whether waiters are woken.


@dataclass(frozen=True)
class Insertion:
    """New rows of one tenant: all or none."""

    writes: tuple[Write, ...]
    idempotency_key: str | None  # Hashed.
    body_hash: str
    limits: AdmissionLimits
    deduplication_key: str | None = None  # Hashed; only of a single row.


class Verdict(StrEnum):
    """What became of an insertion."""

    STORED = "stored"
    REPLAYED = "replayed"  # The Idempotency-Key is known with the same body, or the deduplication key is.
    CONFLICT = "conflict"  # The Idempotency-Key is known with another body.
    FULL = "full"  # Too many jobs wait, or too long.
    QUOTA = "quota"
    NO_PARENT = "no_parent"  # The job that a restyle is made of is gone.


@dataclass(frozen=True)
class Inserted:
    """An insertion's verdict and the ids of the stored or replayed jobs."""

    verdict: Verdict
    job_ids: tuple[str, ...] = ()


class JobTable(Protocol):
    """Rows and indexes. Thread-safe; every method may be repeated without harm when its answer was lost."""

    def now(self) -> UnixTime:
        """The table's clock."""

    def read(self, job_id: str) -> Snapshot | Unreadable | None:
        """Read one row and the time."""

    def read_many(self, job_ids: Sequence[str]) -> list[Job | Unreadable | None]:
        """Read rows in the order asked for."""

    def facts(self, job_id: str) -> RowFacts | None:
        """Read what one row says outside its record."""

    def insert(self, insertion: Insertion) -> Inserted:
        """Store new rows if key and limits allow it; rows that are stored already count as stored."""

    def swap(self, old: Snapshot, write: Write) -> bool:
        """Replace a row; False if it is not at the old revision any more."""

    def erase(
        self, job_id: str, revision: int, erasures: Mapping[str, UnixTime], *, with_restyles: bool = False
    ) -> bool:
        """Remove a row, its events and its indexes; False if it is not at this revision any more.

        With restyles, those made of it are put on the agenda of deletions in the same step.
        """

    def restyles(self, job_id: str) -> list[str]:
        """The ids of the restyles made of a job, whether or not it is still there."""

    def quarantine(self, row: Unreadable, seconds: Seconds) -> bool:
        """Take a row out of the queue and all indexes, to be forgotten after so long; False: it changed or is there."""

    def quarantined(self, limit: int) -> list[str]:
        """The ids of some quarantined rows, others each time if there are more."""

    def take_turn(self, name: str, seconds: Seconds) -> bool:
        """Take a turn that nobody else gets for so long; False: somebody has it."""

    def take_due(self, agenda: Agenda, *, limit: int, pause: Seconds, max_pause: Seconds) -> list[Due]:
        """Take due entries; until it is settled, each comes again after ``pause``, twice that, up to ``max_pause``."""

    def schedule(self, agenda: Agenda, member: str, due: UnixTime) -> None:
        """Put an entry on an agenda, or move it to another time."""

    def settle(self, agenda: Agenda, member: str) -> None:
        """Remove an entry."""

    def page(self, tenant: str, *, before: str | None, limit: int) -> list[str]:
        """Read the tenant's page marks (`page_mark`) below ``before``, greatest first."""

    def rank(self, job_id: str) -> int | None:
        """How many rows stand before this one in the queue."""

    def queue(self) -> QueueReport:
        """Count."""

    def active(self, tenant: str) -> int:
        """Count a tenant's unfinished rows."""

    def put_report(self, report: WorkerReport, seconds: Seconds) -> None:
        """Keep a worker's report for this long."""

    def drop_report(self, worker: str) -> None:
        """Forget a worker's report."""

    def reports(self) -> list[WorkerReport]:
        """The reports whose time is not over."""

    def close(self) -> None:
        """Give connections back."""


def write_of(old: Job | None, new: Job, policy: JobPolicy, now: UnixTime) -> Write:
    """Tell all that changes when ``new`` takes the place of ``old``."""
    return Write(
        job=new,
        rank=_rank_of(new),
        agenda=dict(_agenda_of(new, policy)),
        events=events_of(old, new),
        erasures=_erasures_of(old, new, now),
        is_visible=old is None or old.version != new.version,
    )


def page_mark(job: Job) -> str:
    """Sorts a tenant's jobs by age as text; it is also the cursor of `JobPage`."""
    return f"{round(job.created_at * 1e6):020d}.{job.id}"


def read_record(job_id: str, record: str, revision: int) -> Job | Unreadable:
    """Read a row's record."""
    try:
        return Job.from_json(record)
    except UnreadableJob:
        return Unreadable(job_id, revision)


def folders_of(job_id: str, tenant: str, folder: str | None, mark: str, record: str) -> tuple[str, ...]:
    """Tell where a row's blobs are, whatever its record looks like.

    Args:
        job_id: Of the row.
        tenant: Likewise.
        folder: As the row says; None: an older Nigaoe wrote it.
        mark: Its page mark.
        record: The record, readable or not.
    """
    if folder is None:
        with contextlib.suppress(ValueError, AttributeError):
            folder = json.loads(record).get("folder")
    if isinstance(folder, str) and is_folder(folder) and folder.startswith(f"{tenant}/") and job_of(folder) == job_id:
        return (folder,)
    # Uploads begin before the job is stamped, so perhaps on the day before.
    made = datetime.fromtimestamp(int(mark.partition(".")[0]) / 1e6, UTC)
    return tuple(f"{tenant}/{day:%Y%m%d}/{job_id}" for day in (made, made - timedelta(days=1)))


def known_ids(table: JobTable, job_ids: Collection[str]) -> set[str]:
    """Which of these ids have a row, readable or not."""
    ordered = list(job_ids)
    return {job_id for job_id, job in zip(ordered, table.read_many(ordered), strict=True) if job is not None}


def _rank_of(job: Job) -> float | None:
    # Urgent first, then old first: a requeued job keeps the place of its age. 1e10 seconds is beyond Unix times
    # before the year 2286, and nine times that still leaves a double 15 microseconds.
    return (9 - job.options.priority) * 1e10 + job.created_at if job.state is JobState.QUEUED else None


def _agenda_of(job: Job, policy: JobPolicy) -> list[tuple[Agenda, UnixTime]]:
    if job.state is JobState.QUEUED:
        return [(Agenda.DEADLINE, job.deadline_at), (Agenda.DOORBELL, job.queued_at + policy.doorbell_seconds)]
    if job.lease is not None:
        return [(Agenda.LEASE, job.lease.deadline), (Agenda.DEADLINE, last_moment(job, policy))]
    entries = [(Agenda.RETENTION, job.expires_at or 0.0)]
    if job.options.webhook_url is not None:
        entries.append((Agenda.WEBHOOK, job.ended_at or 0.0))
    return entries


def _erasures_of(old: Job | None, new: Job, now: UnixTime) -> dict[str, UnixTime]:
    if old is None or not new.state.is_end:
        return {}
    if new.state is not JobState.SUCCEEDED:
        return {new.folder + "/": now}
    return {old.blobs[PHOTO]: now} if PHOTO in old.blobs else {}
