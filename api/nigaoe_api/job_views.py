"""Views of jobs: from stored records to the public JSON. Reads queue and workers, so it blocks: call it in a thread."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from nigaoe_api.schemas import (
    BatchLinks,
    BatchView,
    FaceView,
    FailureView,
    JobLinks,
    JobView,
    OptionsView,
    ProgressView,
    ReportView,
)
from nigaoe_core.errors import NigaoeError, error_tree
from nigaoe_core.jobs import ENDED, Failure, Job, JobState, UnixTime
from nigaoe_core.store.blob_store import ANIMATION, COMPARE, LATENT, PASTED, RESULT_PNG, RESULT_WEBP
from nigaoe_core.store.job_store import JobStore
from nigaoe_core.worker_report import WorkerReport, seconds_left


@dataclass(frozen=True)
class JobViews:
    """Shows jobs to their owner.

    Args:
        store: Where positions and worker reports come from.
        base: Address that links begin with, without a closing slash; may be empty.
    """

    store: JobStore
    base: str

    def one(self, job: Job) -> JobView:
        """Show a job."""
        return self.many([job])[0]

    def many(self, jobs: Sequence[Job]) -> list[JobView]:
        """Show jobs; the workers are asked about once."""
        if all(job.state.is_end for job in jobs):
            return [self._view(job, None, [], job.ended_at or 0.0) for job in jobs]
        workers, now = self.store.workers(), self.store.now()
        return [self._view(job, self._ahead(job), workers, now) for job in jobs]

    def batch(self, batch_id: str, jobs: Sequence[Job]) -> BatchView:
        """Show the jobs of a batch."""
        states = Counter(job.state for job in jobs)
        return BatchView(
            id=batch_id,
            done=all(job.state.is_end for job in jobs),
            states={state: states[state] for state in JobState if states[state]},
            jobs=self.many(jobs),
            links=BatchLinks(self=f"{self.base}/batches/{batch_id}"),
        )

    def _ahead(self, job: Job) -> int | None:
        return self.store.position(job.id) if job.state is JobState.QUEUED else None

    def _view(self, job: Job, ahead: int | None, workers: Sequence[WorkerReport], now: UnixTime) -> JobView:
        left = seconds_left(job, ahead=ahead or 0, workers=workers, now=now)
        return JobView(
            **job.model_dump(include={"id", "kind", "state", "version", "attempt", "cancel_requested", "timings"}),
            queue_position=ahead,
            seconds_left=None if left is None else round(left, 2),
            progress=_progress(job),
            options=OptionsView.model_validate(job.options),
            faces=[
                FaceView.model_validate({**face.model_dump(), "index": index}) for index, face in enumerate(job.faces)
            ],
            face_index=_face_index(job),
            report=ReportView.model_validate(job.report) if job.report else None,
            error=_failure(job.error) if job.error else None,
            created_at=_moment(job.created_at),
            started_at=_moment_or_none(job.started_at),
            ended_at=_moment_or_none(job.ended_at),
            deadline_at=_moment(job.deadline_at),
            expires_at=_moment_or_none(job.expires_at),
            parent_id=job.parent_id,
            batch_id=job.batch_id,
            links=self._links(job),
        )

    def _links(self, job: Job) -> JobLinks:
        address = f"{self.base}/jobs/{job.id}"
        has_result = job.state is JobState.SUCCEEDED

        def made(blob: str, route: str) -> str | None:
            return f"{address}/{route}" if has_result and blob in job.blobs else None

        return JobLinks(
            self=address,
            events=f"{address}/events",
            result=made(RESULT_PNG, "result"),
            result_png=made(RESULT_PNG, "result.png"),
            result_webp=made(RESULT_WEBP, "result.webp"),
            compare=made(COMPARE, "compare"),
            animation=made(ANIMATION, "animation"),
            pasted=made(PASTED, "pasted"),
            latent=made(LATENT, "latent"),
            restyle=made(LATENT, "restyle"),
            parent=f"{self.base}/jobs/{job.parent_id}" if job.parent_id else None,
            batch=f"{self.base}/batches/{job.batch_id}" if job.batch_id else None,
        )


def _progress(job: Job) -> ProgressView | None:
    if job.progress is None:
        return None
    # Jobs that ended under an earlier version say where their last heartbeat was.
    ended = {"stage": ENDED} if job.state.is_end else {}
    return ProgressView.model_validate(job.progress.model_copy(update=ended))


def _face_index(job: Job) -> int | None:
    if not job.faces:
        return None
    return job.options.face if isinstance(job.options.face, int) else 0


def _failure(failure: Failure) -> FailureView:
    titles = {kind.code: kind.title for kind in error_tree()}
    title = titles.get(failure.code, NigaoeError.title)
    return FailureView.model_validate({**failure.model_dump(), "title": title})


def _moment(seconds: UnixTime) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _moment_or_none(seconds: UnixTime | None) -> datetime | None:
    return None if seconds is None else _moment(seconds)
