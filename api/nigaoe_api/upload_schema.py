"""The OpenAPI description of requests that `nigaoe_api.uploads` reads; FastAPI cannot derive it from a signature."""

from typing import Any, Final

from pydantic import BaseModel

from nigaoe_core.settings import Settings

_MAX_PHOTOS: Final[int] = Settings.model_fields["max_photos_per_request"].default
REF_TEMPLATE: Final = "#/components/schemas/{model}"


def upload_body(options: type[BaseModel], *by_json: type[BaseModel], several: bool) -> dict[str, Any]:
    """Describe a request with a form of photos and options, a picture and options in the query, or JSON.

    Args:
        options: What may stand in the form beside ``photo``, and in the query.
        *by_json: What JSON may be.
        several: Whether a form may have more than one photo.
    """
    photo: dict[str, Any] = {"type": "string", "format": "binary", "description": "JPEG, PNG, WebP, AVIF or HEIC."}
    photos = {"type": "array", "items": photo, "minItems": 1, "maxItems": _MAX_PHOTOS} if several else photo
    properties = options.model_json_schema(ref_template=REF_TEMPLATE)["properties"]
    fields = {
        "type": "object",
        "required": ["photo"],
        "properties": {"photo": photos, **properties},
        "additionalProperties": False,
    }
    kinds = [{"$ref": REF_TEMPLATE.format(model=model.__name__)} for model in by_json]
    return {
        "parameters": [_query(name, schema) for name, schema in properties.items()],
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": fields, "encoding": {"photo": {"contentType": "image/*"}}},
                "image/*": {"schema": photo},
                "application/json": {"schema": kinds[0] if len(kinds) == 1 else {"oneOf": kinds}},
            },
        },
    }


def _query(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    shape = {key: value for key, value in schema.items() if key != "description"}
    described = {"description": schema["description"]} if "description" in schema else {}
    return {"name": name, "in": "query", "required": False, "schema": shape, **described}
