"""What a worker tells about itself, and the honest estimate of waiting time that follows from it."""

import math
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from core.jobs import Job, JobState, Seconds


class WorkerReport(BaseModel):
    """One worker process at one moment."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    worker: str = Field(description="host:pid:random")
    ready: bool = Field(description="False while it warms up or drains.")
    version: str = ""
    device: str = "cpu"
    slots: int = Field(ge=0, description="Jobs it optimises at once.")
    busy: int = Field(0, ge=0, description="Slots in use.")
    styles: tuple[str, ...] = ()
    job_seconds: Seconds | None = Field(
        None, description="Recent mean from claim to end of one job; None: unknown yet."
    )
    step_seconds: Seconds | None = Field(None, description="Recent mean of one optimisation step of the whole batch.")


def seconds_left(job: Job, *, ahead: int, workers: Sequence[WorkerReport], now: float) -> Seconds | None:
    """Estimate the seconds until a job ends, from measured rates; None when nothing was measured or nobody works.

    Running: the remaining steps at the workers' mean step time, once a step is known; otherwise the mean time of a job
    less what has passed. Queued: the jobs ahead leave in waves of as many as there are slots, then it runs itself.

    Args:
        job: The job.
        ahead: Queued jobs before it (`core.job_store.JobDesk.position`); ignored once it runs.
        workers: Reports of the living workers.
        now: The store's clock.
    """
    if job.state.is_end:
        return 0.0
    working = [worker for worker in workers if worker.ready and worker.slots]
    job_seconds = _mean([worker.job_seconds for worker in working if worker.job_seconds is not None])
    if job.state is JobState.RUNNING:
        return _running_left(job, working, job_seconds, now)
    if job_seconds is None:
        return None
    slots = sum(worker.slots for worker in working)
    free = max(0, slots - sum(worker.busy for worker in working))
    waves = max(0, math.ceil((ahead + 1 - free) / slots))
    return (waves + 1) * job_seconds


def _running_left(job: Job, working: Sequence[WorkerReport], job_seconds: Seconds | None, now: float) -> Seconds | None:
    mine = [worker for worker in working if job.lease and worker.worker == job.lease.worker] or working
    step_seconds = _mean([worker.step_seconds for worker in mine if worker.step_seconds is not None])
    if job.progress and job.progress.total and step_seconds is not None:
        return max(0, job.progress.total - job.progress.step) * step_seconds
    if job_seconds is None or job.started_at is None:
        return None
    return max(0.0, job_seconds - (now - job.started_at))


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
