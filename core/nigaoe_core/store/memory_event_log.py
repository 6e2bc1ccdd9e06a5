"""A job's events in this process's memory, beside the table that holds its record."""

from typing_extensions import override

from nigaoe_core.jobs import Seconds
from nigaoe_core.store.contract import Claim
from nigaoe_core.store.events import (
    BEGINNING,
    MAX_EVENTS,
    PREVIEW_TYPE,
    WATCH_SECONDS,
    Event,
    EventKind,
    EventLog,
    checked_event_id,
    preview_data,
)
from nigaoe_core.store.memory_table import MemoryJobTable


class MemoryEventLog(EventLog):
    """`EventLog` over the memory table."""

    def __init__(self, table: MemoryJobTable) -> None:
        self._table = table

    @override
    def preview(
        self,
        claim: Claim,
        image: bytes,
        *,
        step: int,
        content_type: str = PREVIEW_TYPE,
        drawing: bytes | None = None,
    ) -> bool:
        data = preview_data(image, step, content_type, drawing)
        if not self._table.is_held(claim.job_id, claim.token):
            return False
        self._table.add_event(claim.job_id, EventKind.PREVIEW, data)
        self._table.announce(claim.job_id)
        return True

    @override
    def watch(self, job_id: str, *, seconds: Seconds = WATCH_SECONDS) -> None:
        self._table.watch(job_id, seconds)

    @override
    def is_watched(self, job_id: str) -> bool:
        return self._table.is_watched(job_id)

    @override
    def read(self, job_id: str, *, after: str = BEGINNING, limit: int = MAX_EVENTS) -> list[Event]:
        last = _number(checked_event_id(after))
        return [event for event in self._table.events(job_id) if _number(event.id) > last][:limit]


def _number(event_id: str) -> tuple[int, int]:
    time, _, count = event_id.partition("-")
    return int(time), int(count)
