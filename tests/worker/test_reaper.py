import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from nigaoe_core.errors import StoreUnavailable
from nigaoe_core.jobs import Job, JobState, Outcome
from nigaoe_core.queue import Dispatcher
from nigaoe_core.services import Services
from nigaoe_core.settings import Settings
from nigaoe_core.store.blob_store import CROP, new_folder
from nigaoe_core.store.retention import Retention
from nigaoe_worker.reaper import Reaper

Until = Callable[[Callable[[], object]], None]

HASTY = {"lease_seconds": 1.0, "doorbell_seconds": 1.0, "orphan_hours": 0.5 / 3600}

forgetful = pytest.mark.parametrize("retention_seconds", [0.3])
"""Ended jobs are erased at once: on a loaded machine before a story could look at how they ended."""


@pytest.fixture
def retention_seconds() -> float:
    """Longer than any story."""
    return 3600.0


@pytest.fixture
def settings(settings: Settings, retention_seconds: float) -> Settings:
    """Whatever else is due is so within a second."""
    return settings.model_copy(update=HASTY | {"retention_hours": retention_seconds / 3600})


@pytest.fixture
def running(services: Services) -> Iterator[Reaper]:
    """A reaper at work."""
    made = Reaper(services)
    made.start()
    yield made
    made.close()


def test_a_lost_workers_job_is_announced_again(running: Reaper, client: Any, until: Until) -> None:
    """The lease ends, the job waits at its next attempt, and a worker is woken."""
    job = client.convert()
    client.claim(job, "vanished")
    until(lambda: client.get(job).state is JobState.QUEUED)
    running.close()
    assert (client.get(job).attempt, client.get(job).losses) == (2, 1)
    assert (job.id, 2) in client.wake_ups()


@pytest.mark.usefixtures("running")
def test_the_third_lost_worker_is_the_last(client: Any, until: Until) -> None:
    """A photo that kills its workers does not kill them for ever."""
    job = client.convert()
    for losses in (1, 2, 3):
        client.claim(client.get(job), f"victim-{losses}")
        until(lambda losses=losses: client.get(job).losses == losses)
    assert (client.get(job).state, client.get(job).error.code) == (JobState.FAILED, "worker_lost")


@pytest.mark.usefixtures("running")
def test_a_lost_message_is_sent_again(client: Any, until: Until) -> None:
    """A queued job that nobody claims is announced once more."""
    job = client.convert()
    client.wake_ups()
    messages: list[tuple[str, int]] = []
    until(lambda: messages.extend(client.wake_ups()) or messages)
    assert set(messages) == {(job.id, 1)}


@forgetful
def test_an_ended_job_is_forgotten_in_its_time(client: Any, services: Services, until: Until) -> None:
    """Record and pictures go together."""
    job = client.convert()
    services.store.succeed(client.claim(job), Outcome(blobs={}))
    made = Reaper(services)  # Not before: a lease of a second may be over before the job is.
    made.start()
    until(lambda: not services.store.known([job.id]))
    until(lambda: not list(services.blobs.list_blobs()))
    made.close()


def test_blobs_without_a_job_are_found(services: Services, until: Until) -> None:
    """An upload whose process died before it submitted the job; what is fresh is left alone."""
    key = new_folder("public") + "/" + CROP
    services.blobs.put(key, b"face")
    path = Path(services.blobs.root) / key
    os.utime(path, (time.time() - 60, time.time() - 60))
    fresh = new_folder("public") + "/" + CROP
    lenient = Retention(services.store, services.blobs, orphan_seconds=30)
    made = Reaper(replace(services, retention=lenient))
    until(lambda: made.round() or not services.blobs.exists(key))
    services.blobs.put(fresh, b"face")
    made._orphans_at = 0.0
    made.round()
    assert services.blobs.exists(fresh)


def test_one_of_many_looks_for_orphans(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listing the whole store is one worker's work, however many there are; an hour later it is anyone's again."""
    listed = []
    monkeypatch.setattr(services.blobs, "list_blobs", lambda: iter(listed.append(1) or ()))
    hourly = replace(services, settings=services.settings.model_copy(update={"orphan_hours": 1.0}))
    many = [Reaper(hourly) for _ in range(5)]
    for made in many:
        made._orphans_at = 0.0
        made.round()
    assert len(listed) == 1


def test_a_record_of_a_newer_version_stops_nothing(services: Services, client: Any, until: Until) -> None:
    """It goes into quarantine; the job beside it is announced, and it is, too, when it can be read."""
    broken, whole = client.convert(), client.convert()
    client.wake_ups()
    made, link = Reaper(services), services.store.link

    def rewrite(record: str) -> None:
        link.call(lambda client: client.hset(link.key("job", broken.id), "record", record))

    rewrite('{"format": 2}')
    messages: list[tuple[str, int]] = []
    until(lambda: made.round() or messages.extend(client.wake_ups()) or messages)
    assert (set(messages), services.store.queue().quarantined) == ({(whole.id, 1)}, 1)
    rewrite(broken.to_json())
    until(lambda: made.round() or (broken.id, 1) in client.wake_ups())


class Silent(Dispatcher):
    """A queue that is away."""

    def __init__(self) -> None:
        """There is nothing to open."""

    @override
    def wake(self, job: Job) -> None:
        raise StoreUnavailable


@forgetful
def test_one_duty_that_fails_does_not_hinder_the_others(services: Services, client: Any, until: Until) -> None:
    """The queue is away: jobs are still repaired and erased, and announced when it is back."""
    lost, old = client.convert(), client.convert()
    client.claim(lost)
    services.store.succeed(client.claim(old), Outcome(blobs={}))
    silent = Reaper(replace(services, dispatcher=Silent()))
    until(lambda: silent.round() or (client.get(lost).attempt == 2 and not services.store.known([old.id])))
    client.wake_ups()
    loud, messages = Reaper(services), []
    until(lambda: loud.round() or messages.extend(client.wake_ups()) or messages)
    assert (lost.id, 2) in messages
