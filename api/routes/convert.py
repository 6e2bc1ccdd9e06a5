"""``POST /convert``: photos become jobs."""

from typing import Any

from fastapi import APIRouter, Request, Response

from api.dependencies import CallerDep, IdempotencyKey, PreferredWait, ServicesDep, Tools, Views
from api.intake import order_of
from api.photo_fetch import photos_of
from api.problem_responses import problems
from api.request_schemas import ConvertByUrl, ConvertOptions
from api.routes.answers import answer_order
from api.schemas import BatchView, JobView
from api.upload_schema import upload_body
from api.uploads import read_upload
from core import errors

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
            errors.UnknownStyle,
            errors.UnknownJob,
            errors.IdempotencyConflict,
            errors.OutboundError,
            errors.ForbiddenAddress,
            errors.QueueFull,
            errors.QuotaExceeded,
            errors.BlobStoreUnavailable,
            errors.StorageFull,
            guarded=True,
        ),
    },
    openapi_extra=upload_body(ConvertOptions, ConvertByUrl, several=True),
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

    Faces are looked for at once; the portraits are drawn by a worker.
    """
    upload = await read_upload(request, tools.settings)
    order = order_of(caller, idempotency_key, "convert", upload.fields, upload.photos)
    photos, options = await photos_of(upload, ConvertOptions, ConvertByUrl, tools)
    submission = await tools.conversions.order(order, photos, options)
    return await answer_order(submission, services, views, response, wait)
