"""``/jobs`` and ``/batches``: reading, waiting for and deleting jobs, one by one or all of one request."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Response
from starlette.concurrency import run_in_threadpool

from nigaoe_api.conversions import job_ids
from nigaoe_api.dependencies import Base, CallerDep, JobId, Tools, Views
from nigaoe_api.errors import problems
from nigaoe_api.headers import job_tag, known_version, matches
from nigaoe_api.request_schemas import MAX_WAIT_SECONDS
from nigaoe_api.schemas import BatchView, JobPageView, JobView, PageLinks
from nigaoe_core import errors
from nigaoe_core.errors import UnknownJob
from nigaoe_core.jobs import Job
from nigaoe_core.services import Services
from nigaoe_core.store.changes import wait_for_change, wait_for_end

router = APIRouter(tags=["jobs"])

Cursor = Annotated[
    str | None,
    Query(
        max_length=200,
        description="`next_cursor` of the page before.",
        json_schema_extra={"pattern": r"^\d{20}\.[0-9a-f-]{36}$"},
    ),
]
Limit = Annotated[int, Query(ge=1, le=100, description="Jobs on a page.")]
Wait = Annotated[float | None, Query(ge=0, le=MAX_WAIT_SECONDS, description="Wait so many seconds for news.")]
IfNoneMatch = Annotated[
    str | None, Header(description="The `ETag` that you know: answers at the next change, or 304 if there is none.")
]
BatchId = Annotated[str, Path(description="From the answer to `POST /convert` with several photos.")]
_ETAG: dict[str, Any] = {"ETag": {"description": "For `If-None-Match`.", "schema": {"type": "string"}}}


@router.get(
    "/jobs", summary="List your jobs", responses=problems(errors.UsageError, errors.InvalidRequest, guarded=True)
)
async def list_jobs(
    caller: CallerDep, tools: Tools, views: Views, base: Base, cursor: Cursor = None, limit: Limit = 20
) -> JobPageView:
    """Your own jobs, newest first. Jobs that are made meanwhile do not shift the following pages."""

    def read() -> JobPageView:
        page = tools.services.store.list_jobs(caller.tenant, cursor=cursor, limit=limit)
        following = f"{base}/jobs?cursor={page.next_cursor}&limit={limit}" if page.next_cursor else None
        here = f"{base}/jobs?limit={limit}" + (f"&cursor={cursor}" if cursor else "")
        links = PageLinks(self=here, next=following)
        return JobPageView(jobs=views.many(page.jobs), next_cursor=page.next_cursor, links=links)

    return await run_in_threadpool(read)


@router.get(
    "/jobs/{job_id}",
    response_model=JobView,
    summary="Show a job",
    responses={
        200: {"description": "The job.", "headers": _ETAG},
        304: {"description": "Nothing has changed since `If-None-Match`.", "headers": _ETAG},
        **problems(errors.UnknownJob, errors.InvalidRequest, guarded=True),
    },
)
async def show_job(
    job_id: JobId,
    caller: CallerDep,
    tools: Tools,
    views: Views,
    response: Response,
    wait: Wait = None,
    if_none_match: IfNoneMatch = None,
) -> Any:
    """A job's state, place in the queue, estimated time left, progress, faces and links.

    With `wait`, the answer comes as soon as the job differs from what `If-None-Match` names; without `If-None-Match`,
    as soon as the job has ended.
    """
    known = known_version(if_none_match)
    job = await _read(tools.services, job_id, caller.tenant, wait or 0.0, known)
    view = await run_in_threadpool(views.one, job)
    tag = job_tag(view)
    if matches(if_none_match, tag):
        return Response(status_code=304, headers={"ETag": tag})
    response.headers["ETag"] = tag
    return view


@router.delete(
    "/jobs/{job_id}",
    status_code=204,
    summary="Delete a job",
    responses=problems(errors.UnknownJob, errors.BlobStoreUnavailable, guarded=True),
)
async def delete_job(job_id: JobId, caller: CallerDep, tools: Tools) -> None:
    """Stop the job, and erase everything about it: photo, crop, previews, latent, pictures and record.

    The restyles that were made of it go with it: nothing of the face is left. Deleting a restyle erases that look
    only. Deleting again is a success, too.
    """
    await run_in_threadpool(tools.services.retention.erase, job_id, tenant=caller.tenant)


@router.get("/batches/{batch_id}", summary="Show a batch", responses=problems(errors.UnknownJob, guarded=True))
async def show_batch(
    batch_id: BatchId,
    caller: CallerDep,
    tools: Tools,
    views: Views,
) -> BatchView:
    """The jobs of a batch in the order of the photos. Each job can be followed and deleted by itself, too."""

    def read() -> BatchView:
        jobs = tools.services.store.get_many(job_ids(batch_id), tenant=caller.tenant)
        if not jobs:
            raise UnknownJob("There is no such batch.")
        return views.batch(batch_id, jobs)

    return await run_in_threadpool(read)


@router.delete(
    "/batches/{batch_id}",
    status_code=204,
    summary="Delete a batch",
    responses=problems(errors.UnknownJob, errors.BlobStoreUnavailable, guarded=True),
)
async def delete_batch(batch_id: BatchId, caller: CallerDep, tools: Tools) -> None:
    """Stop the batch's jobs, and erase everything about them, as `DELETE /jobs/{id}` does for each.

    Deleting again is a success, too.
    """

    def erase() -> None:
        for job_id in job_ids(batch_id):
            tools.services.retention.erase(job_id, tenant=caller.tenant)

    await run_in_threadpool(erase)


async def _read(services: Services, job_id: str, tenant: str, wait: float, known: int | None) -> Job:
    if not wait:
        return await run_in_threadpool(services.store.get, job_id, tenant=tenant)
    if known is None:
        return await wait_for_end(services.store, services.feed, job_id, seconds=wait, tenant=tenant)
    return await wait_for_change(services.store, services.feed, job_id, version=known, seconds=wait, tenant=tenant)
