"""Rows of the job table as values: which indexes, events and erasures follow from a job's record.

Nothing here talks to Redis. `nigaoe_core.store.lifecycle` decides which record follows which, this module what is
indexed, and `nigaoe_core.store.job_table` stores both in one atomic step.
"""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from nigaoe_core.errors import UnreadableJob
from nigaoe_core.jobs import Job, JobState, UnixTime
from nigaoe_core.store.blob_store import UPLOADS, is_folder, job_of
from nigaoe_core.store.events import EventKind, events_of
from nigaoe_core.store.lifecycle import JobPolicy, last_moment


class DueIndex(StrEnum):
    """Indexes of what is to be done at a time. Members are job ids, except for erasures: blob keys and folders.

    The values are stored; those of the first six are listed in ``lua/rows.lua``, which replaces a row's entries in them
    with every write.
    """

    LEASE = "lease"
    DEADLINE = "deadline"
    RETENTION = "retention"
    WAKE_UP = "doorbell"  # Queued jobs whose wake-up message may be lost.
    WEBHOOK = "webhook"
    QUARANTINE = "quarantine"  # Unreadable records, due when they are to be deleted.
    DELETION = "deletion"  # Jobs that are to be deleted whatever is written to them; the row's end settles it.
    ERASURE = "erasure"


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
    folders: tuple[str, ...]  # See `nigaoe_core.store.job_records.Erased`.
    is_held: bool
    revision: int
    now: UnixTime


class Verdict(StrEnum):
    """What became of an insertion."""

    STORED = "stored"
    REPLAYED = "replayed"  # The Idempotency-Key is known with the same body, or the deduplication key is.
    CONFLICT = "conflict"  # The Idempotency-Key is known with another body.
    FULL = "full"  # Too many jobs wait, or too long.
    QUOTA = "quota"
    NO_PARENT = "no_parent"  # The job that a restyle is made of is gone.


@dataclass(frozen=True)
class Write:
    """A row and everything that changes with it in one atomic step."""

    job: Job
    rank: float | None  # Place in the queue, smaller first; None: not queued.
    due: Mapping[DueIndex, UnixTime]  # The job's entries; it has no others.
    events: Sequence[tuple[EventKind, dict[str, Any]]] = ()
    erasures: Mapping[str, UnixTime] = field(default_factory=dict)  # To be added to that index.
    is_visible: bool = True  # Whether waiters are woken.

    def document(self) -> dict[str, Any]:
        """The write as ``lua/rows.lua`` reads it."""
        job = self.job
        return {
            "id": job.id,
            "tenant": job.tenant,
            "folder": job.folder,
            "parent": job.parent_id or "",
            "state": job.state.value,
            "has_ended": job.state.is_end,
            "record": job.to_json(),
            "token": str(job.lease.token) if job.lease else "",
            "mark": page_mark(job),
            "rank": self.rank is not None and repr(self.rank),
            "queued_at": repr(job.queued_at),
            "due": exact_times(self.due),
            "events": [[kind.value, json.dumps(data)] for kind, data in self.events],
            "erasures": exact_times(self.erasures),
            "is_visible": self.is_visible,
        }


def write_of(old: Job | None, new: Job, policy: JobPolicy, now: UnixTime) -> Write:
    """Tell all that changes when ``new`` takes the place of ``old``."""
    return Write(
        job=new,
        rank=_rank_of(new),
        due=dict(_due_times_of(new, policy)),
        events=events_of(old, new),
        erasures=_erasures_of(old, new, now),
        is_visible=old is None or old.version != new.version,
    )


def page_mark(job: Job) -> str:
    """Sorts a tenant's jobs by age as text; it is also the cursor of `JobPage`."""
    return f"{round(job.created_at * 1e6):020d}.{job.id}"


def exact_times(times: Mapping[Any, UnixTime]) -> dict[str, str]:
    """Times as text, because Lua would cut the digits of numbers."""
    return {str(name): repr(time) for name, time in times.items()}


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


def _rank_of(job: Job) -> float | None:
    # Urgent first, then old first: a requeued job keeps the place of its age. 1e10 seconds is beyond Unix times
    # before the year 2286, and nine times that still leaves a double 15 microseconds.
    return (9 - job.options.priority) * 1e10 + job.created_at if job.state is JobState.QUEUED else None


def _due_times_of(job: Job, policy: JobPolicy) -> list[tuple[DueIndex, UnixTime]]:
    if job.state is JobState.QUEUED:
        return [(DueIndex.DEADLINE, job.deadline_at), (DueIndex.WAKE_UP, job.queued_at + policy.wake_up_seconds)]
    if job.lease is not None:
        return [(DueIndex.LEASE, job.lease.deadline), (DueIndex.DEADLINE, last_moment(job, policy))]
    entries = [(DueIndex.RETENTION, job.expires_at or 0.0)]
    if job.options.webhook_url is not None:
        entries.append((DueIndex.WEBHOOK, job.ended_at or 0.0))
    return entries


def _erasures_of(old: Job | None, new: Job, now: UnixTime) -> dict[str, UnixTime]:
    if old is None or not new.state.is_end:
        return {}
    if new.state is not JobState.SUCCEEDED:
        return {new.folder + "/": now}
    return {old.blobs[name]: now for name in UPLOADS if name in old.blobs}
