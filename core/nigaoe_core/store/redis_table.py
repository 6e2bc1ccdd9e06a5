"""The job table in Redis or Valkey.

Keys (all behind one hash tag, so that a cluster keeps them in one slot):

=============================  =======================================================================
``job:ID``                     hash: record (JSON), revision, nonce of the last writer, and what must be known without
                               reading the record: tenant, folder, state, token, mark, parent, watched_until, ...
``queue``, ``waiting``         sorted sets of queued jobs: by rank, by the time they began to wait
``agenda:NAME``, ``tries:``    sorted sets of what is due when; how often each entry was taken
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
from collections.abc import Mapping, Sequence
from typing import Any

from typing_extensions import override

from nigaoe_core.jobs import Job, JobState, Seconds, UnixTime
from nigaoe_core.store.contract import Due, QueueReport
from nigaoe_core.store.redis_link import RedisLink
from nigaoe_core.store.table import (
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


class RedisJobTable(JobTable):
    """Rows in Redis; safe to share between threads and processes."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link

    @override
    def now(self) -> UnixTime:
        return _seconds(self._link.call(lambda client: client.time()))

    @override
    def read(self, job_id: str) -> Snapshot | Unreadable | None:
        key = self._link.key("job", job_id)
        time, (record, revision) = self._link.together(
            lambda pipeline: pipeline.time().hmget(key, "record", "revision")
        )
        if revision is None:
            return None
        job = read_record(job_id, record or "", int(revision))
        return job if isinstance(job, Unreadable) else Snapshot(job, int(revision), _seconds(time))

    @override
    def read_many(self, job_ids: Sequence[str]) -> list[Job | Unreadable | None]:
        if not job_ids:
            return []

        def fill(pipeline: Any) -> None:
            for job_id in job_ids:
                pipeline.hmget(self._link.key("job", job_id), "record", "revision")

        return [
            None if revision is None else read_record(job_id, record or "", int(revision))
            for job_id, (record, revision) in zip(job_ids, self._link.together(fill), strict=True)
        ]

    @override
    def facts(self, job_id: str) -> RowFacts | None:
        time, (revision, tenant, folder, mark, token, record) = self._link.together(
            lambda pipeline: pipeline.time().hmget(
                self._link.key("job", job_id), "revision", "tenant", "folder", "mark", "token", "record"
            )
        )
        if revision is None:
            return None
        folders = folders_of(job_id, tenant, folder, mark, record or "")
        return RowFacts(tenant, folders, bool(token), int(revision), _seconds(time))

    @override
    def insert(self, insertion: Insertion) -> Inserted:
        limits = insertion.limits
        verdict, *replayed = self._link.script(
            "insert",
            uuid.uuid4().hex,
            insertion.idempotency_key or "",
            insertion.body_hash,
            insertion.deduplication_key or "",
            *("" if limit is None else limit for limit in (limits.max_queued, limits.max_queue_age, limits.max_active)),
            json.dumps([_plan(write) for write in insertion.writes]),
        )
        ids = replayed[0].split() if replayed else [write.job.id for write in insertion.writes]
        return Inserted(Verdict(verdict), tuple(ids))

    @override
    def swap(self, old: Snapshot, write: Write) -> bool:
        return bool(self._link.script("swap", uuid.uuid4().hex, str(old.revision), json.dumps(_plan(write))))

    @override
    def erase(
        self, job_id: str, revision: int, erasures: Mapping[str, UnixTime], *, with_restyles: bool = False
    ) -> bool:
        asked = "1" if with_restyles else ""
        return bool(self._link.script("erase", job_id, str(revision), json.dumps(_exact(erasures)), asked))

    @override
    def restyles(self, job_id: str) -> list[str]:
        return sorted(self._link.call(lambda client: client.smembers(self._link.key("restyles", job_id))))

    @override
    def quarantine(self, row: Unreadable, seconds: Seconds) -> bool:
        return bool(self._link.script("quarantine", row.job_id, str(row.revision), repr(seconds)))

    @override
    def quarantined(self, limit: int) -> list[str]:
        key = self._link.key("agenda", Agenda.QUARANTINE)
        job_ids: list[str] = self._link.call(lambda client: client.zrandmember(key, limit))
        return job_ids

    @override
    def take_turn(self, name: str, seconds: Seconds) -> bool:
        # The mark tells a repeated call, whose first answer was lost, that the turn is its own.
        key, mark, length = self._link.key("turn", name), uuid.uuid4().hex, max(1, round(seconds * 1000))
        return bool(
            self._link.call(lambda client: client.set(key, mark, nx=True, px=length) or client.get(key) == mark)
        )

    @override
    def take_due(self, agenda: Agenda, *, limit: int, pause: Seconds, max_pause: Seconds) -> list[Due]:
        answer = self._link.script("take_due", agenda.value, limit, pause, max_pause)
        return [Due(member, int(tries)) for member, tries in zip(answer[::2], answer[1::2], strict=True)]

    @override
    def schedule(self, agenda: Agenda, member: str, due: UnixTime) -> None:
        self._link.call(lambda client: client.zadd(self._link.key("agenda", agenda), {member: due}))

    @override
    def settle(self, agenda: Agenda, member: str) -> None:
        self._link.together(
            lambda pipeline: pipeline.zrem(self._link.key("agenda", agenda), member).hdel(
                self._link.key("tries", agenda), member
            )
        )

    @override
    def page(self, tenant: str, *, before: str | None, limit: int) -> list[str]:
        key = self._link.key("tenant", tenant)
        top = f"({before}" if before else "+"
        marks: list[str] = self._link.call(lambda client: client.zrevrangebylex(key, top, "-", start=0, num=limit))
        return marks

    @override
    def rank(self, job_id: str) -> int | None:
        rank: int | None = self._link.call(lambda client: client.zrank(self._link.key("queue"), job_id))
        return rank

    @override
    def queue(self) -> QueueReport:
        key = self._link.key
        time, queued, oldest, states = self._link.together(
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

    @override
    def active(self, tenant: str) -> int:
        return int(self._link.call(lambda client: client.scard(self._link.key("active", tenant))))

    @override
    def put_report(self, report: WorkerReport, seconds: Seconds) -> None:
        key, text, names = self._link.key("worker", report.worker), report.model_dump_json(), self._link.key("workers")
        self._link.together(
            lambda pipeline: pipeline.set(key, text, px=max(1, round(seconds * 1000))).sadd(names, report.worker)
        )

    @override
    def drop_report(self, worker: str) -> None:
        self._link.together(
            lambda pipeline: pipeline.delete(self._link.key("worker", worker)).srem(self._link.key("workers"), worker)
        )

    @override
    def reports(self) -> list[WorkerReport]:
        names = sorted(self._link.call(lambda client: client.smembers(self._link.key("workers"))))
        if not names:
            return []
        texts = self._link.call(lambda client: client.mget([self._link.key("worker", name) for name in names]))
        gone = [name for name, text in zip(names, texts, strict=True) if text is None]
        if gone:
            self._link.call(lambda client: client.srem(self._link.key("workers"), *gone))
        read = [WorkerReport.read(text) for text in texts if text is not None]
        return [report for report in read if report is not None]

    @override
    def close(self) -> None:
        self._link.close()


def _plan(write: Write) -> dict[str, Any]:
    job = write.job
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
        "rank": write.rank is not None and repr(write.rank),
        "queued_at": repr(job.queued_at),
        "agenda": _exact(write.agenda),
        "events": [[kind.value, json.dumps(data)] for kind, data in write.events],
        "erasures": _exact(write.erasures),
        "is_visible": write.is_visible,
    }


def _exact(times: Mapping[Any, UnixTime]) -> dict[str, str]:
    # As text, because Lua would cut the digits of numbers.
    return {str(name): repr(time) for name, time in times.items()}


def _seconds(time: tuple[int, int]) -> UnixTime:
    return time[0] + time[1] / 1e6
