"""The job store: all roles over one table."""

from typing_extensions import override

from core.job_store.contract import JobStore
from core.job_store.desk import LedgerDesk
from core.job_store.leases import LedgerLeases
from core.job_store.upkeep import LedgerUpkeep


class LedgerJobStore(LedgerDesk, LedgerLeases, LedgerUpkeep, JobStore):
    """`JobStore` over a table; the table decides where it lives and how long it lasts."""

    @override
    def check(self) -> None:
        self.table.now()

    @override
    def close(self) -> None:
        self.table.close()
