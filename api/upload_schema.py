"""The OpenAPI description of bodies that `api.uploads` reads; FastAPI cannot derive it from a signature."""

from typing import Any, Final

from pydantic import BaseModel

from core.settings import Settings

_MAX_PHOTOS: Final[int] = Settings.model_fields["max_photos_per_request"].default
REF_TEMPLATE: Final = "#/components/schemas/{model}"


def upload_body(form: type[BaseModel] | None, by_url: type[BaseModel], *, several: bool) -> dict[str, Any]:
    """Describe a body that is a form with photos and options, or JSON with an address.

    Args:
        form: The form's fields beside ``photo``.
        by_url: The JSON.
        several: Whether there may be more than one photo.
    """
    photo: dict[str, Any] = {"type": "string", "format": "binary", "description": "JPEG, PNG, WebP, AVIF or HEIC."}
    photos = {"type": "array", "items": photo, "minItems": 1, "maxItems": _MAX_PHOTOS} if several else photo
    options = form.model_json_schema(ref_template=REF_TEMPLATE) if form else {"properties": {}}
    fields = {
        "type": "object",
        "required": ["photo"],
        "properties": {"photo": photos, **options["properties"]},
        "additionalProperties": False,
    }
    return {
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": fields, "encoding": {"photo": {"contentType": "image/*"}}},
                "application/json": {"schema": {"$ref": REF_TEMPLATE.format(model=by_url.__name__)}},
            },
        }
    }
