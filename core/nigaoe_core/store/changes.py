"""Waiting for a job to change without asking again and again: one subscription a process, any number of waiters.

Only waiting is asynchronous. A waiter listens first and reads afterwards, so no change falls between the two; a
change may wake it for nothing, never the other way round. While the subscription is broken (Redis restarts), listeners
are woken once a second and so fall back to polling.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol, Self

from nigaoe_core.jobs import Job
from nigaoe_core.store.contract import JobStore
from nigaoe_core.store.events import BEGINNING, WATCH_SECONDS, Event, EventLog

FALLBACK_SECONDS: Final = 1.0


class Listener(Protocol):
    """One waiter's ear."""

    async def changed(self, seconds: float) -> bool:
        """Wait until the job may have changed since the last call (or since listening began); False: time is up."""


class ChangeFeed(Protocol):
    """News of changed jobs. Use as an async context manager for the life of the process."""

    def listen(self, job_id: str) -> AbstractAsyncContextManager[Listener]:
        """Begin to hear of a job's changes and events."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exception: object) -> None: ...


async def wait_for_change(
    store: JobStore, feed: ChangeFeed, job_id: str, *, version: int, seconds: float, tenant: str | None = None
) -> Job:
    """Return the job as soon as its version is above ``version``, or as it is when the time is up.

    Raises:
        UnknownJob: There is none, or it was deleted meanwhile.
        StoreUnavailable: Redis does not answer.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    async with feed.listen(job_id) as listener:
        while True:
            job = await asyncio.to_thread(store.get, job_id, tenant=tenant)
            left = deadline - asyncio.get_running_loop().time()
            if job.version > version or job.state.is_end or left <= 0:
                return job
            await listener.changed(left)


async def wait_for_end(
    store: JobStore, feed: ChangeFeed, job_id: str, *, seconds: float, tenant: str | None = None
) -> Job:
    """Return the job once it has ended, or as it is when the time is up.

    Raises:
        UnknownJob: There is none, or it was deleted meanwhile.
        StoreUnavailable: Redis does not answer.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    version = 0
    while True:
        left = deadline - asyncio.get_running_loop().time()
        job = await wait_for_change(store, feed, job_id, version=version, seconds=max(0.0, left), tenant=tenant)
        if job.state.is_end or left <= 0:
            return job
        version = job.version


async def follow_events(
    store: JobStore, log: EventLog, feed: ChangeFeed, job_id: str, *, after: str = BEGINNING
) -> AsyncGenerator[Event, None]:
    """Yield a job's events behind ``after`` as they come, until the job has ended and the last one is out.

    Meanwhile the job counts as watched, so that its worker draws previews.

    Raises:
        UnknownJob: There is none, or it was deleted meanwhile.
        UsageError: ``after`` is not an event id.
        StoreUnavailable: Redis does not answer.
    """
    clock, sign_due = asyncio.get_running_loop().time, 0.0
    async with feed.listen(job_id) as listener:
        while True:
            job = await asyncio.to_thread(store.get, job_id)
            if not job.state.is_end and clock() >= sign_due:
                await asyncio.to_thread(log.watch, job_id)
                sign_due = clock() + WATCH_SECONDS / 3
            events = await asyncio.to_thread(log.read, job_id, after=after)
            for event in events:
                yield event
                after = event.id
            if job.state.is_end and not events:
                return
            if not events:
                await listener.changed(WATCH_SECONDS / 3)
