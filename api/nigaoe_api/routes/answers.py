"""Answering with freshly ordered jobs: 202 at once, or 200 after waiting as long as the caller would."""

import asyncio
from collections.abc import Sequence

from fastapi import Response, status
from starlette.concurrency import run_in_threadpool

from nigaoe_api.entity_tags import job_tag
from nigaoe_api.job_views import JobViews
from nigaoe_api.schemas import BatchView, JobView
from nigaoe_core.errors import UnknownJob
from nigaoe_core.jobs import Job
from nigaoe_core.services import Services
from nigaoe_core.store.changes import wait_for_end
from nigaoe_core.store.contract import Submission


async def answer_order(
    submission: Submission, services: Services, views: JobViews, response: Response, wait: float | None
) -> JobView | BatchView:
    """Show the jobs of an order.

    Args:
        submission: What was ordered.
        services: Where the jobs are.
        views: How they are shown.
        response: Gets status, ``Location`` and the like.
        wait: Seconds that the caller would wait for the end.

    Raises:
        UnknownJob: A repeated order's jobs were deleted, or they were deleted while the caller waited.
    """
    jobs: Sequence[Job] = submission.jobs
    if not jobs:
        raise UnknownJob("The jobs of this Idempotency-Key were deleted; use a new key.")
    if wait is not None:
        jobs = await _until_end(jobs, services, wait)
        response.headers["Preference-Applied"] = f"wait={wait:g}"
    if submission.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    is_done = all(job.state.is_end for job in jobs)
    response.status_code = status.HTTP_200_OK if is_done and wait is not None else status.HTTP_202_ACCEPTED
    batch_id = jobs[0].batch_id
    if batch_id is not None:
        batch = await run_in_threadpool(views.batch, batch_id, jobs)
        response.headers["Location"] = batch.links.self
        return batch
    view = await run_in_threadpool(views.one, jobs[0])
    response.headers["Location"] = view.links.self
    response.headers["ETag"] = job_tag(view)
    return view


async def _until_end(jobs: Sequence[Job], services: Services, seconds: float) -> list[Job]:
    return await asyncio.gather(*(wait_for_end(services.store, services.feed, job.id, seconds=seconds) for job in jobs))
