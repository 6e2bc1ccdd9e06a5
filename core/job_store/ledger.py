"""Compare-and-set as one operation: read a job, apply a rule, store the outcome unless somebody else was faster."""

from collections.abc import Callable
from typing import Final

from core.errors import StoreUnavailable, UnknownJob
from core.job_store.lifecycle import JobPolicy
from core.job_store.table import JobTable, Snapshot, write_of
from core.jobs import Job, UnixTime

MAX_ROUNDS: Final = 100
"""A job has a handful of writers, of which one wins every round; losing a hundred in a row does not happen."""

Rule = Callable[[Job, UnixTime], Job]


class Ledger:
    """Jobs in a table, changed by rules.

    Args:
        table: Where the rows are.
        policy: The operator's choices.
    """

    def __init__(self, table: JobTable, policy: JobPolicy) -> None:
        self.table = table
        self.policy = policy

    def find(self, job_id: str, *, tenant: str | None = None) -> Snapshot:
        """Read a row that must exist.

        Raises:
            UnknownJob: It does not, or is another tenant's.
        """
        snapshot = self.table.read(job_id)
        if snapshot is None or tenant not in (None, snapshot.job.tenant):
            raise UnknownJob("There is no such job: it was never made, was deleted, or its time is over.")
        return snapshot

    def change(self, job_id: str, rule: Rule, *, tenant: str | None = None) -> Job:
        """Apply a rule to a job as it is now; a rule that returns its own job, or raises, stores nothing.

        Raises:
            UnknownJob: There is no such job.
            NigaoeError: Whatever the rule raises.
        """
        for _ in range(MAX_ROUNDS):
            old = self.find(job_id, tenant=tenant)
            new = rule(old.job, old.now)
            if new is old.job or self.table.swap(old, write_of(old.job, new, self.policy, old.now)):
                return new
        raise StoreUnavailable("Too many processes change this job at once: try again.")
