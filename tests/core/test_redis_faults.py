"""Valkey restarts, vanishes and fills up, with real processes; what was accepted is kept and every fault has a name."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from nigaoe.embedded_redis import EmbeddedRedis
from nigaoe_core.errors import StorageFull, StoreUnavailable
from nigaoe_core.jobs import Job, JobOptions, JobState, Outcome, Progress, new_job
from nigaoe_core.store.job_records import Claim
from nigaoe_core.store.job_store import JobStore
from nigaoe_core.store.lifecycle import JobPolicy
from nigaoe_core.store.redis_link import RedisLink

pytestmark = pytest.mark.faults


@pytest.fixture
def link(own_valkey: EmbeddedRedis) -> Iterator[RedisLink]:
    """A connection with more patience than any restart takes."""
    made = RedisLink(own_valkey.url, patience_seconds=60)
    yield made
    made.close()


@pytest.fixture
def store(link: RedisLink) -> JobStore:
    return JobStore(link, JobPolicy(lease_seconds=600))


def submitted(store: JobStore) -> Job:
    return store.submit([new_job(JobOptions())]).jobs[0]


def test_attempts_survive_kill_9(own_valkey: EmbeddedRedis, store: JobStore) -> None:
    """Jobs, leases, tokens and losses are in the journal: a killed server comes back with all of them."""
    hasty = JobStore(store.link, JobPolicy(lease_seconds=0))
    hasty.claim(submitted(store).id, 1, "lost")
    (again,) = store.requeue_expired().requeued
    claim = store.claim(again.id, 2, "heir")
    own_valkey.kill()
    own_valkey.start()
    kept = store.get(again.id)
    assert claim is not None
    assert kept == claim.job
    assert (kept.losses, kept.attempt, kept.fencing_token) == (1, 2, 2)
    assert store.succeed(claim, Outcome(blobs={})).state is JobState.SUCCEEDED


def test_work_goes_on_through_an_outage(own_valkey: EmbeddedRedis, store: JobStore) -> None:
    """Callers that are busy while the server is killed notice nothing but a pause; every job ends once."""
    killed = threading.Event()

    def work(number: int) -> Job:
        job = submitted(store)
        claim = store.claim(job.id, 1, f"worker {number}")
        assert claim is not None
        step = 0
        while not killed.is_set() or step < 30:
            store.heartbeat(claim, progress=Progress(step=step))
            step += 1
        return store.succeed(claim, Outcome(blobs={}))

    with ThreadPoolExecutor(6) as pool:
        futures = [pool.submit(work, number) for number in range(6)]
        while store.queue().running < 6:
            threading.Event().wait(0.01)
        own_valkey.kill()
        killed.set()
        own_valkey.start()
        jobs = [future.result(timeout=120) for future in futures]
    assert all(job.state is JobState.SUCCEEDED for job in jobs)
    assert store.queue().states[JobState.SUCCEEDED] == 6


def test_a_long_outage_has_a_name(own_valkey: EmbeddedRedis) -> None:
    """When patience is over, the error of the tree comes; when the server is back, all goes on."""
    link = RedisLink(own_valkey.url, patience_seconds=0.2)
    store = JobStore(link, JobPolicy())
    job = submitted(store)
    own_valkey.kill()
    for call in (lambda: store.get(job.id), lambda: store.cancel(job.id), store.check, lambda: submitted(store)):
        with pytest.raises(StoreUnavailable):
            call()
    own_valkey.start()
    assert store.get(job.id) == job
    link.close()


def test_a_write_whose_reply_was_lost_is_recognised(store: JobStore) -> None:
    """The very same claim, repeated because its reply never came, is the same claim and not a refusal."""
    job = submitted(store)
    real = store.link._client  # The fault must strike below the store.
    lost = LostReplies(real)
    store.link._client = lost
    claim = store.claim(job.id, 1, "one")
    assert lost.count > 0
    assert claim is not None
    assert store.heartbeat(claim).lease == store.get(job.id).lease
    assert store.get(job.id).fencing_token == 1


class LostReplies:
    """A client that loses the reply of every script's first run, after the server has run it."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.count = 0
        self.is_losing = True

    def __getattr__(self, name: str) -> object:
        return getattr(self.client, name)

    def evalsha(self, *arguments: object) -> object:
        answer = self.client.evalsha(*arguments)  # type: ignore[arg-type]
        self.is_losing = not self.is_losing
        if not self.is_losing:
            self.count += 1
            raise redis.ConnectionError("the reply was lost")
        return answer


def test_a_server_without_memory_has_a_name(own_valkey: EmbeddedRedis, store: JobStore) -> None:
    """Nothing is dropped to make room: new jobs are refused, stored ones can be read."""
    job = submitted(store)
    with redis.Redis.from_url(own_valkey.url) as client:
        client.config_set("maxmemory", 1)
        with pytest.raises(StorageFull):
            submitted(store)
        assert store.get(job.id) == job
        client.config_set("maxmemory", 0)
    assert submitted(store).state is JobState.QUEUED


def test_a_claim_of_a_killed_process_is_given_to_another(own_valkey: EmbeddedRedis, store: JobStore) -> None:
    """A lease that ran out while the server was down is found when it is back."""
    brief = JobStore(store.link, JobPolicy(lease_seconds=0.05))
    job = submitted(store)
    assert isinstance(brief.claim(job.id, 1, "lost"), Claim)
    own_valkey.kill()
    own_valkey.start()
    requeued: tuple[Job, ...] = ()
    while not requeued:
        requeued = store.requeue_expired().requeued
    assert [one.id for one in requeued] == [job.id]
