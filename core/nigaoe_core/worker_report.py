"""What a worker tells about itself, and the honest estimate of waiting time that follows from it."""

import math
from collections.abc import Sequence
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nigaoe_core.jobs import Job, JobState, Method, Preset, Progress, Seconds

SEARCHING = Progress().stage
"""The stage that consists of steps."""


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
    feed_forward: tuple[str, ...] = Field((), description="Those of the styles that draw in one pass.")
    job_seconds: Seconds | None = Field(
        None, description="Recent mean from claim to end of one job; None: unknown yet."
    )
    step_seconds: Seconds | None = Field(None, description="Recent mean of one optimisation step of the whole batch.")
    overhead_seconds: Seconds | None = Field(None, description="Recent mean of what a job takes beside its search.")
    budgets: dict[str, int] = Field(default_factory=dict, description="Steps that a job may take: see `budget_name`.")

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Read a stored report; None: a worker of another version wrote something that this one does not know."""
        try:
            return cls.model_validate_json(text)
        except ValidationError:
            return None


def budget_name(method: Method, preset: Preset) -> str:
    """The key of `WorkerReport.budgets`."""
    return f"{method.value}/{preset.value}"


def seconds_left(job: Job, *, ahead: int, workers: Sequence[WorkerReport], now: float) -> Seconds | None:
    """Estimate the seconds until a job ends, from measured rates; None when nothing was measured or nobody works.

    A job's own time is its steps at the workers' mean step time, and what jobs take beside their search; of a running
    one only the steps that remain. Where that is not known yet, it is the mean time of a job. Queued: the jobs ahead
    leave in waves of as many as there are slots, each as long as a mean job, then it runs itself. A job of a style that
    draws in one pass takes what others take beside their search. Restyles and instant portraits have no steps and wait
    for no slot, so there is nothing to estimate: they are there in a moment.

    Args:
        job: The job.
        ahead: Queued jobs before it (`JobStore.position`); ignored once it runs.
        workers: Reports of the living workers.
        now: The store's clock.
    """
    if job.state.is_end:
        return 0.0
    if not job.is_searched:
        return None
    working = [worker for worker in workers if worker.ready and worker.slots]
    if job.state is JobState.RUNNING:
        return _running_left(job, working, now)
    own = _whole(job, working)
    if own is None:
        return None
    slots = sum(worker.slots for worker in working)
    free = max(0, slots - sum(worker.busy for worker in working))
    waves = max(0, math.ceil((ahead + 1 - free) / slots))
    return waves * (_mean(working, "job_seconds") or own) + own


def _running_left(job: Job, working: Sequence[WorkerReport], now: float) -> Seconds | None:
    mine = [worker for worker in working if job.lease and worker.worker == job.lease.worker] or working
    step_seconds = _mean(mine, "step_seconds")
    if job.progress and job.progress.total and step_seconds is not None:
        steps = max(0, job.progress.total - job.progress.step) if job.progress.stage == SEARCHING else 0
        return steps * step_seconds + (_mean(mine, "overhead_seconds") or 0.0)
    whole = _whole(job, mine)
    if whole is None or job.started_at is None:
        return None
    return max(0.0, whole - (now - job.started_at))


def _whole(job: Job, workers: Sequence[WorkerReport]) -> Seconds | None:
    """From claim to end."""
    if any(job.options.style in worker.feed_forward for worker in workers):
        return _mean(workers, "overhead_seconds")
    name = budget_name(job.options.method, job.options.preset)
    steps = max((worker.budgets.get(name, 0) for worker in workers), default=0)
    step_seconds = _mean(workers, "step_seconds")
    if steps and step_seconds is not None:
        return steps * step_seconds + (_mean(workers, "overhead_seconds") or 0.0)
    return _mean(workers, "job_seconds")


def _mean(workers: Sequence[WorkerReport], name: str) -> float | None:
    """The mean of what those workers report that have measured it."""
    values = [value for worker in workers if (value := getattr(worker, name)) is not None]
    return sum(values) / len(values) if values else None
