"""What the job store promises, over a real Valkey."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from nigaoe_core.errors import IdempotencyConflict, LeaseLost, QueueFull, QuotaExceeded, UnknownJob, UsageError
from nigaoe_core.jobs import Failure, Job, JobKind, JobOptions, JobReport, JobState, Outcome, Progress, new_job
from nigaoe_core.store import job_store
from nigaoe_core.store.blob_store import CROP, LATENT, PHOTO, RESULT_PNG
from nigaoe_core.store.events import EventKind
from nigaoe_core.store.job_records import AdmissionLimits, Claim, Idempotency, Submission
from nigaoe_core.store.job_store import JobStore
from nigaoe_core.store.lifecycle import JobPolicy, repaired
from nigaoe_core.worker_report import WorkerReport

if TYPE_CHECKING:
    from conftest import World

BROKEN = Failure(code="numerical_failure", message="The numbers ran away.")


def submitted(store: JobStore, tenant: str = "public", **options: object) -> Job:
    job = new_job(JobOptions.model_validate(options), tenant=tenant)
    return store.submit([job]).jobs[0]


def claimed(store: JobStore, job: Job, worker: str = "one") -> Claim:
    claim = store.claim(job.id, job.attempt, worker)
    assert claim is not None
    return claim


def done(job: Job) -> Outcome:
    return Outcome(
        blobs={RESULT_PNG: f"{job.folder}/{RESULT_PNG}"}, report=JobReport(steps=7), timings={"upscale": 0.5}
    )


def test_a_job_goes_from_order_to_result(store: JobStore) -> None:
    """Submit, claim, progress, succeed: every step shows in the record."""
    job = submitted(store)
    assert (job.state, job.version, store.position(job.id)) == (JobState.QUEUED, 1, 0)
    claim = claimed(store, job)
    assert claim.job.state is JobState.RUNNING
    assert store.position(job.id) is None
    store.heartbeat(claim, progress=Progress(step=3, total=9), timings={"detect": 0.1})
    ended = store.succeed(claim, done(job))
    assert ended == store.get(job.id)
    assert (ended.state, ended.version, ended.lease) == (JobState.SUCCEEDED, 4, None)
    assert ended.timings == {"detect": 0.1, "upscale": 0.5}
    assert ended.report == JobReport(steps=7)
    assert ended.expires_at is not None
    assert ended.ended_at is not None
    assert ended.created_at <= ended.ended_at < ended.expires_at


def test_ten_deliveries_of_one_message_give_one_claim(store: JobStore) -> None:
    """However many threads get the message at once, one of them gets the job."""
    job = submitted(store)
    start = threading.Barrier(10)

    def answer(number: int) -> Claim | None:
        start.wait()
        return store.claim(job.id, 1, f"worker {number}")

    with ThreadPoolExecutor(10) as pool:
        claims = [claim for claim in pool.map(answer, range(10)) if claim is not None]
    assert len(claims) == 1
    assert store.get(job.id).lease == claims[0].job.lease


def test_a_message_of_another_attempt_is_refused(store: JobStore) -> None:
    """A message that comes late, for an attempt that is over, gives nothing."""
    job = submitted(store)
    again = store.hand_back(claimed(store, job))
    assert store.claim(job.id, 1, "late") is None
    assert claimed(store, again).token == 2


def test_claiming_what_does_not_exist_gives_nothing(store: JobStore) -> None:
    """A message may outlive its job."""
    assert store.claim(new_job(JobOptions()).id, 1, "one") is None


def test_a_heartbeat_renews_the_lease_without_waking_clients(store: JobStore) -> None:
    """Only news raise the version."""
    claim = claimed(store, submitted(store))
    before = store.get(claim.job_id)
    after = store.heartbeat(claim)
    assert before.lease is not None
    assert after.lease is not None
    assert after.version == before.version
    assert after.lease.deadline > before.lease.deadline
    assert store.heartbeat(claim, blobs={LATENT: f"{before.folder}/{LATENT}"}).version == before.version + 1


def test_a_zombie_is_refused_everywhere(world: "World") -> None:
    """A worker that slept through its lease can change nothing any more."""
    hasty, store = world.store(lease_seconds=0), world.store()
    job = submitted(store)
    zombie = claimed(hasty, job, "zombie")
    (again,) = store.requeue_expired().requeued
    heir = claimed(store, again, "heir")
    for write in (
        lambda: store.heartbeat(zombie, progress=Progress(step=99)),
        lambda: store.succeed(zombie, done(job)),
        lambda: store.fail(zombie, BROKEN),
        lambda: store.finish_cancelled(zombie),
        lambda: store.finish_expired(zombie),
        lambda: store.hand_back(zombie),
    ):
        with pytest.raises(LeaseLost):
            write()
    assert not world.events.preview(zombie, b"picture", step=1)
    assert store.get(job.id) == heir.job
    assert heir.token > zombie.token


def test_a_lost_worker_costs_an_attempt_and_the_third_the_job(world: "World") -> None:
    """Two workers may vanish; at the third the job fails, says so, and its blobs are forgotten."""
    store = world.store(lease_seconds=0, max_attempts=3)
    job = submitted(store)
    for attempt in (1, 2):
        claimed(store, job)
        (job,) = store.requeue_expired().requeued
        assert (job.attempt, job.losses, job.state) == (attempt + 1, attempt, JobState.QUEUED)
    claimed(store, job)
    (ended,) = store.requeue_expired().ended
    assert ended.error is not None
    assert (ended.state, ended.error.code, ended.blobs) == (JobState.FAILED, "worker_lost", {})
    assert store.requeue_expired() == type(store.requeue_expired())()


def test_a_living_worker_is_left_alone(store: JobStore) -> None:
    """The reaper touches nothing whose lease still runs."""
    claim = claimed(store, submitted(store))
    assert store.requeue_expired().requeued == ()
    assert store.heartbeat(claim).state is JobState.RUNNING


def test_handing_back_costs_no_attempt(store: JobStore) -> None:
    """A worker that shuts down gives its jobs back; they keep their place by age and can be claimed again."""
    old, young = submitted(store), submitted(store)
    again = store.hand_back(claimed(store, old))
    assert (again.state, again.attempt, again.losses) == (JobState.QUEUED, 2, 0)
    assert (store.position(old.id), store.position(young.id)) == (0, 1)


def test_a_lost_device_costs_an_attempt_and_the_third_the_job(world: "World") -> None:
    """A job that kills its device is suspect from then on, and fails at the third: it cannot kill every worker."""
    store = world.store(max_attempts=3)
    job = submitted(store)
    assert not claimed(store, job).is_suspect
    for attempt in (1, 2):
        claim = Claim(store.get(job.id), attempt)
        job = store.hand_back(claim, device_lost=True)
        assert (job.state, job.attempt, job.losses) == (JobState.QUEUED, attempt + 1, attempt)
        assert claimed(store, job).is_suspect
    last = Claim(store.get(job.id), 3)
    ended = store.hand_back(last, device_lost=True)
    assert ended.error is not None
    assert (ended.state, ended.error.code, ended.losses) == (JobState.FAILED, "worker_lost", 3)
    assert store.hand_back(last, device_lost=True) == ended
    assert [due.member for due in store.due_erasures()] == [job.folder + "/"]


def test_a_job_that_cannot_be_repaired_keeps_no_other(world: "World", monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected exception in one job's repair is counted; the jobs of other lost workers go on."""
    store = world.store(lease_seconds=0)
    jobs = [submitted(store) for _ in range(3)]
    for job in jobs:
        claimed(store, job)

    def faulty(job: Job, now: float, policy: JobPolicy) -> Job:
        if job.id == jobs[1].id:
            raise RuntimeError("not foreseen")
        return repaired(job, now, policy)

    monkeypatch.setattr(job_store, "repaired", faulty)
    assert {job.id for job in store.requeue_expired().requeued} == {jobs[0].id, jobs[2].id}
    assert store.errors.counts == {"repairs": 1}


def test_handing_back_after_a_lost_device_counts_once(store: JobStore) -> None:
    """A worker whose answer was lost says it again; one loss stays one, and a job that is not wanted any more ends."""
    job, unwanted = submitted(store), submitted(store)
    claim, other = claimed(store, job), claimed(store, unwanted)
    assert store.hand_back(claim, device_lost=True) == store.hand_back(claim, device_lost=True)
    assert store.get(job.id).losses == 1
    store.cancel(unwanted.id)
    assert store.hand_back(other, device_lost=True).state is JobState.CANCELLED
    assert store.hand_back(other, device_lost=True) == store.get(unwanted.id)


def test_a_job_of_a_vanished_worker_is_suspect(world: "World") -> None:
    """Nobody can tell what a worker died of, so what it ran runs alone next time."""
    store = world.store(lease_seconds=0)
    claimed(store, submitted(store))
    (again,) = store.requeue_expired().requeued
    assert claimed(store, again).is_suspect


def test_repeating_an_end_is_harmless_and_another_end_is_refused(store: JobStore) -> None:
    """A reply may get lost and the call be repeated; but a job ends only once."""
    job = submitted(store)
    claim = claimed(store, job)
    ended = store.succeed(claim, done(job))
    assert store.succeed(claim, done(job)) == ended
    with pytest.raises(LeaseLost):
        store.fail(claim, BROKEN)
    assert store.get(job.id) == ended


def test_cancelling_is_idempotent_in_every_state(store: JobStore) -> None:
    """Queued: at once. Running: a flag that the worker sees. Ended: nothing happens."""
    queued, running = submitted(store), submitted(store)
    assert store.cancel(queued.id).state is JobState.CANCELLED
    assert store.cancel(queued.id) == store.get(queued.id)
    claim = claimed(store, running)
    asked = store.cancel(running.id)
    assert (asked.state, asked.cancel_requested) == (JobState.RUNNING, True)
    assert store.cancel(running.id).version == asked.version
    assert store.heartbeat(claim).cancel_requested
    assert store.finish_cancelled(claim).state is JobState.CANCELLED
    assert store.cancel(running.id).state is JobState.CANCELLED


def test_a_cancelled_job_of_a_lost_worker_does_not_run_again(world: "World") -> None:
    """Nobody wants it any more, so the reaper ends it."""
    store = world.store(lease_seconds=0)
    job = submitted(store)
    claimed(store, job)
    store.cancel(job.id)
    assert [ended.state for ended in store.requeue_expired().ended] == [JobState.CANCELLED]


def test_a_deadline_ends_what_waits_too_long(world: "World") -> None:
    """The reaper expires a queued job past its deadline, and a late claim finds it expired."""
    store = world.store(deadline_seconds=0)
    swept, late = submitted(store), submitted(store)
    assert store.claim(late.id, 1, "one") is None
    assert store.get(late.id).state is JobState.EXPIRED
    (ended,) = store.requeue_expired().ended
    assert ended.error is not None
    assert (ended.id, ended.state, ended.error.code) == (swept.id, JobState.EXPIRED, "deadline_exceeded")


def test_deleting_erases_everything_at_any_time(world: "World") -> None:
    """Record, events, indexes and key go; the worker notices; the folder is due to be erased."""
    store = world.store(lease_seconds=0)
    idempotency = Idempotency("key", "body")
    (job,) = store.submit([new_job(JobOptions())], idempotency=idempotency).jobs
    claim = claimed(store, job)
    assert store.delete(job.id)
    assert not store.delete(job.id)
    with pytest.raises(LeaseLost):
        store.heartbeat(claim)
    with pytest.raises(UnknownJob):
        store.get(job.id)
    assert world.events.read(job.id) == []
    assert not world.events.preview(claim, b"picture", step=1)
    assert store.list_jobs("public").jobs == ()
    assert (store.queue().queued, store.queue().running, store.active_jobs("public")) == (0, 0, 0)
    assert [due.member for due in store.due_erasures()] == [job.folder + "/"]
    assert not store.submit([new_job(JobOptions())], idempotency=idempotency).replayed


def test_others_jobs_do_not_exist(store: JobStore) -> None:
    """With a tenant given, another's job can be neither read nor cancelled nor deleted."""
    job = submitted(store, tenant="ann")
    with pytest.raises(UnknownJob):
        store.get(job.id, tenant="bob")
    with pytest.raises(UnknownJob):
        store.cancel(job.id, tenant="bob")
    assert not store.delete(job.id, tenant="bob")
    assert store.get(job.id, tenant="ann").state is JobState.QUEUED


def test_urgent_first_then_by_age(store: JobStore) -> None:
    """The position counts who runs before."""
    first, second = submitted(store), submitted(store)
    urgent, idle = submitted(store, priority=9), submitted(store, priority=0)
    assert [store.position(job.id) for job in (urgent, first, second, idle)] == [0, 1, 2, 3]


def test_the_queue_report_counts(store: JobStore) -> None:
    """Waiting and running jobs, the age of the oldest, and jobs by state."""
    submitted(store)
    running, ended = submitted(store), submitted(store)
    claimed(store, running)
    store.fail(claimed(store, ended), BROKEN)
    report = store.queue()
    assert (report.queued, report.running, report.states[JobState.FAILED]) == (1, 1, 1)
    assert report.oldest_age > 0
    assert store.active_jobs("public") == 2


def test_pages_do_not_shift(store: JobStore) -> None:
    """A tenant's jobs come newest first, and a job made between two pages shows in neither."""
    jobs = [submitted(store, tenant="ann") for _ in range(5)]
    submitted(store, tenant="bob")
    page = store.list_jobs("ann", limit=2)
    submitted(store, tenant="ann")
    rest = store.list_jobs("ann", limit=3, cursor=page.next_cursor)
    assert [job.id for job in (*page.jobs, *rest.jobs)] == [job.id for job in reversed(jobs)]
    assert rest.next_cursor is None


def test_a_strange_cursor_is_refused(store: JobStore) -> None:
    """Cursors are given out by the store; anything else is the caller's mistake."""
    with pytest.raises(UsageError):
        store.list_jobs("ann", cursor="+inf")


def test_the_same_key_gives_the_same_jobs(store: JobStore) -> None:
    """A repeated request gets the jobs of the first time; another body with the key is an error."""
    key = Idempotency("key", "body")
    first = store.submit([new_job(JobOptions()), new_job(JobOptions())], idempotency=key)
    again = store.submit([new_job(JobOptions()), new_job(JobOptions())], idempotency=key)
    assert (first.replayed, again.replayed) == (False, True)
    assert again.jobs == first.jobs
    with pytest.raises(IdempotencyConflict):
        store.submit([new_job(JobOptions())], idempotency=Idempotency("key", "other"))
    assert not store.submit([new_job(JobOptions(), tenant="bob")], idempotency=key).replayed
    assert store.queue().queued == 3


def test_a_key_lives_as_long_as_any_of_its_jobs(store: JobStore) -> None:
    """Deleting one of two jobs keeps the key, deleting the last frees it."""
    key = Idempotency("key", "body")
    one, two = store.submit([new_job(JobOptions()), new_job(JobOptions())], idempotency=key).jobs
    store.delete(one.id)
    assert store.submit([new_job(JobOptions())], idempotency=key).jobs == (two,)
    store.delete(two.id)
    assert not store.submit([new_job(JobOptions())], idempotency=key).replayed


def test_a_race_with_one_key_makes_one_job(store: JobStore) -> None:
    """Ten requests with one key at once are one request."""
    start = threading.Barrier(10)

    def send(_: int) -> str:
        start.wait()
        return store.submit([new_job(JobOptions())], idempotency=Idempotency("key", "body")).jobs[0].id

    with ThreadPoolExecutor(10) as pool:
        assert len(set(pool.map(send, range(10)))) == 1
    assert store.queue().queued == 1


def test_one_name_is_one_job_until_it_fails(store: JobStore) -> None:
    """While it waits, runs, or has succeeded it is returned; failed, it is made anew."""

    def submit(tenant: str = "public") -> Submission:
        return store.submit([new_job(JobOptions(), tenant=tenant)], deduplication_key="look")

    first = submit().jobs[0]
    assert submit() == Submission((store.get(first.id),), replayed=True)
    assert not submit("bob").replayed
    claim = claimed(store, first)
    assert submit().jobs[0].id == first.id
    store.fail(claim, BROKEN)
    second = submit().jobs[0]
    assert second.id != first.id
    store.succeed(claimed(store, second), Outcome(blobs={}))
    store.delete(first.id)
    assert submit().jobs[0].id == second.id
    store.delete(second.id)
    assert submit().jobs[0].id not in (first.id, second.id)


def test_a_race_for_one_name_makes_one_job(store: JobStore) -> None:
    """Ten at once get the same one."""
    start = threading.Barrier(10)

    def send(_: int) -> str:
        start.wait()
        return store.submit([new_job(JobOptions())], deduplication_key="look").jobs[0].id

    with ThreadPoolExecutor(10) as pool:
        assert len(set(pool.map(send, range(10)))) == 1
    assert store.queue().queued == 1


def test_an_idempotency_key_belongs_to_the_job_that_was_there(store: JobStore) -> None:
    """Each of several keys is known afterwards, conflicts, and goes with the job."""
    job = store.submit([new_job(JobOptions())], deduplication_key="look").jobs[0]
    for name in ("one", "two"):
        key = Idempotency(name, "body")
        assert store.submit([new_job(JobOptions())], idempotency=key, deduplication_key="look").jobs[0].id == job.id
        assert store.submit([new_job(JobOptions())], idempotency=key).jobs[0].id == job.id
        with pytest.raises(IdempotencyConflict):
            store.submit([new_job(JobOptions())], idempotency=Idempotency(name, "other"), deduplication_key="look")
    store.delete(job.id)
    assert not store.submit([new_job(JobOptions())], idempotency=Idempotency("two", "other")).replayed


def test_submitting_the_same_jobs_again_changes_nothing(store: JobStore) -> None:
    """A submission whose reply was lost may be repeated as it was."""
    job = new_job(JobOptions())
    assert store.submit([job]).jobs == store.submit([job]).jobs
    assert store.queue().queued == 1


def test_a_full_queue_refuses_all_or_nothing(world: "World") -> None:
    """Length, age and a tenant's share are checked in the step that stores, and the refusal says when to return."""
    store = world.store()
    submitted(store, tenant="ann")
    two = [new_job(JobOptions(), tenant="ann"), new_job(JobOptions(), tenant="ann")]
    with pytest.raises(QueueFull) as full:
        store.submit(two, limits=AdmissionLimits(max_queued=2))
    assert full.value.details["retry_after"] >= 1
    with pytest.raises(QuotaExceeded):
        store.submit(two, limits=AdmissionLimits(max_active=2))
    with pytest.raises(QueueFull):
        store.submit(two, limits=AdmissionLimits(max_queue_age=0))
    assert store.queue().queued == 1
    assert len(store.submit(two, limits=AdmissionLimits(max_queued=3, max_active=3, max_queue_age=600)).jobs) == 2


def test_an_empty_submission_is_a_mistake(store: JobStore) -> None:
    """There is nothing to store."""
    with pytest.raises(UsageError):
        store.submit([])


def test_lost_wake_up_messages_are_due_again(world: "World") -> None:
    """A queued job that nobody claimed is announced again, at growing intervals; a claimed one is not."""
    store = world.store(wake_up_seconds=0)
    waiting, running = submitted(store, priority=7), submitted(store)
    claimed(store, running)
    assert store.due_wake_ups() == [waiting]
    patient = world.store(wake_up_seconds=600)
    patient.due_wake_ups()
    assert store.due_wake_ups() == []


def test_an_ended_job_owes_a_webhook_once(world: "World") -> None:
    """It is due right after the end, comes again until it is settled, and counts its tries."""
    store = world.store(webhook_pause_seconds=0)
    job = submitted(store, webhook_url="https://example.org/hook")
    silent = submitted(store)
    assert store.due_webhooks() == []
    for one in (job, silent):
        store.fail(claimed(store, one), BROKEN)
    assert [(due.id, tries) for due, tries in store.due_webhooks()] == [(job.id, 1)]
    assert [tries for _, tries in store.due_webhooks()] == [2]
    store.settle_webhook(job.id)
    assert store.due_webhooks() == []


def test_a_due_entry_is_taken_by_one(world: "World") -> None:
    """Ten reapers at once share the work."""
    store = world.store(webhook_pause_seconds=600)
    jobs = [submitted(store, webhook_url="https://example.org/hook") for _ in range(5)]
    for job in jobs:
        store.cancel(job.id)
    with ThreadPoolExecutor(10) as pool:
        taken = [due.id for dues in pool.map(lambda _: store.due_webhooks(1), range(10)) for due, _ in dues]
    assert sorted(taken) == sorted(job.id for job in jobs)


def test_the_photo_goes_with_the_end(store: JobStore) -> None:
    """A success keeps crop and results and loses the photo; any other end loses everything."""
    good, bad = submitted(store), submitted(store)
    for job in (good, bad):
        names = {name: f"{job.folder}/{name}" for name in (PHOTO, CROP)}
        store.heartbeat(claimed(store, job), blobs=names)
    ended = store.succeed(Claim(store.get(good.id), 1), done(good))
    assert set(ended.blobs) == {CROP, RESULT_PNG}
    assert store.fail(Claim(store.get(bad.id), 1), BROKEN).blobs == {}
    members = {due.member for due in store.due_erasures()}
    assert members == {f"{good.folder}/{PHOTO}", bad.folder + "/"}
    for member in members:
        store.settle_erasure(member)
    assert store.due_erasures() == []


def test_retention_names_what_is_over(world: "World") -> None:
    """Ended jobs come up after their time, unfinished ones never."""
    store = world.store(retention_seconds=0)
    ended = submitted(store)
    submitted(store)
    store.cancel(ended.id)
    assert store.due_retention() == [ended.id]


def test_only_stored_jobs_are_known(store: JobStore) -> None:
    """The sweep of orphans asks for many ids at once."""
    job, other = submitted(store), new_job(JobOptions())
    assert store.known([job.id, other.id]) == {job.id}
    assert store.known([]) == set()


def test_workers_show_themselves_for_a_while(store: JobStore) -> None:
    """A report is there until its time is over or it is withdrawn."""
    store.report_worker(WorkerReport(worker="b", ready=True, slots=4), seconds=600)
    store.report_worker(WorkerReport(worker="a", ready=False, slots=2), seconds=600)
    assert [report.worker for report in store.workers()] == ["a", "b"]
    store.withdraw_worker("a")
    store.report_worker(WorkerReport(worker="b", ready=True, slots=4), seconds=0.001)
    while store.workers():
        threading.Event().wait(0.01)
    assert store.workers() == []


def test_events_tell_the_story_in_order(world: "World") -> None:
    """States and progress come by themselves; reading goes on behind any event."""
    store = world.store()
    job = submitted(store)
    claim = claimed(store, job)
    store.heartbeat(claim)
    store.heartbeat(claim, progress=Progress(step=1, total=2))
    assert world.events.preview(claim, b"picture", step=1)
    store.succeed(claim, done(job))
    events = world.events.read(job.id)
    assert [event.kind for event in events] == [
        EventKind.STATE, EventKind.STATE, EventKind.PROGRESS, EventKind.PREVIEW, EventKind.PROGRESS, EventKind.STATE,
    ]  # fmt: skip
    assert [event.data["state"] for event in events if event.kind is EventKind.STATE] == [
        "queued", "running", "succeeded",
    ]  # fmt: skip
    assert world.events.read(job.id, after=events[2].id) == events[3:]
    assert world.events.read(job.id, after=events[1].id, limit=1) == events[2:3]


@pytest.mark.parametrize("end", ["succeeded", "failed", "cancelled", "expired"])
def test_an_ended_job_says_what_was_really_done(world: "World", end: str) -> None:
    """All of it, whatever the last heartbeat told; a search that stopped early took as many steps as it took."""
    store = world.store()
    claim = claimed(store, submitted(store))
    store.heartbeat(claim, progress=Progress(step=3, total=30, distance=0.5, distance_start=1.0))
    ended = {
        "succeeded": lambda: store.succeed(
            claim, Outcome(blobs={}, report=JobReport(steps=20, distance_start=1.0, distance_end=0.3))
        ),
        "failed": lambda: store.fail(claim, BROKEN),
        "cancelled": lambda: store.finish_cancelled(claim),
        "expired": lambda: store.finish_expired(claim),
    }[end]()
    steps, total, distance = (20, 20, 0.3) if end == "succeeded" else (3, 30, 0.5)
    wanted = Progress(stage="ended", step=steps, total=total, distance=distance, distance_start=1.0)
    assert (ended.state, ended.progress, wanted.fraction) == (end, wanted, 1.0)
    progress, state = world.events.read(claim.job_id)[-2:]
    assert (progress.kind, progress.data["fraction"], progress.data["step"]) == (EventKind.PROGRESS, 1.0, steps)
    assert (state.kind, state.data["state"]) == (EventKind.STATE, end)


def restyled(store: JobStore, parent: Job, tenant: str = "public") -> Job:
    job = new_job(JobOptions(), tenant=tenant, kind=JobKind.RESTYLE, parent_id=parent.id)
    return store.submit([job], idempotency=Idempotency(f"restyle {job.id}", "body")).jobs[0]


def test_deleting_a_job_deletes_what_was_made_of_it(world: "World") -> None:
    """Restyles that wait, run or have ended go with it; one of another job stays, and nothing names the face."""
    store = world.store()
    parent, other = submitted(store), submitted(store)
    restyles = [restyled(store, parent) for _ in range(3)]
    stays = restyled(store, other)
    claim = claimed(store, restyles[1])
    store.succeed(claimed(store, restyles[2]), done(restyles[2]))
    erased = store.delete(parent.id)
    assert {one.job_id: one.is_held for one in erased} == {
        parent.id: False, restyles[0].id: False, restyles[1].id: True, restyles[2].id: False,
    }  # fmt: skip
    with pytest.raises(LeaseLost):
        store.heartbeat(claim)
    assert {job.id for job in store.list_jobs("public").jobs} == {other.id, stays.id}
    assert store.due_retention() == []
    for one in erased:
        for folder in one.folders:
            store.settle_erasure(folder + "/")
        assert one.job_id not in world.contents()
    assert store.delete(parent.id) == ()


def test_a_restyle_is_deleted_alone(store: JobStore) -> None:
    """Its parent and its siblings are other drawings."""
    parent = submitted(store)
    one, two = restyled(store, parent), restyled(store, parent)
    assert [erased.job_id for erased in store.delete(one.id)] == [one.id]
    assert {job.id for job in store.list_jobs("public").jobs} == {parent.id, two.id}


def test_a_deleted_face_cannot_be_restyled(store: JobStore) -> None:
    """Even if the order was on its way already: a drawing would be left that nobody can find by its parent."""
    parent = submitted(store)
    store.delete(parent.id)
    with pytest.raises(UnknownJob):
        restyled(store, parent)
    assert store.queue().queued == 0


def test_what_a_deletion_did_not_come_to_is_finished(world: "World") -> None:
    """The process died after the parent's row was gone: the sweep, or the owner who deletes again, finds the rest."""
    store = world.store()
    parent, again = submitted(store), submitted(store)
    left, found = restyled(store, parent), restyled(store, again)
    for job in (parent, again):
        facts = store.row_facts(job.id)
        assert facts is not None
        store.erase_row(job.id, facts.revision, {}, with_restyles=True)
    claim = claimed(store, left)
    store.heartbeat(claim)  # Whatever is written to it meanwhile.
    assert [erased.job_id for erased in store.delete(again.id, tenant="public")] == [found.id]
    assert store.delete(parent.id, tenant="somebody else") == ()
    assert store.due_retention() == [left.id]
    store.delete(left.id, with_restyles=False)
    assert store.due_retention() == []


def test_a_restyle_outlives_its_parents_time(store: JobStore) -> None:
    """Each is promised its own; but who deletes the parent still deletes it."""
    parent = submitted(store)
    young = restyled(store, parent)
    store.delete(parent.id, with_restyles=False)
    assert store.get(young.id).state is JobState.QUEUED
    assert store.due_retention() == []
    assert [erased.job_id for erased in store.delete(parent.id)] == [young.id]


def test_many_are_read_at_once(world: "World") -> None:
    """In the order asked for; what is gone, another's, or cannot be read is left out."""
    store = world.store()
    one, two, broken, foreign = (submitted(store, tenant=name) for name in ("ann", "ann", "ann", "bob"))
    world.spoil(broken.id, "torn")
    asked = [two.id, foreign.id, broken.id, new_job(JobOptions()).id, one.id]
    assert store.get_many(asked, tenant="ann") == [two, one]


def test_a_turn_is_taken_by_one(store: JobStore) -> None:
    """For its time; then it is anyone's again."""
    assert [store.take_turn("sweep", 600), store.take_turn("sweep", 600), store.take_turn("other", 0.001)] == [
        True, False, True,
    ]  # fmt: skip
    while not store.take_turn("other", 600):
        threading.Event().wait(0.01)


def test_a_job_is_watched_for_a_while(world: "World") -> None:
    """From a watcher's sign until its time is over or the job is deleted; what is not there is not watched."""
    store = world.store()
    job, other = submitted(store), submitted(store)
    world.events.watch(job.id)
    world.events.watch("nobody")
    assert [world.events.is_watched(name) for name in (job.id, other.id, "nobody")] == [True, False, False]
    claimed(store, job)
    assert world.events.is_watched(job.id)
    world.events.watch(other.id, seconds=0.001)
    while world.events.is_watched(other.id):
        threading.Event().wait(0.01)
    store.delete(job.id)
    world.events.watch(job.id)
    assert not world.events.is_watched(job.id)


def test_a_claim_survives_contention(store: JobStore) -> None:
    """Heartbeats, cancels and readers at once: nothing is lost, and the end is seen by all."""
    job = submitted(store)
    claim = claimed(store, job)

    def beat(step: int) -> int:
        return store.heartbeat(claim, timings={f"stage {step}": 1.0}).version

    with ThreadPoolExecutor(8) as pool:
        versions = list(pool.map(beat, range(40)))
    assert len(set(versions)) == 40
    assert len(store.get(job.id).timings) == 40


def test_an_erasure_comes_at_its_time_and_can_be_settled_before(store: JobStore) -> None:
    """Scheduling it again moves it."""
    store.schedule_erasure("a/", 0)
    store.schedule_erasure("b/", 3600)
    store.schedule_erasure("c/", 3600)
    store.schedule_erasure("c/", 0)
    store.settle_erasure("a/")
    assert [due.member for due in store.due_erasures()] == ["c/"]
