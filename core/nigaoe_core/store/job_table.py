"""Job rows and their indexes in Redis or Valkey: reading, compare-and-set, due entries, counts, worker reports.

Keys (all behind one hash tag, so that a cluster keeps them in one slot):

=============================  =======================================================================
``job:ID``                     hash: record (JSON), revision, nonce of the last writer, and what must be known without
                               reading the record: tenant, folder, state, token, mark, parent, watched_until, ...
``queue``, ``waiting``         sorted sets of queued jobs: by rank, by the time they began to wait
``agenda:NAME``, ``tries:``    due indexes: sorted sets of what is due when; how often each entry was taken
``tenant:T``, ``active:T``     sorted set of page marks; set of unfinished jobs
``idempotency:T:HASH``         hash: body hash and the jobs of an Idempotency-Key
``restyles:ID``                set of the restyles made of a job; it may outlive the job
``states``                     hash: stored jobs by state, and how many records are in quarantine
``turn:NAME``                  somebody does this at the moment, expires by itself
``events:ID``                  stream of a job's events
``worker:ID``                  a worker's report, expires by itself; ``workers`` names them
``changes``                    channel on which ids of changed jobs are published
=============================  =======================================================================

A write is a script that replaces the row only at the revision that was read (compare-and-set) and moves the indexes in
the same step. Each write carries a nonce, so that a write whose reply was lost is recognised when it is repeated.
"""

import json
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import structlog

from nigaoe_core.errors import StoreUnavailable, UnknownJob, UnreadableJob
from nigaoe_core.jobs import Job, JobState, Seconds, UnixTime
from nigaoe_core.store.job_records import AdmissionLimits, Due, QueueReport
from nigaoe_core.store.job_rows import (
    QUARANTINED,
    DueIndex,
    RowFacts,
    Snapshot,
    Unreadable,
    Verdict,
    Write,
    exact_times,
    folders_of,
    read_record,
    write_of,
)
from nigaoe_core.store.lifecycle import JobPolicy
from nigaoe_core.worker_report import WorkerReport

if TYPE_CHECKING:
    # The rules above this table can be imported where no Redis client is installed.
    from nigaoe_core.store.redis_link import RedisLink

MAX_ROUNDS: Final = 100
"""A job has a handful of writers, of which one wins every round; losing a hundred in a row does not happen."""

LONGEST_PAUSE: Final = 3600.0
"""Seconds after which a due entry that is never settled comes again, at most."""

Rule = Callable[[Job, UnixTime], Job]
"""A job as it is and the table's time in, the job as it shall be out."""

_log = structlog.get_logger(__name__)


class JobTable:
    """Job rows in Redis. Safe to share between threads and processes.

    Every method may be repeated without harm when its answer was lost, and raises `StoreUnavailable` while Redis is
    away.

    Args:
        link: The connection.
        policy: The operator's choices.
    """

    def __init__(self, link: "RedisLink", policy: JobPolicy) -> None:
        self.link = link
        self.policy = policy

    def now(self) -> UnixTime:
        """The store's clock."""
        return _seconds(self.link.call(lambda client: client.time()))

    def check(self) -> None:
        """See whether the store answers (for ``/readyz`` and ``nigaoe doctor``).

        Raises:
            StoreUnavailable: It does not answer.
        """
        self.now()

    def close(self) -> None:
        """Close the connections."""
        self.link.close()

    # Rows.

    def change(self, job_id: str, rule: Rule, *, tenant: str | None = None) -> Job:
        """Apply a rule to a job as it is now; a rule that returns its own job, or raises, stores nothing.

        Raises:
            UnknownJob: There is no such job.
            UnreadableJob: As in `find`.
            NigaoeError: Whatever the rule raises.
        """
        for _ in range(MAX_ROUNDS):
            old = self.find(job_id, tenant=tenant)
            new = rule(old.job, old.now)
            if new is old.job or self.replace_row(old, write_of(old.job, new, self.policy, old.now)):
                return new
        raise StoreUnavailable("Too many processes change this job at once: try again.")

    def find(self, job_id: str, *, tenant: str | None = None) -> Snapshot:
        """Read a row that must exist.

        Raises:
            UnknownJob: It does not, or is another tenant's.
            UnreadableJob: Its record cannot be read; it is in quarantine now.
        """
        row = self.read_row(job_id)
        if isinstance(row, Unreadable):
            self._quarantine(row)
            facts = self.row_facts(job_id)
            if facts is not None and tenant in (None, facts.tenant):
                raise UnreadableJob(
                    "This job's record cannot be read by the version of Nigaoe that runs here; it can still be deleted."
                )
            row = None
        if row is None or tenant not in (None, row.job.tenant):
            raise UnknownJob("There is no such job: it was never made, was deleted, or its time is over.")
        return row

    def read_jobs(self, job_ids: Sequence[str]) -> list[Job | None]:
        """Read jobs in the order asked for. One that cannot be read goes into quarantine and is left out, as None.

        Every batch of rows is read here, so that one broken record never stands between its neighbours and their due.
        """
        rows = self._read_rows(job_ids)
        for row in rows:
            if isinstance(row, Unreadable):
                self._quarantine(row)
        return [None if isinstance(row, Unreadable) else row for row in rows]

    def known(self, job_ids: Collection[str]) -> set[str]:
        """Which of these ids have a row, readable or not."""
        ordered = list(job_ids)
        return {job_id for job_id, row in zip(ordered, self._read_rows(ordered), strict=True) if row is not None}

    def read_row(self, job_id: str) -> Snapshot | Unreadable | None:
        """Read one row and the time."""
        key = self.link.key("job", job_id)
        time, (record, revision) = self.link.together(lambda pipeline: pipeline.time().hmget(key, "record", "revision"))
        if revision is None:
            return None
        job = read_record(job_id, record or "", int(revision))
        return job if isinstance(job, Unreadable) else Snapshot(job, int(revision), _seconds(time))

    def _read_rows(self, job_ids: Sequence[str]) -> list[Job | Unreadable | None]:
        if not job_ids:
            return []

        def fill(pipeline: Any) -> None:
            for job_id in job_ids:
                pipeline.hmget(self.link.key("job", job_id), "record", "revision")

        return [
            None if revision is None else read_record(job_id, record or "", int(revision))
            for job_id, (record, revision) in zip(job_ids, self.link.together(fill), strict=True)
        ]

    def row_facts(self, job_id: str) -> RowFacts | None:
        """Read what one row says outside its record."""
        time, (revision, tenant, folder, mark, token, record) = self.link.together(
            lambda pipeline: pipeline.time().hmget(
                self.link.key("job", job_id), "revision", "tenant", "folder", "mark", "token", "record"
            )
        )
        if revision is None:
            return None
        folders = folders_of(job_id, tenant, folder, mark, record or "")
        return RowFacts(tenant, folders, bool(token), int(revision), _seconds(time))

    def insert_rows(
        self,
        writes: Sequence[Write],
        *,
        idempotency_key: str = "",
        body_hash: str = "",
        deduplication_key: str = "",
        limits: AdmissionLimits,
    ) -> tuple[Verdict, list[str]]:
        """Store new rows of one tenant if keys and limits allow it: all or none. Rows already there count as stored.

        Args:
            writes: One for each row.
            idempotency_key: Hashed; empty for none.
            body_hash: What the key was sent with.
            deduplication_key: Hashed; empty for none. Only of a single row.
            limits: Above which nothing is stored.

        Returns:
            What became of it, and the ids of the stored or replayed jobs.
        """
        verdict, *replayed = self.link.script(
            "insert",
            uuid.uuid4().hex,
            idempotency_key,
            body_hash,
            deduplication_key,
            *("" if limit is None else limit for limit in (limits.max_queued, limits.max_queue_age, limits.max_active)),
            json.dumps([write.document() for write in writes]),
        )
        return Verdict(verdict), replayed[0].split() if replayed else [write.job.id for write in writes]

    def replace_row(self, old: Snapshot, write: Write) -> bool:
        """Replace a row; False if it is not at the old revision any more."""
        return bool(self.link.script("swap", uuid.uuid4().hex, str(old.revision), json.dumps(write.document())))

    def erase_row(
        self, job_id: str, revision: int, erasures: Mapping[str, UnixTime], *, with_restyles: bool = False
    ) -> bool:
        """Remove a row, its events and its indexes; False if it is not at this revision any more.

        With restyles, those made of it are put into the index of deletions in the same step.
        """
        asked = "1" if with_restyles else ""
        return bool(self.link.script("erase", job_id, str(revision), json.dumps(exact_times(erasures)), asked))

    def restyles_of(self, job_id: str) -> list[str]:
        """The ids of the restyles made of a job, whether or not it is still there."""
        return sorted(self.link.call(lambda client: client.smembers(self.link.key("restyles", job_id))))

    def _quarantine(self, row: Unreadable) -> None:
        seconds = repr(self.policy.retention_seconds)
        if self.link.script("quarantine", row.job_id, str(row.revision), seconds):
            _log.error("job.quarantined", job_id=row.job_id)

    # What is due.

    def take_due(self, index: DueIndex, *, limit: int, pause: Seconds, max_pause: Seconds = LONGEST_PAUSE) -> list[Due]:
        """Take due entries; until it is settled, each comes again after ``pause``, twice that, up to ``max_pause``."""
        answer = self.link.script("take_due", index.value, limit, pause, max_pause)
        return [Due(member, int(tries)) for member, tries in zip(answer[::2], answer[1::2], strict=True)]

    def schedule(self, index: DueIndex, member: str, due: UnixTime) -> None:
        """Put an entry into an index, or move it to another time."""
        self.link.call(lambda client: client.zadd(self.link.key("agenda", index), {member: due}))

    def settle(self, index: DueIndex, member: str) -> None:
        """Remove an entry."""
        entries, tries = self.link.key("agenda", index), self.link.key("tries", index)
        self.link.together(lambda pipeline: pipeline.zrem(entries, member).hdel(tries, member))

    def quarantined(self, limit: int = 100) -> list[str]:
        """The ids of some jobs in quarantine, sorted; others each time if there are more."""
        key = self.link.key("agenda", DueIndex.QUARANTINE)
        return sorted(self.link.call(lambda client: client.zrandmember(key, limit)))

    def take_turn(self, name: str, seconds: Seconds) -> bool:
        """Ask to be the one process that does something for so long; False: another has taken this turn."""
        # The mark tells a repeated call, whose first answer was lost, that the turn is its own.
        key, mark, length = self.link.key("turn", name), uuid.uuid4().hex, max(1, round(seconds * 1000))
        return bool(self.link.call(lambda client: client.set(key, mark, nx=True, px=length) or client.get(key) == mark))

    # Pages and counts.

    def page_marks(self, tenant: str, *, before: str | None, limit: int) -> list[str]:
        """Read a tenant's page marks (`nigaoe_core.store.job_rows.page_mark`) below ``before``, greatest first."""
        key = self.link.key("tenant", tenant)
        top = f"({before}" if before else "+"
        marks: list[str] = self.link.call(lambda client: client.zrevrangebylex(key, top, "-", start=0, num=limit))
        return marks

    def position(self, job_id: str) -> int | None:
        """How many queued jobs run before this one; None when it is not queued."""
        rank: int | None = self.link.call(lambda client: client.zrank(self.link.key("queue"), job_id))
        return rank

    def queue(self) -> QueueReport:
        """Count the queue."""
        key = self.link.key
        time, queued, oldest, states = self.link.together(
            lambda pipeline: (
                pipeline.time().zcard(key("queue")).zrange(key("waiting"), 0, 0, withscores=True).hgetall(key("states"))
            )
        )
        counts = {state: int(states.get(state, 0)) for state in JobState}
        age = max(0.0, _seconds(time) - oldest[0][1]) if oldest else 0.0
        return QueueReport(
            queued=queued,
            running=counts[JobState.RUNNING],
            oldest_age=age,
            states=counts,
            quarantined=int(states.get(QUARANTINED, 0)),
        )

    def active_jobs(self, tenant: str) -> int:
        """How many unfinished jobs a tenant has."""
        return int(self.link.call(lambda client: client.scard(self.link.key("active", tenant))))

    # Worker reports.

    def report_worker(self, report: WorkerReport, *, seconds: Seconds) -> None:
        """Show a worker's state to everyone for this long."""
        key, text, names = self.link.key("worker", report.worker), report.model_dump_json(), self.link.key("workers")
        self.link.together(
            lambda pipeline: pipeline.set(key, text, px=max(1, round(seconds * 1000))).sadd(names, report.worker)
        )

    def withdraw_worker(self, worker: str) -> None:
        """Remove a worker's report at once, because the worker ends."""
        self.link.together(
            lambda pipeline: pipeline.delete(self.link.key("worker", worker)).srem(self.link.key("workers"), worker)
        )

    def workers(self) -> list[WorkerReport]:
        """The reports that are still valid, sorted by worker."""
        names = sorted(self.link.call(lambda client: client.smembers(self.link.key("workers"))))
        if not names:
            return []
        texts = self.link.call(lambda client: client.mget([self.link.key("worker", name) for name in names]))
        gone = [name for name, text in zip(names, texts, strict=True) if text is None]
        if gone:
            self.link.call(lambda client: client.srem(self.link.key("workers"), *gone))
        read = [WorkerReport.read(text) for text in texts if text is not None]
        return [report for report in read if report is not None]


def _seconds(time: tuple[int, int]) -> UnixTime:
    return time[0] + time[1] / 1e6
