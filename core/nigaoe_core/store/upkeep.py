"""Repairing what vanished processes left behind, and handing out what is due."""

from collections.abc import Collection
from typing import Final

import structlog
from typing_extensions import override

from nigaoe_core.errors import StorageError, UnknownJob, UnreadableJob
from nigaoe_core.jobs import Job, JobState, Seconds
from nigaoe_core.store.contract import Doorbell, Due, JobUpkeep, Repairs, WorkerBoard
from nigaoe_core.store.ledger import Ledger
from nigaoe_core.store.lifecycle import repaired
from nigaoe_core.store.table import Agenda, Snapshot, known_ids, write_of
from nigaoe_core.worker_report import WorkerReport

LONGEST_PAUSE: Final = 3600.0
REPAIR_PAUSE: Final = 2.0
"""Should the reaper die between taking an entry and repairing its job, another takes the entry after this."""

WHERE: Final = "repairs"
"""Where unexpected errors of repairing a job are counted."""

_log = structlog.get_logger(__name__)


class LedgerUpkeep(Ledger, JobUpkeep, WorkerBoard):
    """`JobUpkeep` and `WorkerBoard` over a table."""

    @override
    def requeue_expired(self, limit: int = 100) -> Repairs:
        repairs = [
            job
            for agenda in (Agenda.LEASE, Agenda.DEADLINE)
            for due in self._take(agenda, limit, REPAIR_PAUSE)
            if (job := self._repaired(agenda, due.member)) is not None
        ]
        return Repairs(
            requeued=tuple(job for job in repairs if job.state is JobState.QUEUED),
            ended=tuple(job for job in repairs if job.state.is_end),
        )

    def _repaired(self, agenda: Agenda, job_id: str) -> Job | None:
        try:
            return self._repair(agenda, job_id)
        except StorageError:
            raise  # The store is away, for all of them.
        except Exception as error:  # noqa: BLE001 - a job that cannot be repaired must not keep others from it.
            self.errors.record(WHERE, error)
            return None

    def _repair(self, agenda: Agenda, job_id: str) -> Job | None:
        before: list[Job] = []

        def rule(job: Job, now: float) -> Job:
            before[:] = [job]
            return repaired(job, now, self.policy)

        try:
            job = self.change(job_id, rule)
        except UnknownJob:
            self.table.settle(agenda, job_id)
            return None
        except UnreadableJob:
            return None  # It is in quarantine now, and off this agenda.
        return job if job is not before[0] else None

    @override
    def due_doorbells(self, limit: int = 100) -> list[Doorbell]:
        jobs = self._due_jobs(Agenda.DOORBELL, limit, self.policy.doorbell_seconds)
        return [
            Doorbell(job.id, job.attempt, job.options.priority, job.kind)
            for job, _ in jobs
            if job.state is JobState.QUEUED
        ]

    @override
    def due_webhooks(self, limit: int = 20) -> list[tuple[Job, int]]:
        return self._due_jobs(Agenda.WEBHOOK, limit, self.policy.webhook_pause_seconds)

    @override
    def settle_webhook(self, job_id: str) -> None:
        self.table.settle(Agenda.WEBHOOK, job_id)

    @override
    def due_erasures(self, limit: int = 100) -> list[Due]:
        return self._take(Agenda.ERASURE, limit, self.policy.lease_seconds)

    @override
    def schedule_erasure(self, member: str, seconds: Seconds) -> None:
        self.table.schedule(Agenda.ERASURE, member, self.table.now() + seconds)

    @override
    def settle_erasure(self, member: str) -> None:
        self.table.settle(Agenda.ERASURE, member)

    @override
    def due_retention(self, limit: int = 100) -> list[str]:
        return [
            due.member
            for agenda in (Agenda.RETENTION, Agenda.DELETION, Agenda.QUARANTINE)
            for due in self._due_rows(agenda, limit)
        ]

    def _due_rows(self, agenda: Agenda, limit: int) -> list[Due]:
        """Like `_due_jobs`, for those who need no record."""
        due = self._take(agenda, limit, self.policy.lease_seconds)
        known = known_ids(self.table, [entry.member for entry in due])
        for entry in due:
            if entry.member not in known:
                self.table.settle(agenda, entry.member)
        return [entry for entry in due if entry.member in known]

    @override
    def readmit(self, limit: int = 100) -> list[str]:
        return [job_id for job_id in self.table.quarantined(limit) if self._readmitted(job_id)]

    def _readmitted(self, job_id: str) -> bool:
        row = self.table.read(job_id)
        # Writing a row as it is puts it back on all agendas.
        is_back = isinstance(row, Snapshot) and self.table.swap(row, write_of(row.job, row.job, self.policy, row.now))
        if is_back:
            _log.warning("job.readmitted", job_id=job_id)
        return is_back

    @override
    def quarantined(self, limit: int = 100) -> list[str]:
        return sorted(self.table.quarantined(limit))

    @override
    def take_turn(self, name: str, seconds: Seconds) -> bool:
        return self.table.take_turn(name, seconds)

    @override
    def known(self, job_ids: Collection[str]) -> set[str]:
        return known_ids(self.table, job_ids)

    @override
    def report_worker(self, report: WorkerReport, *, seconds: Seconds) -> None:
        self.table.put_report(report, seconds)

    @override
    def withdraw_worker(self, worker: str) -> None:
        self.table.drop_report(worker)

    @override
    def workers(self) -> list[WorkerReport]:
        return self.table.reports()

    def _take(self, agenda: Agenda, limit: int, pause: Seconds) -> list[Due]:
        return self.table.take_due(agenda, limit=limit, pause=pause, max_pause=LONGEST_PAUSE)

    def _due_jobs(self, agenda: Agenda, limit: int, pause: Seconds) -> list[tuple[Job, int]]:
        due = self._take(agenda, limit, pause)
        jobs = self.read_jobs([entry.member for entry in due])
        for entry, job in zip(due, jobs, strict=True):
            if job is None:  # Gone, or in quarantine, which takes it off this agenda, too.
                self.table.settle(agenda, entry.member)
        return [(job, entry.tries) for entry, job in zip(due, jobs, strict=True) if job is not None]
