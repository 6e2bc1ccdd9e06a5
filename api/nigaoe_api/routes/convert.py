"""``POST /convert``: photos become jobs."""

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from nigaoe_api.caller import Caller
from nigaoe_api.dependencies import CallerDep, IdempotencyKey, PreferredWait, ServicesDep, Tools, Views
from nigaoe_api.facilities import Facilities
from nigaoe_api.intake import order_of
from nigaoe_api.photo_fetch import Received, kept_photo_of, photos_of
from nigaoe_api.problem_responses import problems
from nigaoe_api.request_schemas import ConvertByToken, ConvertByUrl, ConvertOptions
from nigaoe_api.routes.answers import answer_order
from nigaoe_api.schemas import BatchView, JobView
from nigaoe_api.upload_schema import upload_body
from nigaoe_api.uploads import read_upload
from nigaoe_api.uploads_in_flight import upload_share_of
from nigaoe_core import errors
from nigaoe_core.store.contract import Submission

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
    openapi_extra=upload_body(ConvertOptions, ConvertByUrl, ConvertByToken, several=True),
)
async def convert(
    request: Request,
    response: Response,
    caller: CallerDep,
    tools: Tools,
    services: ServicesDep,
    views: Views,
    wait: PreferredWait,
    idempotency_key: IdempotencyKey = None,
) -> JobView | BatchView:
    """Turn each photo's face into an anime portrait of the same person.

    Faces are looked for at once; the portraits are drawn by a worker. The photo comes as a form's file, as the body
    itself (`image/*`), from an address, or by the token of one that `POST /faces` kept. Options may stand in the query.
    """
    submission = await _order(request, caller, tools, idempotency_key)
    upload_share_of(request.scope).release()  # The photos are gone; the caller may wait a minute for the job.
    return await answer_order(submission, services, views, response, wait)


async def _order(request: Request, caller: Caller, tools: Facilities, idempotency_key: str | None) -> Submission:
    upload, share = await read_upload(request, tools.settings), upload_share_of(request.scope)
    received: Received[Any]
    if "photo_token" in upload.fields and not upload.photos:
        received = await kept_photo_of(upload, caller, tools, share)
    else:
        received = await photos_of(upload, ConvertOptions, ConvertByUrl, tools, share)
    fields = received.options.model_dump(mode="json", exclude={"photo_token"})
    order = order_of(caller, idempotency_key, "convert", fields, received.digests)
    submission = await tools.conversions.order(order, received.photos, received.options)
    if received.kept is not None:
        await run_in_threadpool(tools.kept.erase, received.kept)
    return submission
