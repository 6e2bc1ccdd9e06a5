"""Waiting for news, over a real Valkey."""

import asyncio
from typing import TYPE_CHECKING

import pytest

from nigaoe_core.errors import UnknownJob
from nigaoe_core.jobs import Failure, Job, JobOptions, JobState, Progress, new_job
from nigaoe_core.store.changes import ChangeFeed, follow_events, wait_for_change, wait_for_end
from nigaoe_core.store.events import EventKind
from nigaoe_core.store.job_store import JobStore

if TYPE_CHECKING:
    from conftest import World

    from nigaoe.embedded_redis import EmbeddedRedis

LONG = 120.0
"""Far beyond what any test takes: a test that waits this long has failed."""


def submitted(store: JobStore) -> Job:
    return store.submit([new_job(JobOptions())]).jobs[0]


def test_a_waiter_wakes_at_the_change(world: "World") -> None:
    """A long poll returns with the new version as soon as there is one."""

    async def story() -> None:
        store = world.store()
        job = submitted(store)
        async with world.feed() as feed:
            await feed.subscribed()  # So that the story does not pass by polling alone.
            waiter = asyncio.create_task(wait_for_change(store, feed, job.id, version=1, seconds=LONG))
            await asyncio.sleep(0)
            await asyncio.to_thread(store.claim, job.id, 1, "one")
            assert (await waiter).state is JobState.RUNNING

    asyncio.run(asyncio.wait_for(story(), LONG / 2))


def test_a_known_change_is_told_at_once(world: "World") -> None:
    """Who asks with an old version does not wait."""

    async def story() -> Job:
        store = world.store()
        job = submitted(store)
        async with world.feed() as feed:
            return await wait_for_change(store, feed, job.id, version=0, seconds=LONG)

    assert asyncio.run(asyncio.wait_for(story(), LONG / 2)).version == 1


def test_waiting_ends_with_the_time(world: "World") -> None:
    """Without a change the job comes back as it is."""

    async def story() -> Job:
        store = world.store()
        job = submitted(store)
        async with world.feed() as feed:
            return await wait_for_change(store, feed, job.id, version=1, seconds=0.02)

    assert asyncio.run(story()).state is JobState.QUEUED


def test_waiting_for_the_end_sleeps_through_progress(world: "World") -> None:
    """Progress wakes no one who waits for the end."""

    async def story() -> Job:
        store = world.store()
        job = submitted(store)
        async with world.feed() as feed:
            await feed.subscribed()  # So that the story does not pass by polling alone.
            waiter = asyncio.create_task(wait_for_end(store, feed, job.id, seconds=LONG))
            claim = await asyncio.to_thread(store.claim, job.id, 1, "one")
            assert claim is not None
            for step in range(3):
                await asyncio.to_thread(store.heartbeat, claim, progress=Progress(step=step))
            await asyncio.to_thread(store.fail, claim, Failure(code="x", message="y"))
            return await waiter

    assert asyncio.run(asyncio.wait_for(story(), LONG / 2)).state is JobState.FAILED


def test_a_deleted_job_wakes_its_waiters(world: "World") -> None:
    """They learn that it does not exist any more."""

    async def story() -> None:
        store = world.store()
        job = submitted(store)
        async with world.feed() as feed:
            await feed.subscribed()  # So that the story does not pass by polling alone.
            waiter = asyncio.create_task(wait_for_change(store, feed, job.id, version=1, seconds=LONG))
            await asyncio.sleep(0)
            await asyncio.to_thread(store.delete, job.id)
            with pytest.raises(UnknownJob):
                await waiter

    asyncio.run(asyncio.wait_for(story(), LONG / 2))


def test_events_are_followed_to_the_end(world: "World") -> None:
    """A follower gets every event once and in order, counts as a watcher, and the stream ends with the job."""

    async def story() -> list[EventKind]:
        store = world.store()
        job = submitted(store)
        async with world.feed() as feed:
            await feed.subscribed()  # So that the story does not pass by polling alone.

            async def collect() -> list[EventKind]:
                return [event.kind async for event in follow_events(store, world.events, feed, job.id)]

            follower = asyncio.create_task(collect())
            claim = await asyncio.to_thread(store.claim, job.id, 1, "one")
            assert claim is not None
            await asyncio.to_thread(store.heartbeat, claim, progress=Progress(step=1))
            while not await asyncio.to_thread(world.events.is_watched, job.id):
                await asyncio.sleep(0.01)
            await asyncio.to_thread(world.events.preview, claim, b"picture", step=1)
            await asyncio.to_thread(store.fail, claim, Failure(code="x", message="y"))
            return await follower

    kinds = asyncio.run(asyncio.wait_for(story(), LONG / 2))
    told = ["state", "state", "progress", "preview", "progress", "state"]
    assert kinds == [EventKind(kind) for kind in told]


def test_a_follower_resumes_where_it_was(world: "World") -> None:
    """With the id of the last event it saw, a client gets what it missed and nothing twice."""

    async def story() -> None:
        store = world.store()
        job = submitted(store)
        store.cancel(job.id)
        first, *rest = world.events.read(job.id)
        async with world.feed() as feed:
            events = [event async for event in follow_events(store, world.events, feed, job.id, after=first.id)]
        assert events == rest

    asyncio.run(asyncio.wait_for(story(), LONG / 2))


def test_waiters_that_vanish_leave_nothing(world: "World") -> None:
    """Cancelled waiters are forgotten by the feed."""

    async def story() -> None:
        store = world.store()
        job = submitted(store)
        async with world.feed() as feed:
            tasks = [
                asyncio.create_task(wait_for_change(store, feed, job.id, version=1, seconds=LONG)) for _ in range(20)
            ]
            await asyncio.sleep(0.05)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert len(feed._listeners) == 0

    asyncio.run(asyncio.wait_for(story(), LONG / 2))


@pytest.mark.faults
def test_the_feed_survives_a_restart_of_the_server(own_valkey: "EmbeddedRedis") -> None:
    """After the server was killed and came back, waiters are woken again, by the subscription."""
    from nigaoe_core.store.lifecycle import JobPolicy
    from nigaoe_core.store.redis_link import RedisLink

    store = JobStore(RedisLink(own_valkey.url, patience_seconds=30), JobPolicy())
    job = submitted(store)

    async def story() -> Job:
        async with ChangeFeed(own_valkey.url) as feed:
            await feed.subscribed()
            waiter = asyncio.create_task(wait_for_change(store, feed, job.id, version=1, seconds=LONG))
            await asyncio.sleep(0)
            await asyncio.to_thread(own_valkey.kill)
            await asyncio.to_thread(own_valkey.start)
            await asyncio.to_thread(store.cancel, job.id)
            found = await waiter
            await feed.subscribed()
            return found

    assert asyncio.run(asyncio.wait_for(story(), LONG / 2)).state is JobState.CANCELLED
    store.close()
