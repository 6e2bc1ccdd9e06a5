"""Compare-and-set as one operation: read a job, apply a rule, store the outcome unless somebody else was faster."""

from collections.abc import Callable, Sequence
from typing import Final

import structlog

from nigaoe_core.errors import StoreUnavailable, UnknownJob, UnreadableJob
from nigaoe_core.guarded_loop import UnexpectedErrors
from nigaoe_core.jobs import Job, UnixTime
from nigaoe_core.store.lifecycle import JobPolicy
from nigaoe_core.store.table import JobTable, Snapshot, Unreadable, write_of

MAX_ROUNDS: Final = 100
"""A job has a handful of writers, of which one wins every round; losing a hundred in a row does not happen."""

_log = structlog.get_logger(__name__)

Rule = Callable[[Job, UnixTime], Job]


class Ledger:
    """Jobs in a table, changed by rules.

    Args:
        table: Where the rows are.
        policy: The operator's choices.
        errors: Where unexpected errors are recorded; None: nobody asks for them.
    """

    def __init__(self, table: JobTable, policy: JobPolicy, errors: UnexpectedErrors | None = None) -> None:
        self.table = table
        self.policy = policy
        self.errors = errors or UnexpectedErrors()

    def read_jobs(self, job_ids: Sequence[str]) -> list[Job | None]:
        """Read rows in the order asked for. One that cannot be read goes into quarantine and is left out, as None.

        Every batch of rows is read here, so that one broken record never stands between its neighbours and their due.
        """
        rows = self.table.read_many(job_ids)
        for row in rows:
            if isinstance(row, Unreadable):
                self._quarantine(row)
        return [None if isinstance(row, Unreadable) else row for row in rows]

    def find(self, job_id: str, *, tenant: str | None = None) -> Snapshot:
        """Read a row that must exist.

        Raises:
            UnknownJob: It does not, or is another tenant's.
            UnreadableJob: Its record cannot be read; it is in quarantine now.
        """
        row = self.table.read(job_id)
        if isinstance(row, Unreadable):
            self._quarantine(row)
            facts = self.table.facts(job_id)
            if facts is not None and tenant in (None, facts.tenant):
                raise UnreadableJob(
                    "This job's record cannot be read by the version of Nigaoe that runs here; it can still be deleted."
                )
            row = None
        if row is None or tenant not in (None, row.job.tenant):
            raise UnknownJob("There is no such job: it was never made, was deleted, or its time is over.")
        return row

    def _quarantine(self, row: Unreadable) -> None:
        if self.table.quarantine(row, self.policy.retention_seconds):
            _log.error("job.quarantined", job_id=row.job_id)

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
            if new is old.job or self.table.swap(old, write_of(old.job, new, self.policy, old.now)):
                return new
        raise StoreUnavailable("Too many processes change this job at once: try again.")
