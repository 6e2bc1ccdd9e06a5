"""Ordering, reading, cancelling and deleting jobs."""

import hashlib
import math
import re
from collections.abc import Sequence

from typing_extensions import override

from nigaoe_core.errors import IdempotencyConflict, QueueFull, QuotaExceeded, StoreUnavailable, UnknownJob, UsageError
from nigaoe_core.jobs import Job, Seconds, UnixTime
from nigaoe_core.store.contract import AdmissionLimits, Erased, Idempotency, JobDesk, JobPage, QueueReport, Submission
from nigaoe_core.store.ledger import MAX_ROUNDS, Ledger
from nigaoe_core.store.lifecycle import cancel_asked, submitted
from nigaoe_core.store.table import Insertion, Verdict, page_mark, write_of

_CURSOR = re.compile(r"\d{20}\.[0-9a-f-]{36}")


class LedgerDesk(Ledger, JobDesk):
    """`JobDesk` over a table."""

    @override
    def now(self) -> UnixTime:
        return self.table.now()

    @override
    def submit(
        self,
        jobs: Sequence[Job],
        *,
        idempotency: Idempotency | None = None,
        limits: AdmissionLimits | None = None,
        deduplication_key: str | None = None,
    ) -> Submission:
        if not jobs:
            raise UsageError("A submission needs at least one job.")
        if deduplication_key is not None and len(jobs) > 1:
            raise UsageError("A deduplication key names one job.")
        now = self.table.now()
        stamped = [submitted(job, now, self.policy) for job in jobs]
        inserted = self.table.insert(
            Insertion(
                writes=tuple(write_of(None, job, self.policy, now) for job in stamped),
                idempotency_key=_hashed(idempotency.key) if idempotency else None,
                body_hash=idempotency.body_hash if idempotency else "",
                deduplication_key=_hashed(deduplication_key) if deduplication_key else None,
                limits=limits or AdmissionLimits(),
            )
        )
        self._raise_refusal(inserted.verdict)
        stored = self.read_jobs(inserted.job_ids)
        # A replay may meet jobs of which some were deleted; what is left is the truth.
        found = tuple(job for job in stored if job is not None)
        return Submission(found, replayed=inserted.verdict is Verdict.REPLAYED)

    def _raise_refusal(self, verdict: Verdict) -> None:
        if verdict is Verdict.NO_PARENT:
            raise UnknownJob("The job to restyle was deleted meanwhile: convert the photo again.")
        if verdict is Verdict.CONFLICT:
            raise IdempotencyConflict("This Idempotency-Key was used with another request: use a new key for this one.")
        if verdict is Verdict.FULL:
            pause = retry_after(self.table.queue())
            raise QueueFull(f"Too many jobs are waiting: try again in {pause:.0f} seconds.", retry_after=pause)
        if verdict is Verdict.QUOTA:
            pause = retry_after(self.table.queue())
            raise QuotaExceeded("You have too many unfinished jobs: wait for some to end.", retry_after=pause)

    @override
    def get(self, job_id: str, *, tenant: str | None = None) -> Job:
        return self.find(job_id, tenant=tenant).job

    @override
    def get_many(self, job_ids: Sequence[str], *, tenant: str) -> list[Job]:
        return [job for job in self.read_jobs(job_ids) if job is not None and job.tenant == tenant]

    @override
    def list_jobs(self, tenant: str, *, cursor: str | None = None, limit: int = 20) -> JobPage:
        if cursor is not None and not _CURSOR.fullmatch(cursor):
            raise UsageError("The cursor is not one that was given out: begin again without it.")
        marks = self.table.page(tenant, before=cursor, limit=limit + 1)
        jobs = self.read_jobs([mark.partition(".")[2] for mark in marks[:limit]])
        return JobPage(
            jobs=tuple(job for job in jobs if job is not None),
            next_cursor=marks[limit - 1] if len(marks) > limit else None,
        )

    @override
    def position(self, job_id: str) -> int | None:
        return self.table.rank(job_id)

    @override
    def queue(self) -> QueueReport:
        return self.table.queue()

    @override
    def active_jobs(self, tenant: str) -> int:
        return self.table.active(tenant)

    @override
    def cancel(self, job_id: str, *, tenant: str | None = None) -> Job:
        return self.change(job_id, lambda job, now: cancel_asked(job, now, self.policy), tenant=tenant)

    @override
    def delete(self, job_id: str, *, tenant: str | None = None, with_restyles: bool = True) -> tuple[Erased, ...]:
        facts = self.table.facts(job_id)
        if facts is not None and tenant not in (None, facts.tenant):
            return ()
        # The job first: without it, no further restyle is accepted.
        erased = [self._erase(job_id, tenant, with_restyles=with_restyles)]
        if with_restyles:
            erased += [self._erase(restyle, tenant, with_restyles=False) for restyle in self.table.restyles(job_id)]
        return tuple(one for one in erased if one is not None)

    def _erase(self, job_id: str, tenant: str | None, *, with_restyles: bool) -> Erased | None:
        for _ in range(MAX_ROUNDS):
            facts = self.table.facts(job_id)
            if facts is None or tenant not in (None, facts.tenant):
                return None
            # The worker of a running job may still be storing a picture: erase again when it must have noticed.
            delay = 2 * self.policy.lease_seconds if facts.is_held else 0.0
            erasures = {folder + "/": facts.now + delay for folder in facts.folders}
            if self.table.erase(job_id, facts.revision, erasures, with_restyles=with_restyles):
                return Erased(job_id, facts.folders, facts.is_held)
        raise StoreUnavailable("Too many processes change this job at once: try again.")


def retry_after(queue: QueueReport) -> Seconds:
    """Advise a pause: by Little's law a tenth of the queue leaves in a tenth of the age of its oldest job."""
    return float(min(60, max(2, math.ceil(queue.oldest_age / 10))))


def cursor_at(job: Job) -> str:
    """The cursor with which a page continues behind this job."""
    return page_mark(job)


def _hashed(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
