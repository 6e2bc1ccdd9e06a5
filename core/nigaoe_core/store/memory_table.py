"""The job table in this process's memory: for trying out and for tests. It forgets everything at the end.

It keeps the same promises as the one in Redis, which the shared contract tests prove.
"""

import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from typing_extensions import override

from nigaoe_core.jobs import Job, JobState, Seconds, UnixTime
from nigaoe_core.store.contract import Due, QueueReport
from nigaoe_core.store.events import EVENT_SECONDS, LAST_EVENTS, MAX_EVENTS, Event, EventKind
from nigaoe_core.store.table import (
    FOLLOWS_ROW,
    QUARANTINED,
    Agenda,
    Inserted,
    Insertion,
    JobTable,
    RowFacts,
    Snapshot,
    Unreadable,
    Verdict,
    Write,
    folders_of,
    page_mark,
    read_record,
)
from nigaoe_core.worker_report import WorkerReport


@dataclass
class _Row:
    record: str
    revision: int
    state: str
    has_ended: bool
    tenant: str
    folder: str
    mark: str
    parent: str | None
    token: int | None
    queued_at: UnixTime
    owes_webhook: bool = False


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
        self._restyles: defaultdict[str, set[str]] = defaultdict(set)
        self._turns: dict[str, UnixTime] = {}
        self._same: dict[tuple[str, str], str] = {}  # Deduplication keys.
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
    def read(self, job_id: str) -> Snapshot | Unreadable | None:
        with self._lock:
            row, now = self._rows.get(job_id), self.now()
            if row is None:
                return None
            job = read_record(job_id, row.record, row.revision)
            return job if isinstance(job, Unreadable) else Snapshot(job, row.revision, now)

    @override
    def read_many(self, job_ids: Sequence[str]) -> list[Job | Unreadable | None]:
        with self._lock:
            rows = [(job_id, self._rows.get(job_id)) for job_id in job_ids]
            return [read_record(job_id, row.record, row.revision) if row else None for job_id, row in rows]

    @override
    def facts(self, job_id: str) -> RowFacts | None:
        with self._lock:
            row = self._rows.get(job_id)
            if row is None:
                return None
            folders = folders_of(job_id, row.tenant, row.folder, row.mark, row.record)
            return RowFacts(row.tenant, folders, row.token is not None, row.revision, self.now())

    @override
    def insert(self, insertion: Insertion) -> Inserted:
        with self._lock:
            refusal = self._refusal(insertion)
            if refusal:
                return refusal
            ids = tuple(write.job.id for write in insertion.writes)
            for write in insertion.writes:
                self._put(write, revision=1)
                if write.job.parent_id is not None:
                    self._restyles[write.job.parent_id].add(write.job.id)
            self._bind(insertion, ids)
            if insertion.deduplication_key:
                self._same[insertion.writes[0].job.tenant, insertion.deduplication_key] = ids[0]
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
        parents = [write.job.parent_id for write in insertion.writes if write.job.parent_id is not None]
        if not self._rows.keys() >= set(parents):
            return Inserted(Verdict.NO_PARENT)
        known_id = self._same.get((first.tenant, insertion.deduplication_key or ""), "")
        same = self._rows.get(known_id)
        if same and same.state in (JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED):
            self._bind(insertion, (known_id,))
            return Inserted(Verdict.REPLAYED, (known_id,))
        queue = self.queue()
        if limits.max_queued is not None and queue.queued + count > limits.max_queued:
            return Inserted(Verdict.FULL)
        if limits.max_queue_age is not None and queue.oldest_age > limits.max_queue_age:
            return Inserted(Verdict.FULL)
        if limits.max_active is not None and self.active(first.tenant) + count > limits.max_active:
            return Inserted(Verdict.QUOTA)
        return None

    def _bind(self, insertion: Insertion, ids: tuple[str, ...]) -> None:
        if insertion.idempotency_key:
            key = (insertion.writes[0].job.tenant, insertion.idempotency_key)
            self._keys[key] = _Idempotency(insertion.body_hash, ids)

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
        job, job_id, old = write.job, write.job.id, self._rows.get(write.job.id)
        agenda = dict(write.agenda)
        if old is not None and old.state == QUARANTINED and write.job.state.is_end and not write.is_visible:
            # What was settled before the quarantine is not owed again.
            agenda = {name: due for name, due in agenda.items() if name is not Agenda.WEBHOOK or old.owes_webhook}
        # As text, so that this table hands out exactly what a database would.
        self._rows[job_id] = _Row(
            record=job.to_json(),
            revision=revision,
            state=job.state.value,
            has_ended=job.state.is_end,
            tenant=job.tenant,
            folder=job.folder,
            mark=page_mark(job),
            parent=job.parent_id,
            token=job.lease.token if job.lease else None,
            queued_at=job.queued_at,
        )
        self._leave(job_id)
        if write.rank is not None:
            self._ranks[job_id] = write.rank
        for name, due in agenda.items():
            self._agendas[name][job_id] = due
        self._schedule_erasures(write.erasures)
        for kind, data in write.events:
            self.add_event(job_id, kind, data, keep=LAST_EVENTS if write.job.state.is_end else MAX_EVENTS)

    def _leave(self, job_id: str) -> None:
        self._ranks.pop(job_id, None)
        for agenda in FOLLOWS_ROW:
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
    def erase(
        self, job_id: str, revision: int, erasures: Mapping[str, UnixTime], *, with_restyles: bool = False
    ) -> bool:
        with self._lock:
            row = self._rows.get(job_id)
            if row is None:
                return True
            if row.revision != revision:
                return False
            del self._rows[job_id]
            self.settle(Agenda.DELETION, job_id)
            if row.parent is not None:
                self._restyles[row.parent].discard(job_id)
                if not self._restyles[row.parent]:
                    del self._restyles[row.parent]
            if with_restyles:
                self._agendas[Agenda.DELETION].update(dict.fromkeys(self.restyles(job_id), self.now()))
            self._events.pop(job_id, None)
            self._watched.pop(job_id, None)
            self._leave(job_id)
            self._schedule_erasures(erasures)
            self._keys = {key: known for key, known in self._keys.items() if not self._rows.keys().isdisjoint(known[1])}
            self._same = {key: known for key, known in self._same.items() if known != job_id}
        self.announce(job_id)
        return True

    @override
    def restyles(self, job_id: str) -> list[str]:
        with self._lock:
            return sorted(self._restyles.get(job_id, ()))

    @override
    def quarantine(self, row: Unreadable, seconds: Seconds) -> bool:
        with self._lock:
            found = self._rows.get(row.job_id)
            if found is None or found.revision != row.revision or found.state == QUARANTINED:
                return False
            found.owes_webhook = row.job_id in self._agendas[Agenda.WEBHOOK]
            found.state = QUARANTINED
            self._leave(row.job_id)
            self._agendas[Agenda.QUARANTINE][row.job_id] = self.now() + seconds
            return True

    @override
    def quarantined(self, limit: int) -> list[str]:
        with self._lock:
            job_ids = list(self._agendas[Agenda.QUARANTINE])
        return random.sample(job_ids, min(limit, len(job_ids)))

    @override
    def take_turn(self, name: str, seconds: Seconds) -> bool:
        with self._lock:
            if self._turns.get(name, 0.0) > self.now():
                return False
            self._turns[name] = self.now() + seconds
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
    def schedule(self, agenda: Agenda, member: str, due: UnixTime) -> None:
        with self._lock:
            self._agendas[agenda][member] = due

    @override
    def settle(self, agenda: Agenda, member: str) -> None:
        with self._lock:
            self._agendas[agenda].pop(member, None)
            self._tries.pop((agenda, member), None)

    @override
    def page(self, tenant: str, *, before: str | None, limit: int) -> list[str]:
        marks = sorted((row.mark for row in self._listed() if row.tenant == tenant), reverse=True)
        return [mark for mark in marks if before is None or mark < before][:limit]

    def _listed(self) -> list[_Row]:
        with self._lock:
            return [row for row in self._rows.values() if row.state != QUARANTINED]

    @override
    def rank(self, job_id: str) -> int | None:
        with self._lock:
            order = sorted(self._ranks, key=lambda other: (self._ranks[other], other))
        return order.index(job_id) if job_id in order else None

    @override
    def queue(self) -> QueueReport:
        with self._lock:
            now, rows, quarantined = self.now(), self._listed(), len(self._agendas[Agenda.QUARANTINE])
        counts = {state: sum(row.state == state for row in rows) for state in JobState}
        waiting = [row.queued_at for row in rows if row.state == JobState.QUEUED]
        age = max(0.0, now - min(waiting)) if waiting else 0.0
        return QueueReport(counts[JobState.QUEUED], counts[JobState.RUNNING], age, counts, quarantined)

    @override
    def active(self, tenant: str) -> int:
        return sum(row.tenant == tenant and not row.has_ended for row in self._listed())

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
        with self._lock:
            row = self._rows.get(job_id)
            return row is not None and row.token == token

    @override
    def close(self) -> None:
        """Keep everything: another store over the same table may still use it."""
