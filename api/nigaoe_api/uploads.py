"""Reading ``POST /convert`` and ``POST /faces``: a form with files, a picture, or JSON, into photos and fields.

FastAPI would choose one of both and spool a file of any size first; here a photo is refused as soon as it is too large.
"""

import json
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, QueryParams, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from typing_extensions import override

from nigaoe_api.errors import from_validation
from nigaoe_core.errors import ImageTooLarge, InvalidRequest, MalformedRequest, UnsupportedMediaType
from nigaoe_core.settings import Settings

PHOTO_FIELD: Final = "photo"
MAX_FIELDS: Final = 32
MAX_FIELD_BYTES: Final = 16 * 1024
MAX_JSON_BYTES: Final = 64 * 1024

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Upload:
    """What a request brought."""

    photos: tuple[bytes, ...] = ()
    fields: dict[str, Any] = field(default_factory=dict)

    def options(self, model: type[Model]) -> Model:
        """Check the fields against a model.

        Raises:
            InvalidRequest: Something is missing, unknown or out of range.
        """
        try:
            return model.model_validate(self.fields)
        except ValidationError as error:
            raise from_validation(error) from None


async def read_upload(request: Request, settings: Settings) -> Upload:
    """Read a request's body, whichever of the three kinds it is, and the options in its query.

    Raises:
        UnsupportedMediaType: It is none.
        MalformedRequest: It is not what its header says.
        InvalidRequest: It has no photo, or too many.
        ImageTooLarge: A photo has too many bytes.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        upload = await _read_form(request, settings)
    elif kind == "application/json":
        upload = Upload(fields=await _read_json(request))
    elif kind.startswith("image/"):
        upload = Upload((await _read_picture(request, settings.max_upload_bytes),))
    else:
        raise UnsupportedMediaType(
            "Send multipart/form-data with the field `photo`, the picture itself as image/jpeg or another image type, "
            "or application/json with `photo_url` or `photo_token`."
        )
    return Upload(upload.photos, _joined(upload.fields, request.query_params))


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

    def __init__(self, request: Request, settings: Settings) -> None:
        super().__init__(
            request.headers,
            request.stream(),
            max_files=settings.max_photos_per_request,
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
            raise _too_large(self._max_photo_bytes)


async def _read_form(request: Request, settings: Settings) -> Upload:
    try:
        form = await _PhotoParser(request, settings).parse()
    except MultiPartException as error:
        raise MalformedRequest(f"The form cannot be read: {error.message}") from error
    try:
        return Upload(await _photos(form), _fields(form))
    finally:
        await form.close()


async def _photos(form: FormData) -> tuple[bytes, ...]:
    files = form.getlist(PHOTO_FIELD)
    photos = [await file.read() for file in files if isinstance(file, UploadFile)]
    if not photos or len(photos) != len(files):
        raise InvalidRequest("Send the photo as a file in the field `photo`, with a file name.")
    return tuple(photos)


def _fields(form: FormData) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in form.multi_items():
        if name == PHOTO_FIELD:
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
