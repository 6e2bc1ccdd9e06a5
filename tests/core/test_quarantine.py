"""One record that cannot be read, among innocents, over a real Valkey."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nigaoe_core.errors import UnknownJob, UnreadableJob
from nigaoe_core.jobs import Failure, Job, JobOptions, JobState, Outcome, Progress, new_job
from nigaoe_core.store.blob_store import CROP, LATENT
from nigaoe_core.store.events import EventKind
from nigaoe_core.store.folder_blob_store import FolderBlobStore
from nigaoe_core.store.job_records import AdmissionLimits, Claim, Idempotency
from nigaoe_core.store.job_store import JobStore
from nigaoe_core.store.retention import Retention
from nigaoe_core.store.signed_links import LinkSigner
from nigaoe_core.worker_report import WorkerReport

if TYPE_CHECKING:
    from conftest import World

HOOK = "https://example.org/hook"
BROKEN = Failure(code="numerical_failure", message="The numbers ran away.")


@pytest.fixture
def blobs(tmp_path: Path, signer: LinkSigner) -> FolderBlobStore:
    return FolderBlobStore(tmp_path / "blobs", signer)


def submitted(store: JobStore, **options: object) -> Job:
    return store.submit([new_job(JobOptions.model_validate(options))]).jobs[0]


def claimed(store: JobStore, job: Job) -> Claim:
    claim = store.claim(job.id, job.attempt, "one")
    assert claim is not None
    return claim


def of_a_newer_version(job: Job) -> str:
    """The record as a later Nigaoe might write it, with a preset that this one does not know."""
    record = json.loads(job.to_json())
    record["options"]["preset"] = "sublime"
    return json.dumps(record)


def test_what_a_newer_version_added_is_kept(world: "World") -> None:
    """Unknown fields, in the record and inside its parts, are there after a claim, a heartbeat and the end."""
    store = world.store()
    job = submitted(store)
    record = json.loads(job.to_json())
    record |= {"mood": {"smile": [1, 2]}, "options": record["options"] | {"frame": "oval"}}
    world.spoil(job.id, json.dumps(record))
    claim = claimed(store, job)
    store.heartbeat(claim, progress=Progress(step=1, total=2))
    ended = json.loads(store.succeed(claim, Outcome(blobs={})).to_json())
    assert (ended["mood"], ended["options"]["frame"]) == ({"smile": [1, 2]}, "oval")
    assert store.get(job.id).state is JobState.SUCCEEDED
    assert store.queue().quarantined == 0


def test_forty_sweeps_with_one_broken_record(world: "World", blobs: FolderBlobStore) -> None:
    """The jobs beside it are announced, repaired, called back and forgotten as if it were not there."""
    store = world.store(retention_seconds=0, lease_seconds=0, wake_up_seconds=0, webhook_pause_seconds=0)
    retention = Retention(store, blobs, orphan_seconds=3600)
    ended = [_ended_with_latent(store, blobs) for _ in range(4)]
    waiting, running = [submitted(store) for _ in range(2)], [submitted(store) for _ in range(2)]
    for job in running:
        claimed(store, job)
    for broken in (ended[1], waiting[0], running[0]):
        world.spoil(broken.id, '{"format": 1, "id": ')
    requeued, woken, called = set[str](), set[str](), set[str]()
    for _ in range(40):
        requeued |= {job.id for job in store.requeue_expired().requeued}
        woken |= {job.id for job in store.due_wake_ups()}
        called |= {job.id for job, _ in store.due_webhooks()}
        retention.sweep()
    assert requeued == {running[1].id}
    assert woken == {waiting[1].id, running[1].id}
    assert called == {ended[index].id for index in (0, 2, 3)}
    assert list(blobs.list_blobs()) == []


def _ended_with_latent(store: JobStore, blobs: FolderBlobStore) -> Job:
    job = submitted(store, webhook_url=HOOK)
    key = f"{job.folder}/{LATENT}"
    blobs.put(key, b"latent")
    return store.succeed(claimed(store, job), Outcome(blobs={LATENT: key}))


def test_a_broken_record_is_in_no_list_and_no_count(world: "World") -> None:
    """It holds no place in the queue, no share of its owner's quota, and the page of jobs goes on without it."""
    store = world.store()
    before, broken, after = submitted(store), submitted(store), submitted(store)
    world.spoil(broken.id, of_a_newer_version(broken))
    assert [job.id for job in store.list_jobs("public").jobs] == [after.id, before.id]
    report = store.queue()
    assert (report.queued, report.states[JobState.QUEUED], report.quarantined) == (2, 2, 1)
    assert (store.active_jobs("public"), store.position(after.id)) == (2, 1)
    limits = AdmissionLimits(max_queued=3, max_active=3)
    assert store.submit([new_job(JobOptions())], limits=limits).jobs
    assert store.quarantined() == [broken.id]


@pytest.mark.parametrize("state", ["queued", "running", "ended"])
def test_the_first_reader_puts_it_into_quarantine(world: "World", state: str) -> None:
    """Reading, claiming or cancelling it says what is wrong, in any state; to other tenants it does not exist."""
    store = world.store()
    job = submitted(store)
    if state != "queued":
        claim = claimed(store, job)
        if state == "ended":
            store.fail(claim, BROKEN)
    world.spoil(job.id, "[]")
    for meet in (
        lambda: store.get(job.id, tenant="public"),
        lambda: store.claim(job.id, 1, "one"),
        lambda: store.cancel(job.id),
    ):
        with pytest.raises(UnreadableJob):
            meet()
    with pytest.raises(UnknownJob):
        store.get(job.id, tenant="somebody else")
    report = store.queue()
    assert (report.queued, report.running, report.quarantined, sum(report.states.values())) == (0, 0, 1, 0)
    assert store.known([job.id]) == {job.id}


def test_a_repeated_order_goes_on_without_it(store: JobStore, world: "World") -> None:
    """An Idempotency-Key of two jobs still gives the one that can be read."""
    key = Idempotency("key", "body")
    broken, whole = store.submit([new_job(JobOptions()), new_job(JobOptions())], idempotency=key).jobs
    world.spoil(broken.id, "")
    again = store.submit([new_job(JobOptions())], idempotency=key)
    assert (again.replayed, again.jobs) == (True, (whole,))


@pytest.mark.parametrize(
    "record", ["", "[]", '{"folder": "../../etc"}', '{"folder": "public/20200101/other"}', "newer"]
)
def test_deleting_reads_no_record(world: "World", blobs: FolderBlobStore, record: str) -> None:
    """A face can be erased by its job's id, whatever the record says: row, events, key and blobs are gone."""
    store = world.store()
    job = store.submit([new_job(JobOptions())], idempotency=Idempotency("key", "body")).jobs[0]
    blobs.put(f"{job.folder}/{CROP}", b"face")
    world.spoil(job.id, of_a_newer_version(job) if record == "newer" else record)
    retention = Retention(store, blobs, orphan_seconds=3600)
    assert not retention.erase(job.id, tenant="somebody else")
    assert retention.erase(job.id, tenant="public")
    assert not retention.erase(job.id)
    assert list(blobs.list_blobs()) == []
    assert store.queue().quarantined == 0
    assert job.id not in world.contents()


def test_rows_of_earlier_versions_are_erased_too(world: "World", blobs: FolderBlobStore) -> None:
    """They do not say their folder beside the record; it follows from the record, or from the day of the job."""
    store, link = world.store(), world.link
    jobs = [submitted(store) for _ in range(2)]
    for job in jobs:
        blobs.put(f"{job.folder}/{CROP}", b"face")
        key = link.key("job", job.id)
        link.call(lambda client, key=key: client.hdel(key, "folder"))
    world.spoil(jobs[0].id, of_a_newer_version(jobs[0]))
    world.spoil(jobs[1].id, "torn")
    retention = Retention(store, blobs, orphan_seconds=3600)
    assert all(retention.erase(job.id) for job in jobs)
    assert list(blobs.list_blobs()) == []


def test_a_quarantined_job_is_forgotten_in_time(world: "World", blobs: FolderBlobStore) -> None:
    """Nobody may ever be able to read it, and it holds somebody's face."""
    store = world.store(retention_seconds=0)
    job = submitted(store)
    blobs.put(f"{job.folder}/{CROP}", b"face")
    world.spoil(job.id, "torn")
    assert store.due_wake_ups() == []
    store.list_jobs("public")
    assert Retention(store, blobs, orphan_seconds=3600).sweep().jobs == 1
    assert (list(blobs.list_blobs()), store.queue().quarantined) == ([], 0)


def test_who_can_read_it_takes_it_up_again(world: "World") -> None:
    """After the roll forward every job is where it was: in the queue by its age, under its lease, in the list."""
    store = world.store()
    first, second, running = (submitted(store) for _ in range(3))
    claim = claimed(store, running)
    jobs = [store.get(job.id) for job in (first, running)]
    for job in jobs:
        world.spoil(job.id, of_a_newer_version(job))
    store.list_jobs("public")
    assert (store.queue().quarantined, store.readmit()) == (2, [])
    for job in jobs:
        world.spoil(job.id, job.to_json())
    assert sorted(store.readmit()) == sorted(job.id for job in jobs)
    assert store.readmit() == []
    report = store.queue()
    assert (report.queued, report.running, report.quarantined) == (2, 1, 0)
    assert (store.position(first.id), store.position(second.id), store.active_jobs("public")) == (0, 1, 3)
    assert len(store.list_jobs("public").jobs) == 3
    assert store.succeed(claim, Outcome(blobs={})).state is JobState.SUCCEEDED


def test_a_newer_worker_does_not_wait_for_that(world: "World") -> None:
    """In a mixed fleet its message may reach a worker that can read it; claiming takes it out of quarantine."""
    store = world.store()
    job = submitted(store)
    world.spoil(job.id, of_a_newer_version(job))
    store.list_jobs("public")
    world.spoil(job.id, job.to_json())
    claimed(store, job)
    report = store.queue()
    assert (report.queued, report.running, report.quarantined, store.active_jobs("public")) == (0, 1, 0, 1)


@pytest.mark.parametrize("is_settled", [True, False])
def test_a_webhook_is_not_owed_twice(world: "World", *, is_settled: bool) -> None:
    """What was delivered before the quarantine is not delivered again after it; what was not, is."""
    store = world.store(webhook_pause_seconds=0)
    job = submitted(store, webhook_url=HOOK)
    ended = store.fail(claimed(store, job), BROKEN)
    if is_settled:
        store.settle_webhook(job.id)
    world.spoil(job.id, "torn")
    store.list_jobs("public")
    world.spoil(job.id, ended.to_json())
    assert store.readmit() == [job.id]
    assert [due.id for due, _ in store.due_webhooks()] == ([] if is_settled else [job.id])


def test_a_strange_report_hides_no_other_worker(world: "World") -> None:
    """Waiting times and readiness follow from the reports that can be read."""
    store, link = world.store(), world.link
    for name in ("old", "new"):
        store.report_worker(WorkerReport(worker=name, ready=True, slots=2), seconds=60)
    link.call(lambda client: client.set(link.key("worker", "new"), '{"worker": "new", "slots": "many"}'))
    assert [report.worker for report in store.workers()] == ["old"]


def test_a_strange_event_hides_no_other_event(world: "World") -> None:
    """A stream goes on behind an event of a kind that this version does not know."""
    store, link = world.store(), world.link
    job = submitted(store)
    link.call(lambda client: client.xadd(link.key("events", job.id), {"kind": "sound", "data": "{}"}))
    store.cancel(job.id)
    states = [event.data["state"] for event in world.events.read(job.id) if event.kind is EventKind.STATE]
    assert states == ["queued", "cancelled"]
