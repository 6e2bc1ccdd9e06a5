"""News of changed jobs over one Redis subscription for the whole process."""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Self

import structlog
from redis import asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from typing_extensions import override

from nigaoe_core.guarded_loop import UnexpectedErrors, guarded_task
from nigaoe_core.store.changes import FALLBACK_SECONDS, ChangeFeed, Listener
from nigaoe_core.store.listeners import Listeners
from nigaoe_core.store.redis_link import CONNECT_SECONDS

PING_SECONDS: Final = 10.0

_log = structlog.get_logger(__name__)


class RedisChangeFeed(ChangeFeed):
    """`ChangeFeed` over publish/subscribe. While Redis is away, waiters are woken once a second and so poll.

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
        self._listeners = Listeners()
        self._task: asyncio.Task[None] | None = None
        self._subscribed = asyncio.Event()

    @override
    def listen(self, job_id: str) -> AbstractAsyncContextManager[Listener]:
        return self._listeners.listen(job_id)

    @override
    async def __aenter__(self) -> Self:
        self._task = guarded_task("change_feed", self._stay_subscribed, self._errors)
        return self

    @override
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
                # Whatever ended the subscription: who waits must look for himself meanwhile.
                self._subscribed.clear()
                self._listeners.wake_all()
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
                self._listeners.wake_all()
            elif message["type"] == "message":
                self._listeners.wake(message["data"])
