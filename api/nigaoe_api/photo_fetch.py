"""The photos of a request: those that came with it, the one at an address, or the one that was kept."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from nigaoe_api.caller import Caller
from nigaoe_api.facilities import Facilities
from nigaoe_api.kept_photos import KeptPhoto
from nigaoe_api.request_schemas import ConvertByToken, PhotoAddress
from nigaoe_api.uploads import Upload
from nigaoe_api.uploads_in_flight import UploadShare
from nigaoe_core.errors import ForbiddenAddress

Options = TypeVar("Options", bound=BaseModel)
ByUrl = TypeVar("ByUrl", bound=PhotoAddress)


@dataclass(frozen=True)
class Received(Generic[Options]):
    """Photos with checked options."""

    photos: tuple[bytes, ...]
    options: Options
    digests: tuple[bytes, ...] = ()  # SHA-256 of each photo that the client had; none of one that we fetched.
    kept: KeptPhoto | None = None  # Where the photo lay.


async def photos_of(
    upload: Upload, form: type[Options], by_url: type[ByUrl], tools: Facilities, share: UploadShare
) -> Received[Options] | Received[ByUrl]:
    """Check a request's fields and fetch its photo if it is elsewhere.

    Args:
        upload: What came.
        form: What the fields beside a photo must be.
        by_url: What JSON must be.
        tools: What the application has.
        share: Where a photo from elsewhere is counted.

    Raises:
        InvalidRequest: The fields are wrong.
        UploadsFull: There is no room for one more photo now.
        ForbiddenAddress: The address is not public, or this service fetches nothing.
        OutboundError: It does not answer.
        ImageTooLarge: What it answers is too large.
    """
    if upload.photos:
        options = upload.options(form)
        return Received(upload.photos, options, await run_in_threadpool(_digests, upload.photos))
    by_address = upload.options(by_url)
    settings = tools.settings
    if not settings.allow_photo_url:
        raise ForbiddenAddress("This service fetches no photos by itself: send the photo as a file.")
    share.resize(settings.max_upload_bytes)
    photo = await tools.outbound.get(
        by_address.photo_url, max_bytes=settings.max_upload_bytes, seconds=settings.photo_url_timeout_seconds
    )
    share.resize(len(photo))
    return Received((photo,), by_address)


async def kept_photo_of(
    upload: Upload, caller: Caller, tools: Facilities, share: UploadShare
) -> Received[ConvertByToken]:
    """Check a request that names a kept photo, and take that.

    Raises:
        InvalidRequest: The fields are wrong.
        InvalidPhotoToken: The token is damaged, or another tenant's.
        PhotoGone: The photo was erased.
        UploadsFull: There is no room for one more photo now.
        BlobStoreUnavailable: It cannot be read now.
    """
    options = upload.options(ConvertByToken)
    kept = tools.kept.find(caller.tenant, options.photo_token)
    share.resize(tools.settings.max_upload_bytes)
    photo = await run_in_threadpool(tools.kept.read, kept)
    share.resize(len(photo))
    return Received((photo,), options, (kept.digest,), kept)


def _digests(photos: Sequence[bytes]) -> tuple[bytes, ...]:
    """Off the event loop: some tens of megabytes take as many milliseconds."""
    return tuple(hashlib.sha256(photo).digest() for photo in photos)
