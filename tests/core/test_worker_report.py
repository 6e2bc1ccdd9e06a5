"""Honest time left, from what workers measured."""

import pytest

from nigaoe_core.jobs import Job, JobKind, JobOptions, Preset, Progress, new_job
from nigaoe_core.store.lifecycle import JobPolicy, cancelled, claimed, submitted
from nigaoe_core.worker_report import WorkerReport, seconds_left

POLICY = JobPolicy()
QUEUED = submitted(new_job(JobOptions()), 0.0, POLICY)


def worker(name: str = "one", **facts: object) -> WorkerReport:
    return WorkerReport.model_validate({"worker": name, "ready": True, "slots": 4, "job_seconds": 10.0, **facts})


def running(step: int, total: int = 100) -> Job:
    job = claimed(QUEUED, "one", 0.0, POLICY)
    return job.model_copy(update={"progress": Progress(step=step, total=total)})


def test_without_measurements_there_is_no_estimate() -> None:
    """Better none than a guess: no worker, a worker that warms up, a worker that has not finished a job."""
    for workers in ([], [worker(ready=False)], [worker(job_seconds=None)]):
        assert seconds_left(QUEUED, ahead=0, workers=workers, now=0.0) is None


@pytest.mark.parametrize(
    ("ahead", "busy", "seconds"), [(0, 0, 10), (3, 0, 10), (0, 4, 20), (4, 4, 30), (3, 4, 20), (0, 3, 10), (1, 3, 20)]
)
def test_the_queue_leaves_in_waves(ahead: int, busy: int, seconds: float) -> None:
    """Four slots take four jobs at once; who finds no free one waits a wave."""
    assert seconds_left(QUEUED, ahead=ahead, workers=[worker(busy=busy)], now=0.0) == seconds


def test_more_workers_are_sooner() -> None:
    """All slots of all workers count."""
    crowd = [worker("one", busy=4), worker("two", busy=4)]
    assert seconds_left(QUEUED, ahead=7, workers=crowd[:1], now=0.0) == 30
    assert seconds_left(QUEUED, ahead=7, workers=crowd, now=0.0) == 20


def test_a_running_job_counts_its_steps() -> None:
    """Remaining steps at the rate of the very worker that runs it."""
    workers = [worker("one", step_seconds=0.1), worker("two", step_seconds=9.0)]
    assert seconds_left(running(step=40), ahead=0, workers=workers, now=0.0) == pytest.approx(6.0)


def test_before_the_first_step_the_mean_job_counts() -> None:
    """Nothing is known of this job yet but when it began; an overdue one has no negative time."""
    job = claimed(QUEUED, "one", 100.0, POLICY)
    assert seconds_left(job, ahead=0, workers=[worker()], now=104.0) == pytest.approx(6.0)
    assert seconds_left(job, ahead=0, workers=[worker()], now=200.0) == 0.0


@pytest.mark.parametrize(("preset", "seconds"), [(Preset.DRAFT, 4.0), (Preset.BEST, 41.0)])
def test_thorough_jobs_take_longer_than_quick_ones(preset: Preset, seconds: float) -> None:
    """The steps of its own preset count, not the mean of what others ordered."""
    job = submitted(new_job(JobOptions(preset=preset)), 0.0, POLICY)
    measured = worker(step_seconds=0.1, overhead_seconds=1.0, budgets={"cross/draft": 30, "cross/best": 400})
    assert seconds_left(job, ahead=0, workers=[measured], now=0.0) == pytest.approx(seconds)
    assert seconds_left(job, ahead=4, workers=[measured], now=0.0) == pytest.approx(10.0 + seconds)
    begun = claimed(job, "one", 0.0, POLICY)
    assert seconds_left(begun, ahead=0, workers=[measured], now=1.0) == pytest.approx(seconds - 1.0)


def test_after_the_last_step_drawing_and_storing_remain() -> None:
    """And their time is measured, too."""
    workers = [worker("one", step_seconds=0.1, overhead_seconds=1.5)]
    job = running(step=40)
    assert seconds_left(job, ahead=0, workers=workers, now=0.0) == pytest.approx(7.5)
    stored = job.model_copy(update={"progress": Progress(stage="storing", step=40, total=100)})
    assert seconds_left(stored, ahead=0, workers=workers, now=0.0) == pytest.approx(1.5)


def test_a_restyle_is_not_measured_by_conversions() -> None:
    """It has no steps and passes the slots by."""
    job = submitted(new_job(JobOptions(), kind=JobKind.RESTYLE), 0.0, POLICY)
    assert seconds_left(job, ahead=9, workers=[worker(step_seconds=0.1)], now=0.0) is None


def test_an_ended_job_has_no_time_left() -> None:
    """It is there."""
    assert seconds_left(cancelled(QUEUED, 1.0, POLICY), ahead=0, workers=[], now=2.0) == 0.0
