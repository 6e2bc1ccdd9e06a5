"""The photos of a request: those that came with it, or the one at an address that came instead."""

from typing import TypeVar

from pydantic import BaseModel

from api.facilities import Facilities
from api.request_schemas import PhotoAddress
from api.uploads import Upload
from core.errors import ForbiddenAddress

Options = TypeVar("Options", bound=BaseModel)
ByUrl = TypeVar("ByUrl", bound=PhotoAddress)


async def photos_of(
    upload: Upload, form: type[Options], by_url: type[ByUrl], tools: Facilities
) -> tuple[tuple[bytes, ...], Options | ByUrl]:
    """Check a request's fields and fetch its photo if it is elsewhere.

    Args:
        upload: What came.
        form: What the fields beside a photo must be.
        by_url: What JSON must be.
        tools: What the application has.

    Raises:
        InvalidRequest: The fields are wrong.
        ForbiddenAddress: The address is not public, or this service fetches nothing.
        OutboundError: It does not answer.
        ImageTooLarge: What it answers is too large.
    """
    if upload.photos:
        return upload.photos, upload.options(form)
    options = upload.options(by_url)
    settings = tools.settings
    if not settings.allow_photo_url:
        raise ForbiddenAddress("This service fetches no photos by itself: send the photo as a file.")
    photo = await tools.outbound.get(
        options.photo_url, max_bytes=settings.max_upload_bytes, seconds=settings.photo_url_timeout_seconds
    )
    return (photo,), options
