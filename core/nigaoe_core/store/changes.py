"""Waiting for a job to change without asking again and again: one subscription a process, any number of waiters.

Only waiting is asynchronous. A waiter listens first and reads afterwards, so no change falls between the two; a
change may wake it for nothing, never the other way round. While the subscription is broken (Redis restarts), listeners
are woken once a second and so fall back to polling.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, Self

import structlog
from redis import asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from nigaoe_core.guarded_loop import UnexpectedErrors, guarded_task
from nigaoe_core.jobs import Job
from nigaoe_core.store.events import BEGINNING, WATCH_SECONDS, Event, EventLog
from nigaoe_core.store.job_store import JobStore
from nigaoe_core.store.redis_link import CONNECT_SECONDS

FALLBACK_SECONDS: Final = 1.0
PING_SECONDS: Final = 10.0

_log = structlog.get_logger(__name__)


class Listener:
    """Waiter for the changes of one job."""

    def __init__(self) -> None:
        self._news = asyncio.Event()

    def wake(self) -> None:
        """Tell of a change; call it in the event loop's thread."""
        self._news.set()

    async def changed(self, seconds: float) -> bool:
        """Wait until the job may have changed since the last call (or since listening began); False: time is up."""
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._news.wait()
        except TimeoutError:
            return False
        self._news.clear()
        return True


class ChangeFeed:
    """Subscription to the changes of all jobs. Use as an async context manager for the life of the process.

    Args:
        url: As for `nigaoe_core.store.redis_link.RedisLink`.
        namespace: Likewise.
        errors: Where unexpected errors are recorded; None: nobody asks for them.
    """

    def __init__(self, url: str, *, namespace: str = "nigaoe", errors: UnexpectedErrors | None = None) -> None:
        self._client: Any = redis.Redis.from_url(
            url, decode_responses=True, retry=Retry(NoBackoff(), 0), socket_connect_timeout=CONNECT_SECONDS
        )
        self._channel = f"{{{namespace}}}:changes"
        self._errors = errors or UnexpectedErrors()
        self._listeners: defaultdict[str, set[Listener]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None
        self._subscribed = asyncio.Event()

    @asynccontextmanager
    async def listen(self, job_id: str) -> AsyncIterator[Listener]:
        """Hear of one job's changes and events while the context lasts."""
        listener = Listener()
        self._listeners[job_id].add(listener)
        try:
            yield listener
        finally:
            self._listeners[job_id].discard(listener)
            if not self._listeners[job_id]:
                del self._listeners[job_id]

    async def __aenter__(self) -> Self:
        self._task = guarded_task("change_feed", self._stay_subscribed, self._errors)
        return self

    async def __aexit__(self, *exception: object) -> None:
        # redis-py 8.1 swallows a cancellation that meets it at the start of a read, so one is not always enough.
        while self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=0.05)
        await self._client.aclose()

    async def subscribed(self) -> None:
        """Wait until news flow. Waiting for changes works before that too, only more slowly."""
        await self._subscribed.wait()

    async def _stay_subscribed(self) -> None:
        while True:
            try:
                async with self._client.pubsub() as pubsub:
                    await pubsub.subscribe(self._channel)
                    await self._pass_on(pubsub)
            except (RedisError, OSError) as error:
                if self._subscribed.is_set():
                    _log.warning("change_feed.lost", error=type(error).__name__)
            finally:
                # Whatever ended the subscription: waiters must read for themselves meanwhile.
                self._subscribed.clear()
                self._wake_all()
            await asyncio.sleep(FALLBACK_SECONDS)

    async def _pass_on(self, pubsub: Any) -> None:
        is_pinged = False
        while True:
            message = await pubsub.get_message(timeout=PING_SECONDS)
            if message is None and is_pinged:
                raise TimeoutError("Redis does not answer a ping")
            is_pinged = message is None
            if message is None:
                await pubsub.ping()
            elif message["type"] == "subscribe":
                self._subscribed.set()
                self._wake_all()
            elif message["type"] == "message":
                self._wake(message["data"])

    def _wake(self, job_id: str) -> None:
        for listener in tuple(self._listeners.get(job_id, ())):
            listener.wake()

    def _wake_all(self) -> None:
        """Wake everyone, because news may have been missed."""
        for job_id in tuple(self._listeners):
            self._wake(job_id)


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
