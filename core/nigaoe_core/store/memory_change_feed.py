"""News of changed jobs from the table in this process's memory."""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Self

from typing_extensions import override

from nigaoe_core.store.changes import ChangeFeed, Listener
from nigaoe_core.store.listeners import Listeners
from nigaoe_core.store.memory_table import MemoryJobTable


class MemoryChangeFeed(ChangeFeed):
    """`ChangeFeed` over the memory table, for one event loop."""

    def __init__(self, table: MemoryJobTable) -> None:
        self._table = table
        self._listeners = Listeners()
        self._loop: asyncio.AbstractEventLoop | None = None

    @override
    def listen(self, job_id: str) -> AbstractAsyncContextManager[Listener]:
        return self._listeners.listen(job_id)

    @override
    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._table.listeners.append(self._announce)
        return self

    @override
    async def __aexit__(self, *exception: object) -> None:
        self._table.listeners.remove(self._announce)

    def _announce(self, job_id: str) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._listeners.wake, job_id)
