"""``POST /jobs/{id}/share`` and ``GET /shared/{id}``: showing one drawing to people who may not change it."""

from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from nigaoe_api.dependencies import Base, JobId, OwnJob, Tools
from nigaoe_api.errors import problems
from nigaoe_api.routes.results import Download, LinksDep
from nigaoe_api.schemas import SharedJobView, SharedLinks, SharedLook, ShareView
from nigaoe_core import errors
from nigaoe_core.errors import NoResult
from nigaoe_core.jobs import Job, JobState
from nigaoe_core.store.blob_store import RESULT_PNG, RESULT_WEBP

router = APIRouter(tags=["sharing"])

_REFUSALS: Final = (
    errors.UnknownJob,
    errors.LinkError,
    errors.NoResult,
    errors.InvalidRequest,
    errors.StoreUnavailable,
)


@router.post(
    "/jobs/{job_id}/share",
    summary="Share a drawing",
    responses=problems(errors.UnknownJob, errors.NoResult, guarded=True),
)
async def share_job(job: OwnJob, tools: Tools, base: Base) -> ShareView:
    """An address of the page that shows this drawing to everyone who has it, and lets nobody restyle or delete it.

    It is the same each time, and ends with the job. It shows the portrait alone: neither the photo nor the latent.
    """
    _check_success(job)
    return ShareView(url=f"{base}/#{job.id}.{tools.shares.sign(job.id)}", expires_at=_expiry(job))


async def _shared(
    job_id: JobId,
    tools: Tools,
    signature: Annotated[str, Query(min_length=1, max_length=128, description="From the shared address.")],
) -> Job:
    tools.shares.verify(job_id, signature)
    job = await run_in_threadpool(tools.services.store.get, job_id)
    _check_success(job)
    return job


SharedJob = Annotated[Job, Depends(_shared)]


@router.get("/shared/{job_id}", summary="Show a shared drawing", responses=problems(*_REFUSALS))
async def show_shared(job: SharedJob, tools: Tools, base: Base) -> SharedJobView:
    """What everyone who has the link may know of the drawing."""
    query = f"?signature={tools.shares.sign(job.id)}"
    here = f"{base}/shared/{job.id}"
    png, webp = (
        f"{here}/{name}{query}" if blob in job.blobs else None
        for name, blob in (("result.png", RESULT_PNG), ("result.webp", RESULT_WEBP))
    )
    return SharedJobView(
        id=job.id,
        kind=job.kind,
        options=SharedLook.model_validate(job.options, from_attributes=True),
        created_at=datetime.fromtimestamp(job.created_at, UTC),
        expires_at=_expiry(job),
        links=SharedLinks(self=here + query, result=webp or png, result_png=png, result_webp=webp),
    )


def _add_route(path: str, blob: str, summary: str) -> None:
    async def show(job: SharedJob, links: LinksDep, *, download: Download = False) -> RedirectResponse:
        """For everyone who has the link."""
        return await links.to(job, blob, download=download)

    router.add_api_route(
        f"/shared/{{job_id}}/{path}",
        show,
        status_code=307,
        response_class=RedirectResponse,
        summary=summary,
        name=f"show_shared_{path.replace('.', '_')}",
        responses={
            307: {"description": "A short-lived link to the content."},
            **problems(
                *_REFUSALS,
                errors.NoSuchResult,
                errors.StoreUnavailable,
                errors.BlobStoreUnavailable,
                errors.StorageFull,
            ),
        },
    )


_add_route("result.png", RESULT_PNG, "A shared drawing as PNG")
_add_route("result.webp", RESULT_WEBP, "A shared drawing as WebP")


def _check_success(job: Job) -> None:
    if job.state is not JobState.SUCCEEDED:
        raise NoResult(f"The job is {job.state}; only a drawing that is finished can be shared.", state=job.state.value)


def _expiry(job: Job) -> datetime:
    return datetime.fromtimestamp(job.expires_at or 0.0, UTC)
