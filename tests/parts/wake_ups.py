"""The queues of wake-up messages, read with Redis's own commands: for stories without a worker that answers them."""

import base64
import json
from dataclasses import dataclass

import redis

from nigaoe_core.queue import PRIORITY_STEPS, QUEUE_NAME, RESTYLE_QUEUE

# Kombu keeps a list for every priority, the most urgent one under the queue's own name.
LISTS = [name + (f"\x06\x16{step}" if step else "") for name in (QUEUE_NAME, RESTYLE_QUEUE) for step in PRIORITY_STEPS]


@dataclass(frozen=True)
class WakeUp:
    """One message."""

    job_id: str
    attempt: int
    priority: int  # As the job has it: 9 is the most urgent.


class WakeUps:
    """Takes messages out of a database's queues."""

    def __init__(self, redis_url: str) -> None:
        # A blocking read waits longer than the client's own limit of five seconds.
        self._client: redis.Redis = redis.Redis.from_url(redis_url, decode_responses=True, socket_timeout=None)

    def get(self, seconds: float) -> WakeUp:
        """Wait for a message, and take it."""
        found = self._client.brpop(LISTS, timeout=seconds)
        assert found is not None, "No wake-up message came."
        return _read(found[1])  # type: ignore[index]  # redis-py's answer is a list, or a promise of one.

    def take_all(self) -> list[WakeUp]:
        """Take what waits, conversions before restyles, the most urgent first."""
        taken = []
        for name in LISTS:
            while text := self._client.rpop(name):
                taken.append(_read(str(text)))
        return taken

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def _read(text: str) -> WakeUp:
    message = json.loads(text)
    arguments = json.loads(base64.b64decode(message["body"]))[1]
    return WakeUp(arguments["job_id"], arguments["attempt"], 9 - message["properties"]["priority"])
