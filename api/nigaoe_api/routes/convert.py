"""``POST /convert`` and ``POST /jobs/{id}/restyle``: photos, or a face that was found before, become jobs."""

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request, Response, status
from starlette.concurrency import run_in_threadpool

from nigaoe_api.dependencies import CallerDep, IdempotencyKey, JobId, PreferredWait, Tools, Views
from nigaoe_api.errors import problems
from nigaoe_api.headers import job_tag
from nigaoe_api.job_submission import idempotency_of
from nigaoe_api.job_views import JobViews
from nigaoe_api.openapi import upload_body
from nigaoe_api.request_schemas import ConvertByToken, ConvertByUrl, ConvertOptions, RestyleRequest
from nigaoe_api.schemas import BatchView, JobView
from nigaoe_api.uploads import KEPT_PHOTO_FIELD, Received, kept_photo_of, photos_of, read_upload
from nigaoe_api.uploads_in_flight import upload_share_of
from nigaoe_core import errors
from nigaoe_core.errors import UnknownJob
from nigaoe_core.jobs import Job
from nigaoe_core.services import Services
from nigaoe_core.store.changes import wait_for_end
from nigaoe_core.store.job_records import Submission

router = APIRouter(tags=["convert"])

_LOCATION: dict[str, Any] = {"Location": {"description": "The job or batch.", "schema": {"type": "string"}}}


@router.post(
    "/convert",
    status_code=202,
    response_model=JobView | BatchView,
    summary="Convert photos",
    responses={
        202: {"description": "Accepted: a job, or a batch of several photos.", "headers": _LOCATION},
        200: {"description": "Finished in time (`Prefer: wait`).", "headers": _LOCATION, "model": JobView | BatchView},
        **problems(
            errors.MalformedRequest,
            errors.InvalidRequest,
            errors.UnsupportedMediaType,
            *errors.error_tree(errors.ImageError),
            errors.NoFace,
            errors.FaceIndexOutOfRange,
            errors.MultipleFaces,
            errors.InvalidFaceToken,
            errors.InvalidPhotoToken,
            errors.PhotoGone,
            errors.UnknownStyle,
            errors.MethodMismatch,
            errors.OptionNotTaken,
            errors.ReferenceNeeded,
            errors.ReferenceWithoutFace,
            errors.NoEncoder,
            errors.UnknownJob,
            errors.IdempotencyConflict,
            errors.OutboundError,
            errors.ForbiddenAddress,
            errors.QueueFull,
            errors.UploadsFull,
            errors.QuotaExceeded,
            errors.BlobStoreUnavailable,
            errors.StorageFull,
            guarded=True,
        ),
    },
    openapi_extra=upload_body(ConvertOptions, ConvertByUrl, ConvertByToken, several=True, takes_reference=True),
)
async def convert(
    request: Request,
    response: Response,
    caller: CallerDep,
    tools: Tools,
    views: Views,
    wait: PreferredWait,
    idempotency_key: IdempotencyKey = None,
) -> JobView | BatchView:
    """Turn each photo's face into an anime portrait of the same person.

    Faces are looked for at once; the portraits are drawn by a worker. The photo comes as a form's file, as the body
    itself (`image/*`), from an address, or by the token of one that `POST /faces` kept. Options may stand in the query.
    A form may also have the file `reference`, for styles that take over the style or texture of an anime picture.
    """
    upload = await read_upload(request, tools.settings, takes_reference=True)
    share = upload_share_of(request.scope)
    received: Received[Any]
    if KEPT_PHOTO_FIELD in upload.fields and not upload.photos:
        received = await kept_photo_of(upload, caller, tools, share)
    else:
        received = await photos_of(upload, ConvertOptions, ConvertByUrl, tools, share)
    fields = received.options.model_dump(mode="json", exclude={KEPT_PHOTO_FIELD})
    if upload.reference is not None:
        fields["reference"] = (await run_in_threadpool(hashlib.sha256, upload.reference)).hexdigest()
    idempotency = idempotency_of(idempotency_key, "convert", fields, received.digests)
    submission = await tools.conversions.submit(
        caller, received.photos, received.options, idempotency, upload.reference
    )
    if received.kept is not None:
        await run_in_threadpool(tools.kept.erase, received.kept)
    share.release()  # The photos are no longer needed; the caller may wait a minute for the job.
    return await _answer(submission, tools.services, views, response, wait)


@router.post(
    "/jobs/{job_id}/restyle",
    status_code=202,
    response_model=JobView,
    summary="Restyle a face",
    responses={
        200: {"description": "Finished in time (`Prefer: wait`).", "model": JobView},
        **problems(
            errors.UnknownJob,
            errors.NoResult,
            errors.NoSuchResult,
            errors.UnknownStyle,
            errors.ParentMismatch,
            errors.NoLatent,
            errors.MalformedRequest,
            errors.InvalidRequest,
            errors.IdempotencyConflict,
            errors.ForbiddenAddress,
            errors.QueueFull,
            errors.QuotaExceeded,
            errors.BlobStoreUnavailable,
            guarded=True,
        ),
    },
)
async def restyle(
    job_id: JobId,
    changes: RestyleRequest,
    response: Response,
    caller: CallerDep,
    tools: Tools,
    views: Views,
    wait: PreferredWait,
    idempotency_key: IdempotencyKey = None,
) -> JobView | BatchView:
    """Draw the stored latent again in another style, degree, truncation or colours.

    It takes a fraction of a second, so ask for it with `Prefer: wait=10`.
    """
    fields = changes.model_dump(mode="json", exclude_none=True)
    idempotency = idempotency_of(idempotency_key, f"restyle {job_id}", fields)
    submission = await tools.restyles.submit(caller, job_id, changes, idempotency)
    return await _answer(submission, tools.services, views, response, wait)


async def _answer(
    submission: Submission, services: Services, views: JobViews, response: Response, wait: float | None
) -> JobView | BatchView:
    """Show freshly submitted jobs: 202 at once, or 200 after waiting as long as the caller would.

    Args:
        submission: The jobs.
        services: Where the jobs are.
        views: How they are shown.
        response: Gets status, ``Location`` and the like.
        wait: Seconds that the caller would wait for the end.

    Raises:
        UnknownJob: A repeated request's jobs were deleted, or they were deleted while the caller waited.
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
