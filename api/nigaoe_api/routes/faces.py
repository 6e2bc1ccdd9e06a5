"""``POST /faces``: which faces are in a photo, so that a client can let its user choose."""

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from nigaoe_api.dependencies import CallerDep, Tools
from nigaoe_api.errors import problems
from nigaoe_api.openapi import upload_body
from nigaoe_api.request_schemas import FacesByUrl, FacesOptions
from nigaoe_api.schemas import FacesView
from nigaoe_api.uploads import photos_of, read_upload
from nigaoe_api.uploads_in_flight import upload_share_of
from nigaoe_core import errors
from nigaoe_core.errors import InvalidRequest

router = APIRouter(tags=["convert"])


@router.post(
    "/faces",
    summary="Find faces",
    responses=problems(
        errors.MalformedRequest,
        errors.InvalidRequest,
        errors.UnsupportedMediaType,
        *errors.error_tree(errors.ImageError),
        errors.OutboundError,
        errors.ForbiddenAddress,
        errors.QueueFull,
        errors.UploadsFull,
        errors.BlobStoreUnavailable,
        errors.StorageFull,
        guarded=True,
    ),
    openapi_extra=upload_body(FacesOptions, FacesByUrl, several=False),
)
async def find_faces(request: Request, caller: CallerDep, tools: Tools) -> FacesView:
    """List the faces of a photo, largest first, each with a token for `POST /convert`.

    Nothing is stored unless `keep` asks for it; then `photo_token` takes the photo's place in `POST /convert`. A photo
    without faces gives an empty list and is not kept; nor is one of a caller who keeps many already.
    """
    upload = await read_upload(request, tools.settings)
    received = await photos_of(upload, FacesOptions, FacesByUrl, tools, upload_share_of(request.scope))
    if len(received.photos) != 1:
        raise InvalidRequest("Send one photo at a time.")
    await tools.limits.count_photos(caller, 1)
    view = await tools.faces.find(received.photos[0])
    if not (received.options.keep and view.faces and await tools.limits.may_keep_photo(caller)):
        return view
    kept = await run_in_threadpool(tools.kept.keep, caller.tenant, received.photos[0])
    token = tools.kept.token_of(kept)
    return view.model_copy(update={"photo_token": token, "photo_expires_at": kept.expires_at})
