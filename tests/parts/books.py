"""The books of a service after a fault: every accepted job ended exactly once, and nothing is left over anywhere."""

import time
from collections.abc import Callable, Collection

import redis

from nigaoe_core.jobs import JobState
from nigaoe_core.services import Services
from nigaoe_core.store.events import EventKind

NAMESPACE = "{nigaoe}:"
QUEUE = "nigaoe"
STANDING = frozenset({"states", "workers", "agenda:retention", "tenant:public"})
"""What a service at rest has for itself: counts, the board of workers, when jobs are erased, and whose they are."""
PASSING = ("worker:", "limits:", "turn:")
"""Beginnings of keys that expire by themselves within minutes: reports of workers, counted requests, turns."""
CLEAN_UP_SECONDS = 120.0


def until(condition: Callable[[], object], seconds: float, what: Callable[[], object] = str) -> None:
    """Poll until a condition is true."""
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, f"It did not come to pass within {seconds:.0f} s. {what()}"
        time.sleep(0.05)


class Books:
    """Compares what is in the stores with the jobs that were accepted.

    Args:
        services: The stores.
        url: Of their Redis.
    """

    def __init__(self, services: Services, url: str) -> None:
        self._services = services
        self._redis = redis.Redis.from_url(url, decode_responses=True)

    def close(self) -> None:
        self._redis.close()

    def check(self, job_ids: Collection[str], earlier: Collection[str] = ()) -> None:
        """Check the jobs of a story; those of earlier ones may have blobs, too."""
        store, known = self._services.store, {*job_ids, *earlier}
        until(lambda: not self.leftovers(known), CLEAN_UP_SECONDS, lambda: f"Left over: {self.leftovers(known)}")
        for job_id in job_ids:
            assert self.ends_reported(job_id) == [store.get(job_id).state.value]
        queue = store.queue()
        assert (queue.queued, queue.running) == (0, 0)
        until(lambda: all(worker.busy == 0 for worker in store.workers()), CLEAN_UP_SECONDS)

    def ends_reported(self, job_id: str) -> list[str]:
        """The ends that the job's followers were sent."""
        states = [event.data["state"] for event in self._services.events.read(job_id) if event.kind is EventKind.STATE]
        return [state for state in states if JobState(state).is_end]

    def leftovers(self, job_ids: Collection[str]) -> set[str]:
        """What is stored and belongs to none of these jobs."""
        return self.stray_blobs(job_ids) | self.stray_keys(job_ids) | self.waiting_messages()

    def stray_blobs(self, job_ids: Collection[str]) -> set[str]:
        """Blobs that no record names; a torn file of a killed process goes with its job's folder."""
        named = {key for job_id in job_ids for key in self._services.store.get(job_id).blobs.values()}
        return {blob.key for blob in self._services.blobs.list_blobs() if not blob.key.endswith(".part")} - named

    def stray_keys(self, job_ids: Collection[str]) -> set[str]:
        """Leases, places in the queue, erasures that are due, quotas, records and logs that should be gone."""
        kept = STANDING | {f"{kind}:{job_id}" for kind in ("job", "events", "restyles") for job_id in job_ids}
        names = {name.removeprefix(NAMESPACE) for name in self._redis.scan_iter(f"{NAMESPACE}*")}
        return {name for name in names - kept if not name.startswith(PASSING) and not self._is_key_of(name, job_ids)}

    def _is_key_of(self, name: str, job_ids: Collection[str]) -> bool:
        """Whether one of the jobs is found again by this key, of idempotency or of its look; it lives as long."""
        if name.startswith("idempotency:"):
            named = (self._redis.hget(NAMESPACE + name, "jobs") or "").split()
        elif name.startswith("same:"):
            named = [self._redis.get(NAMESPACE + name)]
        else:
            return False
        return not set(job_ids).isdisjoint(named)

    def waiting_messages(self) -> set[str]:
        """Queues with messages that nobody answers. (Those of a killed worker wait in `unacked` for their time.)"""
        return {name for name in self._redis.scan_iter(f"{QUEUE}*", _type="list") if self._redis.llen(name)}
