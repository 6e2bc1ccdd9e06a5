"""The connection to Redis or Valkey: patience while it restarts, errors of our tree, scripts, and one key prefix."""

import functools
import time
from collections.abc import Callable
from importlib import resources
from typing import Any, Final, TypeVar

import redis
from redis.backoff import EqualJitterBackoff, NoBackoff
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError
from redis.retry import Retry

from nigaoe_core.errors import StorageError, StorageFull, StoreUnavailable
from nigaoe_core.store.job_records import EVENT_SECONDS, LAST_EVENTS, MAX_EVENTS

T = TypeVar("T")

CONNECT_SECONDS: Final = 2.0
ANSWER_SECONDS: Final = 5.0


class RedisLink:
    """A thread-safe client that hides short outages.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``.
        patience_seconds: How long a call goes on trying. Only calls that may be repeated go through here.
        namespace: Prefix of all keys, as their hash tag.
    """

    def __init__(self, url: str, *, patience_seconds: float = 3.0, namespace: str = "nigaoe") -> None:
        self.patience_seconds = patience_seconds
        self.prefix = f"{{{namespace}}}:"
        self._pauses = EqualJitterBackoff(cap=0.25, base=0.02)
        # One immediate retry inside replaces connections that died in the pool; the waiting is done here, by the clock.
        self._client: Any = redis.Redis.from_url(
            url,
            decode_responses=True,
            retry=Retry(NoBackoff(), 1),
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=ANSWER_SECONDS,
            health_check_interval=15,
        )
        self._scripts: dict[str, Any] = {}

    def key(self, *parts: str) -> str:
        """The full name of a key."""
        return self.prefix + ":".join(parts)

    def call(self, command: Callable[[Any], T]) -> T:
        """Run ``command(client)``, again and again while Redis is away.

        Raises:
            StoreUnavailable: It stayed away for ``patience_seconds``.
            StorageFull: It has no memory or no disk left.
            StorageError: It refused the command.
        """
        give_up = time.monotonic() + self.patience_seconds
        failures = 0
        while True:
            try:
                return command(self._client)
            except (redis.ConnectionError, redis.TimeoutError) as error:
                failures += 1
                pause = self._pauses.compute(failures)
                if time.monotonic() + pause > give_up:
                    raise StoreUnavailable("The job store cannot be reached: try again in a few seconds.") from error
                time.sleep(pause)
            except RedisError as error:
                raise _translated(error) from error

    def together(self, fill: Callable[[Any], None]) -> list[Any]:
        """Run the commands that ``fill(pipeline)`` queues, as one transaction in one round trip; they only read."""

        def run(client: Any) -> list[Any]:
            with client.pipeline(transaction=True) as pipeline:
                fill(pipeline)
                answers: list[Any] = pipeline.execute()
                return answers

        return self.call(run)

    def script(self, name: str, *arguments: str | float) -> Any:
        """Run ``store/lua/NAME.lua`` behind the shared ``rows.lua``."""
        if name not in self._scripts:
            self._scripts[name] = self._client.register_script(_source(name))
        return self.call(lambda client: self._scripts[name](keys=[self.prefix], args=arguments, client=client))

    def close(self) -> None:
        """Close all connections."""
        self._client.close()


@functools.cache
def _source(name: str) -> str:
    folder = resources.files("nigaoe_core.store") / "lua"
    limits = {"EVENT_SECONDS": EVENT_SECONDS, "MAX_EVENTS": MAX_EVENTS, "LAST_EVENTS": LAST_EVENTS}
    header = "".join(f"local {constant} = {value}\n" for constant, value in limits.items())
    return header + "".join((folder / f"{part}.lua").read_text("utf-8") for part in ("rows", name))


def _translated(error: RedisError) -> StorageError:
    if isinstance(error, OutOfMemoryError) or "MISCONF" in str(error):
        return StorageFull("The job store has no room left: ask the operator to make some.")
    if isinstance(error, ResponseError) and str(error).startswith(("LOADING", "READONLY", "MASTERDOWN", "BUSY")):
        return StoreUnavailable("The job store is busy with itself: try again in a few seconds.")
    return StorageError("The job store refused a command; its log says more.")
