"""The waiters of one process and how they are woken; what a change feed of any kind is built on."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from typing_extensions import override

from nigaoe_core.store.changes import Listener


class EventListener(Listener):
    """Remembers that its job changed until it is asked."""

    def __init__(self) -> None:
        self._news = asyncio.Event()

    def wake(self) -> None:
        """Tell of a change; call it in the event loop's thread."""
        self._news.set()

    @override
    async def changed(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._news.wait()
        except TimeoutError:
            return False
        self._news.clear()
        return True


class Listeners:
    """All waiters of one event loop, by job."""

    def __init__(self) -> None:
        self._by_job: defaultdict[str, set[EventListener]] = defaultdict(set)

    @asynccontextmanager
    async def listen(self, job_id: str) -> AsyncIterator[Listener]:
        """Hear of one job's changes while the context lasts."""
        listener = EventListener()
        self._by_job[job_id].add(listener)
        try:
            yield listener
        finally:
            self._by_job[job_id].discard(listener)
            if not self._by_job[job_id]:
                del self._by_job[job_id]

    def wake(self, job_id: str) -> None:
        """Wake those who wait for this job."""
        for listener in tuple(self._by_job.get(job_id, ())):
            listener.wake()

    def wake_all(self) -> None:
        """Wake everyone, because news may have been missed."""
        for job_id in tuple(self._by_job):
            self.wake(job_id)

    def __len__(self) -> int:
        return sum(len(listeners) for listeners in self._by_job.values())
