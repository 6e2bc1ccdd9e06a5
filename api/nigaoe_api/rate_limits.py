"""Rate limits of callers: the `limits` library over the Redis of the jobs, so that all replicas count together.

While Redis is away the requests pass uncounted: the job store says 503 by itself then, and reading stays possible.
"""

import math
import time
from typing import Any, Final

import structlog
from limits import RateLimitItem, RateLimitItemPerSecond, parse
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from nigaoe_api.callers import Caller
from nigaoe_core.errors import InvalidSettings, RateLimited
from nigaoe_core.settings import Settings

log = structlog.get_logger(__name__)

_ANSWER_SECONDS: Final = 1.0


class RateLimits:
    """Counts requests and photos by caller, in a sliding window.

    Args:
        settings: The default limits, and where Redis is.

    Raises:
        InvalidSettings: A limit is not in the notation of the `limits` library.
    """

    def __init__(self, settings: Settings) -> None:
        self._requests = parse_limit(settings.rate_limit)
        self._photos = parse_limit(settings.convert_rate_limit)
        self._kept = RateLimitItemPerSecond(settings.keep_photo_count, max(1, math.ceil(settings.keep_photo_seconds)))
        self._keeps_photos = settings.keep_photo_seconds > 0
        assert settings.redis_url is not None  # noqa: S101 - the services have refused settings without it.
        self._pool = _pool(settings.redis_url.get_secret_value())
        self._limiter = SlidingWindowCounterRateLimiter(_storage(self._pool))

    async def close(self) -> None:
        """Give connections back."""
        await self._pool.aclose()

    async def count_request(self, caller: Caller) -> None:
        """Count one request.

        Raises:
            RateLimited: The caller asks too often.
        """
        own = caller.key.rate_limit if caller.key else None
        await self._hit("requests", parse_limit(own) if own else self._requests, caller, 1)

    async def count_photos(self, caller: Caller, count: int) -> None:
        """Count photos to convert.

        Raises:
            RateLimited: The caller sends too many.
        """
        own = caller.key.convert_rate_limit if caller.key else None
        await self._hit("photos", parse_limit(own) if own else self._photos, caller, count)

    async def may_keep_photo(self, caller: Caller) -> bool:
        """Whether one more photo of this caller may be kept; many would fill the disk."""
        if not self._keeps_photos:
            return False
        try:
            return await self._limiter.hit(self._kept, "kept", caller.identity)
        except StorageError:
            return False  # The photo is sent again with the conversion.

    async def _hit(self, what: str, limit: RateLimitItem, caller: Caller, cost: int) -> None:
        try:
            if await self._limiter.hit(limit, what, caller.identity, cost=cost):
                return
            reset_time, _ = await self._limiter.get_window_stats(limit, what, caller.identity)
        except StorageError as error:
            log.warning("rate_limit.not_counted", reason=type(error.storage_error).__name__)
            return
        seconds = max(1.0, reset_time - time.time())
        raise RateLimited(f"Too many {what}: {limit} are allowed. Wait {seconds:.0f} seconds.", retry_after=seconds)


def parse_limit(text: str) -> RateLimitItem:
    """Read one limit such as ``120/minute``.

    Raises:
        InvalidSettings: It is not in this notation.
    """
    try:
        return parse(text)
    except ValueError as error:
        raise InvalidSettings(f"`{text}` is no rate limit; write for example 120/minute.") from error


def _storage(pool: ConnectionPool) -> RedisStorage:
    options: dict[str, Any] = {"connection_pool": pool}
    return RedisStorage(
        "async+redis://", wrap_exceptions=True, implementation="redispy", key_prefix="{nigaoe}:limits", **options
    )


def _pool(url: str) -> ConnectionPool:
    return ConnectionPool.from_url(
        url,
        socket_timeout=_ANSWER_SECONDS,
        socket_connect_timeout=_ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 1),  # One more try for connections that died in the pool.
    )
