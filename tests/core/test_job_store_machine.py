"""Whatever happens in whatever order, a job ends once: random histories over every implementation."""

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule, run_state_machine_as_test

from nigaoe_core.errors import LeaseLost, UnknownJob
from nigaoe_core.jobs import Failure, Job, JobKind, JobOptions, JobState, Outcome, Progress, new_job
from nigaoe_core.store.events import EventKind
from nigaoe_core.store.job_records import Claim

if TYPE_CHECKING:
    from conftest import World


@dataclass
class History:
    """What must be true of one job by all that happened so far."""

    parent: str | None = None
    tokens: list[int] = field(default_factory=list)
    ended: Job | None = None
    is_deleted: bool = False


class JobHistories(RuleBasedStateMachine):
    """Clients, workers, zombies and reapers that do anything at any time.

    Two stores look at one table: in the hasty one a lease is over as soon as it is given, so time never has to pass.
    """

    world: ClassVar["World"]
    jobs = Bundle("jobs")
    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.store = self.world.store(retention_seconds=3600)
        self.hasty = self.world.store(retention_seconds=3600, lease_seconds=0)
        for job in self.store.list_jobs("public", limit=1000).jobs:
            self.store.delete(job.id)
        self.histories: dict[str, History] = {}

    @rule(target=jobs, priority=st.integers(0, 9))
    def submit(self, priority: int) -> str:
        job = self.store.submit([new_job(JobOptions(priority=priority))]).jobs[0]
        self.histories[job.id] = History()
        return job.id

    @rule(target=jobs, parent=jobs)
    def restyle(self, parent: str) -> str:
        root = self.histories[parent].parent or parent
        job = new_job(JobOptions(), kind=JobKind.RESTYLE, parent_id=root)
        if self.histories[root].is_deleted:
            with pytest.raises(UnknownJob):
                self.store.submit([job])
            return parent
        for _ in range(2):  # The first answer may be lost.
            assert [stored.id for stored in self.store.submit([job]).jobs] == [job.id]
        self.histories[job.id] = History(parent=root)
        return job.id

    @rule(target=claims, job_id=jobs, attempt=st.integers(1, 4), is_doomed=st.booleans())
    def deliver(self, job_id: str, attempt: int, *, is_doomed: bool) -> Claim | None:
        claim = (self.hasty if is_doomed else self.store).claim(job_id, attempt, "worker")
        if claim is not None:
            history = self.histories[job_id]
            assert history.ended is None
            assert claim.token > max(history.tokens, default=0)
            history.tokens.append(claim.token)
        return claim

    @rule(claim=claims, step=st.integers(0, 100))
    def beat(self, claim: Claim | None, step: int) -> None:
        self.write(claim, lambda held: self.store.heartbeat(held, progress=Progress(step=step)))

    @rule(claim=claims)
    def lapse(self, claim: Claim | None) -> None:
        self.write(claim, self.hasty.heartbeat)

    @rule(claim=claims, device_lost=st.booleans())
    def hand_back(self, claim: Claim | None, *, device_lost: bool) -> None:
        self.write(claim, lambda held: self.store.hand_back(held, device_lost=device_lost))

    @rule(claim=consumes(claims), how=st.sampled_from(["succeed", "fail", "cancel", "expire"]))
    def end(self, claim: Claim | None, how: str) -> None:
        endings = {
            "succeed": lambda held: self.store.succeed(held, Outcome(blobs={})),
            "fail": lambda held: self.store.fail(held, Failure(code="x", message="y")),
            "cancel": self.store.finish_cancelled,
            "expire": self.store.finish_expired,
        }
        self.write(claim, endings[how])

    @rule(job_id=jobs)
    def cancel(self, job_id: str) -> None:
        with contextlib.suppress(UnknownJob):
            job = self.store.cancel(job_id)
            assert job.state.is_end or job.cancel_requested
            assert self.store.cancel(job_id) == job

    @rule(job_id=jobs)
    def delete(self, job_id: str) -> None:
        restyles = {name for name, one in self.histories.items() if one.parent == job_id}
        wanted = {name for name in {job_id, *restyles} if not self.histories[name].is_deleted}
        assert {erased.job_id for erased in self.store.delete(job_id)} == wanted
        assert self.store.delete(job_id) == ()
        for name in wanted:
            self.histories[name].is_deleted = True

    @rule()
    def reap(self) -> None:
        for job in self.store.requeue_expired().ended:
            assert self.histories[job.id].ended is None

    def write(self, claim: Claim | None, write: object) -> None:
        """A write is accepted exactly if this claim is the job's last and the job was not ended or given back."""
        if claim is None:
            return
        before = None
        with contextlib.suppress(UnknownJob):
            before = self.store.get(claim.job_id)
        holds = before is not None and before.lease is not None and before.lease.token == claim.token
        try:
            write(claim)  # type: ignore[operator]  # Any of the store's guarded calls.
        except LeaseLost:
            assert not holds
        else:
            # Repeating what this very claim did last is accepted, too, and changes nothing.
            after = self.store.get(claim.job_id)
            assert holds or after == before
            if after.lease is None:
                write(claim)  # type: ignore[operator]  # As above.
                assert self.store.get(claim.job_id) == after

    @invariant()
    def ends_once(self) -> None:
        for job_id, history in self.histories.items():
            try:
                job = self.store.get(job_id)
            except UnknownJob:
                assert history.is_deleted
                continue
            assert not history.is_deleted
            assert history.ended in (None, job)
            history.ended = job if job.state.is_end else None
            states = [event for event in self.world.events.read(job_id) if event.kind is EventKind.STATE]
            assert sum(JobState(event.data["state"]).is_end for event in states) == job.state.is_end
            assert not job.state.is_end or (job.progress is not None and job.progress.fraction == 1)
            assert (job.lease is not None) is (job.state is JobState.RUNNING)

    @invariant()
    def indexes_agree(self) -> None:
        jobs = self.store.list_jobs("public", limit=1000).jobs
        assert {job.id for job in jobs} == {name for name, one in self.histories.items() if not one.is_deleted}
        report = self.store.queue()
        for state in JobState:
            assert report.states[state] == sum(job.state is state for job in jobs)
        assert report.queued == report.states[JobState.QUEUED]
        assert self.store.active_jobs("public") == sum(not job.state.is_end for job in jobs)
        waiting = [job for job in jobs if job.state is JobState.QUEUED]
        waiting.sort(key=lambda job: (-job.options.priority, job.created_at, job.id))
        assert [self.store.position(job.id) for job in waiting] == list(range(len(waiting)))


def test_a_job_ends_exactly_once(world: "World") -> None:
    """No order of clients, workers, zombies and reapers makes a job end twice, run twice, or get lost."""
    machine = type("JobHistoriesHere", (JobHistories,), {"world": world})
    run_state_machine_as_test(machine, settings=settings(max_examples=25, stateful_step_count=30, deadline=None))
