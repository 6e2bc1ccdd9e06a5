"""Reading ``POST /convert`` and ``POST /faces``: photos that come with a request, lie at an address or were kept.

A body is a form with files, a picture, or JSON. FastAPI would choose one of them and spool a file of any size first;
here a photo is refused as soon as it is too large.
"""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, QueryParams, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from typing_extensions import override

from nigaoe_api.callers import Caller
from nigaoe_api.dependencies import Facilities
from nigaoe_api.errors import from_validation
from nigaoe_api.kept_photos import KeptPhoto
from nigaoe_api.request_schemas import ConvertByToken, PhotoAddress
from nigaoe_api.uploads_in_flight import UploadShare
from nigaoe_core.errors import ForbiddenAddress, ImageTooLarge, InvalidRequest, MalformedRequest, UnsupportedMediaType
from nigaoe_core.settings import Settings

PHOTO_FIELD: Final = "photo"
REFERENCE_FIELD: Final = "reference"
KEPT_PHOTO_FIELD: Final = "photo_token"
MAX_FIELDS: Final = 32
MAX_FIELD_BYTES: Final = 16 * 1024
MAX_JSON_BYTES: Final = 64 * 1024

Options = TypeVar("Options", bound=BaseModel)
ByUrl = TypeVar("ByUrl", bound=PhotoAddress)


@dataclass(frozen=True)
class Upload:
    """What a request brought."""

    photos: tuple[bytes, ...] = ()
    fields: dict[str, Any] = field(default_factory=dict)
    reference: bytes | None = None

    def options(self, model: type[Options]) -> Options:
        """Check the fields against a model.

        Raises:
            InvalidRequest: Something is missing, unknown or out of range.
        """
        try:
            return model.model_validate(self.fields)
        except ValidationError as error:
            raise from_validation(error) from None


@dataclass(frozen=True)
class Received(Generic[Options]):
    """Photos with checked options."""

    photos: tuple[bytes, ...]
    options: Options
    digests: tuple[bytes, ...] = ()  # SHA-256 of each photo that the client had; none of one that we fetched.
    kept: KeptPhoto | None = None  # Where the photo lay.


async def read_upload(request: Request, settings: Settings, *, takes_reference: bool = False) -> Upload:
    """Read a request's body, whichever of the three kinds it is, and the options in its query.

    Args:
        request: Of the client.
        settings: What a body may cost.
        takes_reference: Whether a form may have a reference beside its photos, and a kept photo's token instead of one.

    Raises:
        UnsupportedMediaType: It is none.
        MalformedRequest: It is not what its header says.
        InvalidRequest: It has no photo, or too many.
        ImageTooLarge: A photo has too many bytes.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        upload = await _read_form(request, settings, takes_reference=takes_reference)
    elif kind == "application/json":
        upload = Upload(fields=await _read_json(request))
    elif kind.startswith("image/"):
        upload = Upload((await _read_picture(request, settings.max_upload_bytes),))
    else:
        raise UnsupportedMediaType(
            "Send multipart/form-data with the field `photo`, the picture itself as image/jpeg or another image type, "
            "or application/json with `photo_url` or `photo_token`."
        )
    return replace(upload, fields=_joined(upload.fields, request.query_params))


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
        UploadsFull: One more photo is too many now.
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
        UploadsFull: One more photo is too many now.
        BlobStoreUnavailable: It cannot be read now.
    """
    options = upload.options(ConvertByToken)
    kept = tools.kept.find(caller.tenant, options.photo_token)
    share.resize(tools.settings.max_upload_bytes)
    photo = await run_in_threadpool(tools.kept.read, kept)
    share.resize(len(photo))
    return Received((photo,), options, (kept.digest,), kept)


def _joined(fields: dict[str, Any], query: QueryParams) -> dict[str, Any]:
    joined = dict(fields)
    for name, value in query.multi_items():
        if name in joined:
            raise InvalidRequest(f"The option `{name[:64]}` may be given once, in the query or in the body.")
        joined[name] = value
    return joined


async def _read_picture(request: Request, max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
    return bytes(body)


def _too_large(max_bytes: int) -> ImageTooLarge:
    return ImageTooLarge(
        f"A photo may have at most {max_bytes / 2**20:.0f} MiB; please send a smaller one.", max_bytes=max_bytes
    )


class _PhotoParser(MultiPartParser):
    """Starlette's parser, which limits the size of fields, with a limit for files as well."""

    def __init__(self, request: Request, settings: Settings, max_files: int) -> None:
        super().__init__(
            request.headers,
            request.stream(),
            max_files=max_files,
            max_fields=MAX_FIELDS,
            max_part_size=MAX_FIELD_BYTES,
        )
        self._max_photo_bytes = settings.max_upload_bytes
        self._photo_bytes = 0

    @override
    def on_part_begin(self) -> None:
        self._photo_bytes = 0
        super().on_part_begin()

    @override
    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        super().on_part_data(data, start, end)
        self._photo_bytes += end - start
        if self._photo_bytes > self._max_photo_bytes:
            error = _too_large(self._max_photo_bytes)
            if self._current_part.field_name == REFERENCE_FIELD:
                error.details["field"] = REFERENCE_FIELD
                error.message = f"The reference: {error.message}"
            raise error


async def _read_form(request: Request, settings: Settings, *, takes_reference: bool) -> Upload:
    most = settings.max_photos_per_request
    try:
        form = await _PhotoParser(request, settings, most + takes_reference).parse()
    except MultiPartException as error:
        raise MalformedRequest(f"The form cannot be read: {error.message}") from error
    try:
        reference = await _reference(form) if takes_reference else None
        photos = await _photos(form, may_lack=takes_reference and KEPT_PHOTO_FIELD in form)
        if len(photos) > most:
            raise MalformedRequest(f"The form cannot be read: Too many files. Maximum number of files is {most}.")
        files = (PHOTO_FIELD, REFERENCE_FIELD) if takes_reference else (PHOTO_FIELD,)
        return Upload(photos, _fields(form, files), reference)
    finally:
        await form.close()


async def _reference(form: FormData) -> bytes | None:
    """Read the one reference; an empty input of an HTML form sends none."""
    sent = form.getlist(REFERENCE_FIELD)
    if len(sent) > 1:
        raise InvalidRequest("The field `reference` may be given once: it goes with all photos.")
    for file in sent:
        if isinstance(file, UploadFile):
            content = await file.read()
            return content if content or file.filename else None
        if file != "":
            raise InvalidRequest("Send the reference as a file in the field `reference`, with a file name.")
    return None


async def _photos(form: FormData, *, may_lack: bool) -> tuple[bytes, ...]:
    files = form.getlist(PHOTO_FIELD)
    if may_lack and not files:
        return ()
    photos = [await file.read() for file in files if isinstance(file, UploadFile)]
    if not photos or len(photos) != len(files):
        raise InvalidRequest("Send the photo as a file in the field `photo`, with a file name.")
    return tuple(photos)


def _fields(form: FormData, files: Collection[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in form.multi_items():
        if name in files:
            continue
        if isinstance(value, UploadFile) or name in fields:
            raise InvalidRequest(f"The field `{name[:64]}` may be given once, and not as a file.")
        if value != "":  # What an empty input of an HTML form sends.
            fields[name] = value
    return fields


async def _read_json(request: Request) -> dict[str, Any]:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_JSON_BYTES:
            raise MalformedRequest(f"The JSON may have at most {MAX_JSON_BYTES} bytes.")
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MalformedRequest("The body is no valid JSON; correct it.") from error
    if not isinstance(fields, dict):
        raise MalformedRequest("The body must be a JSON object.")
    return fields


def _digests(photos: Sequence[bytes]) -> tuple[bytes, ...]:
    """Off the event loop: some tens of megabytes take as many milliseconds."""
    return tuple(hashlib.sha256(photo).digest() for photo in photos)
