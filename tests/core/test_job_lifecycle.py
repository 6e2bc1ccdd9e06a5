"""The rules as pure functions: what may follow what, and what the reaper makes of a job."""

import itertools

import pytest

from nigaoe_core.errors import IllegalTransition, LeaseLost
from nigaoe_core.jobs import TRANSITIONS, Failure, Job, JobOptions, JobState, Outcome, new_job
from nigaoe_core.store.job_records import Claim
from nigaoe_core.store.job_rows import DueIndex, write_of
from nigaoe_core.store.lifecycle import (
    JobPolicy,
    cancel_asked,
    cancelled,
    check_held,
    claimed,
    expired,
    failed,
    handed_back,
    renewed,
    repaired,
    submitted,
    succeeded,
)

POLICY = JobPolicy(lease_seconds=10, deadline_seconds=100, retention_seconds=1000, max_attempts=2)
LOST = Failure(code="x", message="y")


def queued(**options: object) -> Job:
    return submitted(new_job(JobOptions.model_validate(options)), 0.0, POLICY)


def running() -> Job:
    return claimed(queued(), "one", 1.0, POLICY)


def in_state(state: JobState) -> Job:
    return {
        JobState.QUEUED: queued,
        JobState.RUNNING: running,
        JobState.SUCCEEDED: lambda: succeeded(running(), Outcome(blobs={}), 2.0, POLICY),
        JobState.FAILED: lambda: failed(running(), LOST, 2.0, POLICY),
        JobState.CANCELLED: lambda: cancelled(queued(), 2.0, POLICY),
        JobState.EXPIRED: lambda: expired(queued(), 2.0, POLICY),
    }[state]()


MOVES = {
    JobState.QUEUED: lambda job: handed_back(job, 3.0, POLICY),
    JobState.RUNNING: lambda job: claimed(job, "two", 3.0, POLICY),
    JobState.SUCCEEDED: lambda job: succeeded(job, Outcome(blobs={}), 3.0, POLICY),
    JobState.FAILED: lambda job: failed(job, LOST, 3.0, POLICY),
    JobState.CANCELLED: lambda job: cancelled(job, 3.0, POLICY),
    JobState.EXPIRED: lambda job: expired(job, 3.0, POLICY),
}


@pytest.mark.parametrize(("old", "new"), list(itertools.product(JobState, JobState)))
def test_the_table_of_transitions_is_the_law(old: JobState, new: JobState) -> None:
    """Every pair of states is either in the table and possible, or neither."""
    job = in_state(old)
    if new in TRANSITIONS[old]:
        assert MOVES[new](job).state is new
    else:
        with pytest.raises(IllegalTransition):
            MOVES[new](job)


def test_the_reaper_leaves_a_living_worker_alone() -> None:
    """Before the lease is over, nothing is to be repaired."""
    job = running()
    assert repaired(job, 10.9, POLICY) is job


def test_the_reaper_counts_losses() -> None:
    """An expired lease is a new attempt, and at the cap the end."""
    again = repaired(running(), 11.0, POLICY)
    assert (again.state, again.attempt, again.losses, again.lease) == (JobState.QUEUED, 2, 1, None)
    end = repaired(claimed(again, "two", 12.0, POLICY), 22.0, POLICY)
    assert (end.state, end.error and end.error.code) == (JobState.FAILED, "worker_lost")


def test_a_stuck_worker_loses_its_job_a_lease_after_the_deadline() -> None:
    """Until then it may end the job by itself; signs of life alone do not keep it for ever."""
    job = renewed(running(), 105.0, POLICY, {})
    assert repaired(job, 109.9, POLICY) is job
    assert repaired(job, 110.0, POLICY).state is JobState.EXPIRED


def test_the_deadline_wins_over_another_attempt() -> None:
    """A lost worker's job that is late anyway does not wait again."""
    assert repaired(renewed(running(), 95.0, POLICY, {}), 105.0, POLICY).state is JobState.EXPIRED


def test_tokens_grow_over_attempts() -> None:
    """A token is never given out twice."""
    job = running()
    tokens = [job.fencing_token]
    for time in range(2, 6):
        job = claimed(handed_back(job, float(time), POLICY), "next", float(time), POLICY)
        tokens.append(job.fencing_token)
    assert tokens == [1, 2, 3, 4, 5]


def test_only_the_claim_in_force_holds() -> None:
    """The token decides, not the worker's name."""
    job = running()
    assert check_held(job, Claim(job, 1)) is job
    for held, token in ((job, 2), (queued(), 1), (None, 1)):
        with pytest.raises(LeaseLost):
            check_held(held, Claim(job, token))


def test_asking_twice_to_cancel_is_asking_once() -> None:
    """The second time changes nothing, not even the version."""
    asked = cancel_asked(running(), 2.0, POLICY)
    assert asked.cancel_requested
    assert cancel_asked(asked, 3.0, POLICY) is asked


def test_an_unfinished_job_always_has_a_due_deadline() -> None:
    """Queued, running, ended: each is found by the part of the reaper that it needs, and by no other."""
    queued_due = write_of(None, queued(), POLICY, 0.0).due
    running_due = write_of(queued(), running(), POLICY, 1.0).due
    job = cancelled(queued(webhook_url="https://example.org"), 2.0, POLICY)
    assert queued_due == {DueIndex.DEADLINE: 100.0, DueIndex.WAKE_UP: 15.0}
    assert running_due == {DueIndex.LEASE: 11.0, DueIndex.DEADLINE: 110.0}
    assert write_of(queued(), job, POLICY, 2.0).due == {DueIndex.RETENTION: 1002.0, DueIndex.WEBHOOK: 2.0}
