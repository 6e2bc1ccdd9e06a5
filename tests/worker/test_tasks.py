import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from typing_extensions import override

from nigaoe_core.errors import NigaoeError, NoFace, StoreUnavailable
from nigaoe_core.jobs import Job, JobState, Outcome
from nigaoe_core.services import Services
from nigaoe_core.settings import Settings
from nigaoe_core.store.blob_store import CROP, ON_REQUEST, PHOTO, RESULT_PNG
from nigaoe_core.store.job_store import JobStore
from nigaoe_worker.admission import Admission
from nigaoe_worker.convert import JobRunner
from nigaoe_worker.device import Engine
from nigaoe_worker.job_blobs import JobBlobs
from nigaoe_worker.leases import ClaimedJob, LeaseKeeper, StopCause
from nigaoe_worker.metrics import Metrics
from nigaoe_worker.model_cache import ModelCache
from nigaoe_worker.slot_batch import DeviceLost
from nigaoe_worker.tasks import JobTasks

Until = Callable[[Callable[[], object]], None]
Script = Callable[[ClaimedJob, JobBlobs], Outcome]


class Scripted:
    """Work that does what a story says."""

    def __init__(self) -> None:
        self.script: Script = lambda _claimed, _blobs: Outcome(blobs={})

    def run(self, claimed: ClaimedJob, blobs: JobBlobs) -> Outcome:
        return self.script(claimed, blobs)


@pytest.fixture
def work() -> Scripted:
    """What a job does."""
    return Scripted()


@pytest.fixture
def keeper(services: Services, settings: Settings) -> Iterator[LeaseKeeper]:
    """A running keeper."""
    made = LeaseKeeper(services.store, services.events, settings)
    made.start()
    yield made
    made.close()


@pytest.fixture
def admission() -> Admission:
    """Capacity for two."""
    return Admission(2)


@pytest.fixture
def tasks(services: Services, keeper: LeaseKeeper, admission: Admission, work: Scripted, metrics: Metrics) -> JobTasks:
    """A worker's tasks."""
    return JobTasks(services, keeper, admission, work.run, metrics, "w1")


def stored(blobs: JobBlobs) -> Outcome:
    blobs.put(RESULT_PNG, b"picture")
    return Outcome(blobs=blobs.stored)


def all_keys(services: Services) -> set[str]:
    return {blob.key for blob in services.blobs.list_blobs()}


def test_a_photo_becomes_a_portrait(
    services: Services, keeper: LeaseKeeper, engine: Engine, models: ModelCache, settings: Settings, client: Any,
    metrics: Metrics, crop: bytes,
) -> None:  # fmt: skip
    """With the real work: claimed, searched, drawn, stored, ended, and the photo is gone when it has ended."""
    tasks = JobTasks(services, keeper, Admission(2), JobRunner(engine, models, settings).run, metrics, "w1")
    job = client.convert(paste_back=True, blobs={PHOTO: crop})
    tasks.handle(job.id, 1)
    ended = client.get(job)
    assert ended.state is JobState.SUCCEEDED
    assert PHOTO not in ended.blobs
    assert not services.blobs.exists(job.blobs[PHOTO])
    assert all_keys(services) == {key for name, key in ended.blobs.items() if name not in ON_REQUEST}
    assert metrics.job_seconds.value is not None


def test_the_same_message_ten_times_is_one_run(
    tasks: JobTasks, work: Scripted, client: Any, in_thread: Callable[..., threading.Thread]
) -> None:
    """Together or one after the other: one claim, one run."""
    runs: list[str] = []

    def script(claimed: ClaimedJob, blobs: JobBlobs) -> Outcome:
        runs.append(claimed.job.id)
        return stored(blobs)

    work.script = script
    job = client.convert()
    threads = [in_thread(tasks.handle, job.id, 1) for _ in range(10)]
    for thread in threads:
        thread.join(60)
    tasks.handle(job.id, 1)
    assert runs == [job.id]
    assert client.get(job).state is JobState.SUCCEEDED


@pytest.mark.parametrize(("job_id", "attempt"), [("no-such-job", 1), (None, 2)])
def test_a_stray_message_does_nothing(tasks: JobTasks, client: Any, job_id: str | None, attempt: int) -> None:
    """A job that was deleted, and one that is at another attempt."""
    job = client.convert()
    tasks.handle(job_id or job.id, attempt)
    assert client.get(job).state is JobState.QUEUED


def test_a_jobs_own_fault_fails_it_by_name(tasks: JobTasks, work: Scripted, client: Any, services: Services) -> None:
    """With the code that people look up; nothing of the photo stays."""

    def script(_claimed: ClaimedJob, blobs: JobBlobs) -> Outcome:
        stored(blobs)
        raise NoFace("There is no face in this photo.")

    work.script = script
    job = client.convert()
    tasks.handle(job.id, 1)
    ended = client.get(job)
    assert ended.state is JobState.FAILED
    assert (ended.error.code, ended.error.message) == ("no_face", "There is no face in this photo.")
    assert all_keys(services) == set()


def test_our_own_fault_fails_it_without_details(tasks: JobTasks, work: Scripted, client: Any) -> None:
    """A bug ends the job, says nothing of its insides, and the worker goes on."""

    def script(_claimed: ClaimedJob, _blobs: JobBlobs) -> Outcome:
        raise KeyError("/home/secret/photo.jpg")

    work.script = script
    job = client.convert()
    tasks.handle(job.id, 1)
    ended = client.get(job)
    assert (ended.state, ended.error.code) == (JobState.FAILED, NigaoeError.code)
    assert "secret" not in ended.error.message


@pytest.mark.parametrize(
    ("cause", "state"),
    [
        (StopCause.CANCELLED, JobState.CANCELLED),
        (StopCause.EXPIRED, JobState.EXPIRED),
        (StopCause.DRAINED, JobState.QUEUED),
    ],
)
def test_a_stopped_job_ends_as_it_was_stopped(
    tasks: JobTasks, work: Scripted, client: Any, services: Services, cause: StopCause, state: JobState
) -> None:
    """What it stored until then is cleared; a drained job keeps its crop and waits at its next attempt."""

    def script(claimed: ClaimedJob, blobs: JobBlobs) -> Outcome:
        outcome = stored(blobs)
        claimed.stop(cause)
        return outcome

    work.script = script
    job = client.convert()
    tasks.handle(job.id, 1)
    ended = client.get(job)
    assert ended.state is state
    assert all_keys(services) == ({job.blobs[CROP]} if state is JobState.QUEUED else set())
    assert ended.attempt == (2 if state is JobState.QUEUED else 1)
    assert ended.losses == 0


def test_a_drained_job_is_announced_again(tasks: JobTasks, work: Scripted, client: Any) -> None:
    """Another worker hears of it at once, not when the reaper wonders."""
    job = client.convert()
    client.wake_ups()

    def script(claimed: ClaimedJob, _blobs: JobBlobs) -> Outcome:
        claimed.stop(StopCause.DRAINED)
        return Outcome(blobs={})

    work.script = script
    tasks.handle(job.id, 1)
    assert client.wake_ups() == [(job.id, 2)]


def test_a_lost_device_hands_the_job_back(tasks: JobTasks, work: Scripted, client: Any) -> None:
    """A job that only waited for it is not at fault, and another worker may do it, as often as it takes."""

    def script(_claimed: ClaimedJob, _blobs: JobBlobs) -> Outcome:
        raise DeviceLost("gone")

    work.script = script
    job = client.convert()
    for attempt in range(1, 6):
        tasks.handle(job.id, attempt)
    assert (client.get(job).state, client.get(job).attempt, client.get(job).losses) == (JobState.QUEUED, 6, 0)


@pytest.mark.parametrize("is_draining", [False, True])
def test_a_job_that_kills_the_device_does_not_do_it_for_ever(
    tasks: JobTasks, work: Scripted, client: Any, settings: Settings, is_draining: bool
) -> None:
    """A device lost counts against what it computed, also where the worker is about to give all jobs back anyway."""

    def script(claimed: ClaimedJob, _blobs: JobBlobs) -> Outcome:
        if is_draining:
            claimed.stop(StopCause.DRAINED)
        raise DeviceLost(computing=True)

    work.script = script
    job = client.convert()
    for attempt in range(1, settings.max_attempts):
        tasks.handle(job.id, attempt)
        assert (client.get(job).state, client.get(job).losses) == (JobState.QUEUED, attempt)
        assert client.get(job).is_suspect
    tasks.handle(job.id, settings.max_attempts)
    assert (client.get(job).state, client.get(job).error.code) == (JobState.FAILED, "worker_lost")


def test_a_lost_lease_is_not_given_back(tasks: JobTasks, work: Scripted, client: Any) -> None:
    """The job's next worker must not pay for this device."""

    def script(claimed: ClaimedJob, _blobs: JobBlobs) -> Outcome:
        claimed.stop(StopCause.LEASE_LOST)
        raise DeviceLost(computing=True)

    work.script = script
    job = client.convert()
    tasks.handle(job.id, 1)
    assert (client.get(job).state, client.get(job).losses) == (JobState.RUNNING, 0)


def test_what_nobody_expected_of_the_stores_ends_with_the_message(
    tasks: JobTasks, services: Services, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread is there for the next message; the job is found by the reaper."""
    job, claim = client.convert(), services.store.claim
    monkeypatch.setattr(services.store, "claim", lambda *_: 1 // 0)
    tasks.handle(job.id, 1)
    assert (tasks.in_flight, services.errors.counts["job"]) == (0, 1)
    monkeypatch.setattr(services.store, "claim", claim)
    tasks.handle(job.id, 1)
    assert client.get(job).state is JobState.SUCCEEDED


def test_a_zombie_writes_nothing(tasks: JobTasks, work: Scripted, client: Any, services: Services) -> None:
    """It lost its lease while it slept: the next holder's result stands, the zombie's blobs go."""
    results: dict[str, str] = {}

    def script(claimed: ClaimedJob, blobs: JobBlobs) -> Outcome:
        outcome = stored(blobs)
        second = services.store.claim(claimed.job.id, services.store.hand_back(claimed.claim).attempt, "w2")
        key = f"{claimed.job.folder}/2-{RESULT_PNG}"
        services.blobs.put(key, b"the other's")
        services.store.succeed(second, Outcome(blobs={RESULT_PNG: key}))
        results.update(zombie=outcome.blobs[RESULT_PNG], other=key)
        return outcome

    work.script = script
    job = client.convert()
    tasks.handle(job.id, 1)
    ended = client.get(job)
    assert (ended.state, ended.blobs[RESULT_PNG]) == (JobState.SUCCEEDED, results["other"])
    assert services.blobs.get(results["other"]) == b"the other's"
    assert not services.blobs.exists(results["zombie"])


class Fading(JobStore):
    """A job store that is away for the first few ends."""

    away = 0

    @override
    def succeed(self, claim: Any, outcome: Outcome) -> Job:
        if self.away:
            self.away -= 1
            raise StoreUnavailable
        return super().succeed(claim, outcome)


def test_the_end_is_written_when_the_store_is_back(
    services: Services, keeper: LeaseKeeper, admission: Admission, work: Scripted, metrics: Metrics, client: Any
) -> None:
    """Minutes of work are not thrown away because Redis restarts."""
    fading = Fading(services.store.link, services.store.policy)
    fading.away = 2
    tasks = JobTasks(replace(services, store=fading), keeper, admission, work.run, metrics, "w1")
    job = client.convert()
    tasks.handle(job.id, 1)
    assert client.get(job).state is JobState.SUCCEEDED
    assert fading.away == 0


def test_a_process_that_ends_stops_insisting(
    services: Services, keeper: LeaseKeeper, admission: Admission, work: Scripted, metrics: Metrics, client: Any
) -> None:
    """The lease runs out instead, and the job is done elsewhere."""
    fading = Fading(services.store.link, services.store.policy)
    fading.away = 10_000
    tasks = JobTasks(replace(services, store=fading), keeper, admission, work.run, metrics, "w1")
    tasks.give_up()
    job = client.convert()
    tasks.handle(job.id, 1)
    assert client.get(job).state is JobState.RUNNING
    assert tasks.in_flight == 0


def test_a_restyle_waits_for_no_conversion(
    tasks: JobTasks,
    work: Scripted,
    client: Any,
    admission: Admission,
    in_thread: Callable[..., threading.Thread],
    until: Until,
) -> None:
    """All capacity is taken by conversions, and somebody waits at the screen."""
    is_over = threading.Event()

    def script(claimed: ClaimedJob, _blobs: JobBlobs) -> Outcome:
        if claimed.job.parent_id is None:
            assert is_over.wait(60)
        return Outcome(blobs={})

    work.script = script
    jobs = [client.convert() for _ in range(3)]
    for job in jobs:
        in_thread(tasks.handle, job.id, 1)
    until(lambda: admission.waiting == 1)
    restyle = client.restyle(jobs[0])
    tasks.handle(restyle.id, 1)
    assert client.get(restyle).state is JobState.SUCCEEDED
    assert [client.get(job).state for job in jobs].count(JobState.QUEUED) == 1  # It waits unclaimed.
    is_over.set()
    assert tasks.wait_until_idle(60)


def test_draining_passes_messages_on(tasks: JobTasks, client: Any, admission: Admission) -> None:
    """What comes after SIGTERM is left queued and announced again; restyles, too."""
    job = client.convert()
    restyle = client.restyle(job)
    client.wake_ups()
    admission.close()
    tasks.handle(job.id, 1)
    tasks.handle(restyle.id, 1)
    assert client.wake_ups() == [(job.id, 1), (restyle.id, 1)]
    assert {client.get(job).state, client.get(restyle).state} == {JobState.QUEUED}
    assert tasks.handled == 2
