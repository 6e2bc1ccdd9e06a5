"""The job store: all roles over one table."""

from typing_extensions import override

from nigaoe_core.store.contract import JobStore
from nigaoe_core.store.desk import LedgerDesk
from nigaoe_core.store.leases import LedgerLeases
from nigaoe_core.store.upkeep import LedgerUpkeep


class LedgerJobStore(LedgerDesk, LedgerLeases, LedgerUpkeep, JobStore):
    """`JobStore` over a table; the table decides where it lives and how long it lasts."""

    @override
    def check(self) -> None:
        self.table.now()

    @override
    def close(self) -> None:
        self.table.close()
