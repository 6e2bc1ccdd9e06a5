"""``POST /faces``: which faces are in a photo, so that a client can let its user choose."""

from fastapi import APIRouter, Request

from api.dependencies import CallerDep, Tools
from api.photo_fetch import photos_of
from api.problem_responses import problems
from api.request_schemas import NoOptions, PhotoAddress
from api.schemas import FacesView
from api.upload_schema import upload_body
from api.uploads import read_upload
from core import errors
from core.errors import InvalidRequest

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
        guarded=True,
    ),
    openapi_extra=upload_body(None, PhotoAddress, several=False),
)
async def find_faces(request: Request, caller: CallerDep, tools: Tools) -> FacesView:
    """List the faces of a photo, largest first, each with a token for `POST /convert`.

    Nothing is stored. A photo without faces gives an empty list.
    """
    upload = await read_upload(request, tools.settings)
    photos, _ = await photos_of(upload, NoOptions, PhotoAddress, tools)
    if len(photos) != 1:
        raise InvalidRequest("Send one photo at a time.")
    await tools.limits.count_photos(caller, 1)
    return await tools.faces.find(photos[0])
