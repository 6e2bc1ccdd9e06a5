"""The job table in this process's memory: for trying out and for tests. It forgets everything at the end.

It keeps the same promises as the one in Redis, which the shared contract tests prove.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from typing_extensions import override

from core.events import EVENT_SECONDS, LAST_EVENTS, MAX_EVENTS, Event, EventKind
from core.job_store.contract import Due, QueueReport
from core.job_store.table import Agenda, Inserted, Insertion, JobTable, Snapshot, Verdict, Write, page_mark
from core.jobs import Job, JobState, Seconds, UnixTime
from core.worker_report import WorkerReport


class _Row(NamedTuple):
    job: Job
    revision: int


class _Idempotency(NamedTuple):
    body_hash: str
    job_ids: tuple[str, ...]


class MemoryJobTable(JobTable):
    """Rows in a dictionary under one lock.

    Args:
        clock: Gives Unix seconds.
    """

    def __init__(self, clock: Callable[[], UnixTime] = time.time) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._rows: dict[str, _Row] = {}
        self._ranks: dict[str, float] = {}
        self._agendas: dict[Agenda, dict[str, UnixTime]] = {agenda: {} for agenda in Agenda}
        self._tries: defaultdict[tuple[Agenda, str], int] = defaultdict(int)
        self._keys: dict[tuple[str, str], _Idempotency] = {}
        self._reports: dict[str, tuple[UnixTime, WorkerReport]] = {}
        self._events: dict[str, tuple[UnixTime, list[Event]]] = {}
        self._watched: dict[str, UnixTime] = {}
        self._last_event = 0
        self.listeners: list[Callable[[str], None]] = []
        """Called with the id of every job that changed, from the thread that changed it."""

    @override
    def now(self) -> UnixTime:
        return self._clock()

    @override
    def read(self, job_id: str) -> Snapshot | None:
        with self._lock:
            row = self._rows.get(job_id)
            return Snapshot(row.job, row.revision, self.now()) if row else None

    @override
    def read_many(self, job_ids: Sequence[str]) -> list[Job | None]:
        with self._lock:
            rows = [self._rows.get(job_id) for job_id in job_ids]
        return [row.job if row else None for row in rows]

    @override
    def insert(self, insertion: Insertion) -> Inserted:
        with self._lock:
            refusal = self._refusal(insertion)
            if refusal:
                return refusal
            ids = tuple(write.job.id for write in insertion.writes)
            for write in insertion.writes:
                self._put(write, revision=1)
            if insertion.idempotency_key:
                key = (insertion.writes[0].job.tenant, insertion.idempotency_key)
                self._keys[key] = _Idempotency(insertion.body_hash, ids)
        self._announce(insertion.writes)
        return Inserted(Verdict.STORED, ids)

    def _refusal(self, insertion: Insertion) -> Inserted | None:
        first, limits, count = insertion.writes[0].job, insertion.limits, len(insertion.writes)
        if first.id in self._rows:
            return Inserted(Verdict.STORED, tuple(write.job.id for write in insertion.writes))
        known = self._keys.get((first.tenant, insertion.idempotency_key or ""))
        if known:
            is_same = known.body_hash == insertion.body_hash
            return Inserted(Verdict.REPLAYED, known.job_ids) if is_same else Inserted(Verdict.CONFLICT)
        queue = self.queue()
        if limits.max_queued is not None and queue.queued + count > limits.max_queued:
            return Inserted(Verdict.FULL)
        if limits.max_queue_age is not None and queue.oldest_age > limits.max_queue_age:
            return Inserted(Verdict.FULL)
        if limits.max_active is not None and self.active(first.tenant) + count > limits.max_active:
            return Inserted(Verdict.QUOTA)
        return None

    @override
    def swap(self, old: Snapshot, write: Write) -> bool:
        with self._lock:
            row = self._rows.get(write.job.id)
            if row is None or row.revision != old.revision:
                return False
            self._put(write, revision=row.revision + 1)
        self._announce([write])
        return True

    def _put(self, write: Write, *, revision: int) -> None:
        job_id = write.job.id
        # There and back through JSON, so that this table hands out exactly what a database would.
        self._rows[job_id] = _Row(Job.from_json(write.job.to_json()), revision)
        self._leave(job_id)
        if write.rank is not None:
            self._ranks[job_id] = write.rank
        for agenda, due in write.agenda.items():
            self._agendas[agenda][job_id] = due
        self._schedule_erasures(write.erasures)
        for kind, data in write.events:
            self.add_event(job_id, kind, data, keep=LAST_EVENTS if write.job.state.is_end else MAX_EVENTS)

    def _leave(self, job_id: str) -> None:
        self._ranks.pop(job_id, None)
        for agenda in Agenda:
            if agenda is not Agenda.ERASURE:
                self.settle(agenda, job_id)

    def _schedule_erasures(self, erasures: Mapping[str, UnixTime]) -> None:
        for member, due in erasures.items():
            self.settle(Agenda.ERASURE, member)
            self._agendas[Agenda.ERASURE][member] = due

    def _announce(self, writes: Sequence[Write]) -> None:
        for write in writes:
            if write.is_visible:
                self.announce(write.job.id)

    def announce(self, job_id: str) -> None:
        """Tell all listeners that a job changed."""
        for listener in list(self.listeners):
            listener(job_id)

    @override
    def erase(self, old: Snapshot, erasures: Mapping[str, UnixTime]) -> bool:
        job_id = old.job.id
        with self._lock:
            row = self._rows.get(job_id)
            if row is None:
                return True
            if row.revision != old.revision:
                return False
            del self._rows[job_id]
            self._events.pop(job_id, None)
            self._watched.pop(job_id, None)
            self._leave(job_id)
            self._schedule_erasures(erasures)
            self._keys = {key: known for key, known in self._keys.items() if not self._rows.keys().isdisjoint(known[1])}
        self.announce(job_id)
        return True

    @override
    def take_due(self, agenda: Agenda, *, limit: int, pause: Seconds, max_pause: Seconds) -> list[Due]:
        with self._lock:
            now, entries = self.now(), self._agendas[agenda]
            due = sorted((time, member) for member, time in entries.items() if time <= now)[:limit]
            for _, member in due:
                self._tries[agenda, member] += 1
                entries[member] = now + min(max_pause, pause * 2.0 ** min(self._tries[agenda, member] - 1, 40))
            return [Due(member, self._tries[agenda, member]) for _, member in due]

    @override
    def settle(self, agenda: Agenda, member: str) -> None:
        with self._lock:
            self._agendas[agenda].pop(member, None)
            self._tries.pop((agenda, member), None)

    @override
    def page(self, tenant: str, *, before: str | None, limit: int) -> list[str]:
        marks = sorted((page_mark(job) for job in self._jobs() if job.tenant == tenant), reverse=True)
        return [mark for mark in marks if before is None or mark < before][:limit]

    def _jobs(self) -> list[Job]:
        with self._lock:
            return [row.job for row in self._rows.values()]

    @override
    def rank(self, job_id: str) -> int | None:
        with self._lock:
            order = sorted(self._ranks, key=lambda other: (self._ranks[other], other))
        return order.index(job_id) if job_id in order else None

    @override
    def queue(self) -> QueueReport:
        with self._lock:
            now, jobs = self.now(), self._jobs()
        counts = {state: sum(job.state is state for job in jobs) for state in JobState}
        waiting = [job.queued_at for job in jobs if job.state is JobState.QUEUED]
        age = max(0.0, now - min(waiting)) if waiting else 0.0
        return QueueReport(counts[JobState.QUEUED], counts[JobState.RUNNING], age, counts)

    @override
    def active(self, tenant: str) -> int:
        return sum(job.tenant == tenant and not job.state.is_end for job in self._jobs())

    @override
    def put_report(self, report: WorkerReport, seconds: Seconds) -> None:
        with self._lock:
            self._reports[report.worker] = (self.now() + seconds, report)

    @override
    def drop_report(self, worker: str) -> None:
        with self._lock:
            self._reports.pop(worker, None)

    @override
    def reports(self) -> list[WorkerReport]:
        with self._lock:
            now = self.now()
            self._reports = {name: entry for name, entry in self._reports.items() if entry[0] > now}
            return [self._reports[name][1] for name in sorted(self._reports)]

    def add_event(self, job_id: str, kind: EventKind, data: Mapping[str, object], *, keep: int = MAX_EVENTS) -> None:
        """Append an event to a job's log."""
        with self._lock:
            self._last_event += 1
            event = Event(f"{self._last_event}-0", kind, dict(data))
            self._events[job_id] = (self.now() + EVENT_SECONDS, [*self.events(job_id), event][-keep:])

    def events(self, job_id: str) -> list[Event]:
        """A job's log."""
        with self._lock:
            until, events = self._events.get(job_id, (0.0, []))
            return list(events) if until > self.now() else []

    def watch(self, job_id: str, seconds: Seconds) -> None:
        """Let a job that has a row count as watched for a while."""
        with self._lock:
            if job_id in self._rows:
                self._watched[job_id] = self.now() + seconds

    def is_watched(self, job_id: str) -> bool:
        """Whether a job counts as watched."""
        with self._lock:
            return self._watched.get(job_id, 0.0) > self.now()

    def is_held(self, job_id: str, token: int) -> bool:
        """Whether the job runs under this fencing token."""
        snapshot = self.read(job_id)
        return snapshot is not None and snapshot.job.lease is not None and snapshot.job.lease.token == token

    @override
    def close(self) -> None:
        """Keep everything: another store over the same table may still use it."""
