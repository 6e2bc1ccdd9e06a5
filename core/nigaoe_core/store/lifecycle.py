"""The rules of a job's life as pure functions: the record and the time in, the next record out.

None of them changes anything; the table stores the new record only if the old one is still in place.
"""

from dataclasses import dataclass
from typing import Any, Self

from nigaoe_core.errors import DeadlineExceeded, IllegalTransition, LeaseLost, WorkerLost
from nigaoe_core.jobs import ENDED, TRANSITIONS, Failure, Job, JobState, Lease, Outcome, Progress, Seconds, UnixTime
from nigaoe_core.settings import Jobs, Settings
from nigaoe_core.store.blob_store import UPLOADS
from nigaoe_core.store.job_records import Claim

_LATE = Failure(code=DeadlineExceeded.code, message="The job was not finished in time: send it again later.")
_LOST = Failure(
    code=WorkerLost.code, message="The workers that ran this job stopped unexpectedly: try another photo or preset."
)


@dataclass(frozen=True)
class JobPolicy:
    """The operator's choices that the rules depend on; see `nigaoe_core.settings.Jobs` for their meaning."""

    lease_seconds: Seconds = 20.0
    deadline_seconds: Seconds = 900.0
    retention_seconds: Seconds = 24 * 3600.0
    max_attempts: int = 3
    wake_up_seconds: Seconds = 15.0
    webhook_pause_seconds: Seconds = 5.0

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Pick what the rules need out of all settings."""
        jobs: Jobs = settings
        return cls(
            lease_seconds=jobs.lease_seconds,
            deadline_seconds=jobs.job_deadline_seconds,
            retention_seconds=jobs.retention_hours * 3600,
            max_attempts=jobs.max_attempts,
            wake_up_seconds=jobs.doorbell_seconds,
            webhook_pause_seconds=settings.webhook_pause_seconds,
        )


def submitted(job: Job, now: UnixTime, policy: JobPolicy) -> Job:
    """Stamp a new job's times."""
    return job.model_copy(
        update={"created_at": now, "queued_at": now, "deadline_at": now + policy.deadline_seconds},
    )


def claimed(job: Job, worker: str, now: UnixTime, policy: JobPolicy) -> Job:
    """Queued to running, under a lease with the next fencing token."""
    token = job.fencing_token + 1
    lease = Lease(worker=worker, token=token, deadline=now + policy.lease_seconds)
    return _moved(job, JobState.RUNNING, started_at=now, fencing_token=token, lease=lease)


def renewed(job: Job, now: UnixTime, policy: JobPolicy, news: dict[str, Any]) -> Job:
    """A running job with a later lease and, where there is any, news; only news raise the version."""
    if job.lease is None:
        raise LeaseLost("This job does not run any more.")
    lease = job.lease.model_copy(update={"deadline": now + policy.lease_seconds})
    version = job.version + 1 if any(getattr(job, name) != value for name, value in news.items()) else job.version
    return job.model_copy(update={"lease": lease, "version": version, **news})


def succeeded(job: Job, outcome: Outcome, now: UnixTime, policy: JobPolicy) -> Job:
    """Running to succeeded. Uploads leave the record here; their bytes follow through the index of erasures."""
    blobs = {name: key for name, key in (job.blobs | outcome.blobs).items() if name not in UPLOADS}
    report = outcome.report
    # What the last heartbeat told is older than the end: a search may stop before its budget.
    done: dict[str, float] = {"step": report.steps, "total": report.steps}
    distances = {"distance": report.distance_end, "distance_start": report.distance_start}
    done |= {name: value for name, value in distances.items() if value is not None}
    progress = (job.progress or Progress()).model_copy(update={"stage": ENDED, **done})
    news = {"blobs": blobs, "report": report, "timings": job.timings | outcome.timings, "progress": progress}
    return _ended(job, JobState.SUCCEEDED, now, policy, **news)


def failed(job: Job, failure: Failure, now: UnixTime, policy: JobPolicy) -> Job:
    """Running to failed. No blob is of use any more."""
    return _ended(job, JobState.FAILED, now, policy, blobs={}, error=failure)


def cancelled(job: Job, now: UnixTime, policy: JobPolicy) -> Job:
    """Queued or running to cancelled."""
    return _ended(job, JobState.CANCELLED, now, policy, blobs={}, cancel_requested=True)


def expired(job: Job, now: UnixTime, policy: JobPolicy) -> Job:
    """Queued or running to expired: the deadline has passed."""
    return _ended(job, JobState.EXPIRED, now, policy, blobs={}, error=_LATE)


def cancel_asked(job: Job, now: UnixTime, policy: JobPolicy) -> Job:
    """What asking for an end makes of a job in any state."""
    if job.state is JobState.QUEUED:
        return cancelled(job, now, policy)
    if job.state is JobState.RUNNING and not job.cancel_requested:
        return job.model_copy(update={"cancel_requested": True, "version": job.version + 1})
    return job


def handed_back(job: Job, now: UnixTime, policy: JobPolicy) -> Job:
    """Running to queued at a new attempt, unless the job is to end anyway."""
    if job.cancel_requested:
        return cancelled(job, now, policy)
    if now >= job.deadline_at:
        return expired(job, now, policy)
    return _moved(
        job, JobState.QUEUED, lease=None, attempt=job.attempt + 1, queued_at=now, started_at=None, progress=None
    )


def lost(job: Job, now: UnixTime, policy: JobPolicy) -> Job:
    """Running to queued because its worker or its device is gone; to failed when that has happened too often."""
    counted = job.model_copy(update={"losses": job.losses + 1})
    if counted.losses >= policy.max_attempts and not job.cancel_requested:
        return failed(counted, _LOST, now, policy)
    return handed_back(counted, now, policy)


def repaired(job: Job, now: UnixTime, policy: JobPolicy) -> Job:
    """What has to become of a job at this moment if nobody else touches it; the same record if all is well."""
    if job.lease is not None and now >= job.lease.deadline:
        return lost(job, now, policy)
    if not job.state.is_end and now >= last_moment(job, policy):
        return cancelled(job, now, policy) if job.cancel_requested else expired(job, now, policy)
    return job


def last_moment(job: Job, policy: JobPolicy) -> UnixTime:
    """When the store ends an unfinished job by itself: a running one gets a lease longer, so its worker can do it."""
    return job.deadline_at + (policy.lease_seconds if job.state is JobState.RUNNING else 0.0)


def check_held(job: Job | None, claim: Claim) -> Job:
    """Return the job if the claim holds it.

    Raises:
        LeaseLost: It does not.
    """
    if job is None or job.lease is None or job.lease.token != claim.token:
        raise LeaseLost("This job was ended, deleted or given to another worker: drop it and its pictures.")
    return job


def _ended(job: Job, state: JobState, now: UnixTime, policy: JobPolicy, **news: Any) -> Job:
    progress = (job.progress or Progress()).model_copy(update={"stage": ENDED})
    ending = {"lease": None, "ended_at": now, "expires_at": now + policy.retention_seconds, "progress": progress}
    return _moved(job, state, **(ending | news))


def _moved(job: Job, state: JobState, **news: Any) -> Job:
    if state not in TRANSITIONS[job.state]:
        raise IllegalTransition(f"A job that is {job.state} cannot become {state}.")
    return job.model_copy(update={"state": state, "version": job.version + 1, **news})
