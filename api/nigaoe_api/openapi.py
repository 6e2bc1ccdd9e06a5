"""The OpenAPI document: what FastAPI derives, with our problem document, webhooks and examples.

`make documents` writes it as ``openapi.json``; a test compares the file with what the application says.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from nigaoe_api.openapi_examples import SCHEMA_EXAMPLES
from nigaoe_api.request_schemas import ConvertByToken, ConvertByUrl, FacesByUrl
from nigaoe_api.schemas import PreviewEvent, Problem, ProgressView, StateEvent, WebhookEvent, WebhookTestEvent
from nigaoe_core.settings import Settings

REF_TEMPLATE: Final = "#/components/schemas/{model}"

DESCRIPTION: Final = """\
Photos of people in, anime portraits of the same people out.

Send a photo to `POST /convert`, follow the job by `GET /jobs/{job_id}` or its events, fetch the pictures. Errors are
`application/problem+json` with a stable `code`.
"""

TAGS: Final = [
    {"name": "convert", "description": "Requesting portraits."},
    {"name": "jobs", "description": "Following and deleting jobs."},
    {"name": "results", "description": "Fetching pictures."},
    {"name": "sharing", "description": "Showing a drawing to others."},
    {"name": "styles", "description": "What there is to choose from."},
    {"name": "webhooks", "description": "Being called when a job has ended."},
    {"name": "operation", "description": "Running the service."},
]

_MORE_MODELS: Final[tuple[type[BaseModel], ...]] = (
    Problem,
    ConvertByUrl,
    ConvertByToken,
    FacesByUrl,
    StateEvent,
    ProgressView,
    PreviewEvent,
    WebhookEvent,
    WebhookTestEvent,
)
_REFERENCE: Final = {
    "type": "string",
    "format": "binary",
    "description": "Anime picture whose style or texture is taken over, where the style's `options` in `GET /styles` "
    "name `reference`. One for all photos.",
}
_FASTAPI_ERRORS: Final = ("HTTPValidationError", "ValidationError")
_MAX_PHOTOS: Final[int] = Settings.model_fields["max_photos_per_request"].default
_EVENT_HEADERS: Final = {
    "webhook-id": "Stays the same when the event is sent again.",
    "webhook-timestamp": "Of this try, in Unix seconds.",
    "webhook-signature": "`v1,` and the HMAC-SHA-256 in base64, after the Standard Webhooks specification.",
}


def describe(app: FastAPI, settings: Settings) -> None:
    """Let the application answer ``/openapi.json`` with the finished document."""
    derive = app.openapi
    address = (settings.public_url or "").rstrip("/") or "/"

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _finished(derive(), address)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document.


def _finished(document: dict[str, Any], address: str) -> dict[str, Any]:
    schemas = document["components"]["schemas"]
    for name in _FASTAPI_ERRORS:
        schemas.pop(name, None)
    for operation in _operations(document):
        # Added by FastAPI wherever there is a parameter; a text in a path can only be unknown (404), never invalid.
        if "HTTPValidationError" in json.dumps(operation["responses"].get("422", {})):
            del operation["responses"]["422"]
        for parameter in operation.get("parameters", []):
            parameter["schema"] = _without_null(parameter["schema"])
    for mode in ("validation", "serialization"):
        _, more = models_json_schema([(model, mode) for model in _MORE_MODELS], ref_template=REF_TEMPLATE)
        for name, schema in more["$defs"].items():
            schemas.setdefault(name, schema)
    for name, example in SCHEMA_EXAMPLES.items():
        schemas[name]["examples"] = [example]
    document["servers"] = [{"url": address, "description": "This service."}]
    document["webhooks"] = {"job.ended": {"post": _webhook()}}
    document["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, where the operator asks for one."},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    document["security"] = [{}, {"bearer": []}, {"header": []}]
    return document


def _webhook() -> dict[str, Any]:
    """What a client's own address must answer to."""
    headers = [
        {"name": name, "in": "header", "required": True, "schema": {"type": "string"}, "description": description}
        for name, description in _EVENT_HEADERS.items()
    ]
    kinds = [{"$ref": REF_TEMPLATE.format(model=kind.__name__)} for kind in (WebhookEvent, WebhookTestEvent)]
    return {
        "summary": "A job has ended",
        "description": "Sent to the `webhook_url` of a request when its job has ended, and by `POST /webhooks/test`. "
        "Anything but 2xx is tried again with doubling pauses.",
        "operationId": "job_ended",
        "tags": ["webhooks"],
        "security": [],
        "parameters": headers,
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"oneOf": kinds}}}},
        "responses": {
            "2XX": {"description": "Taken; it is not sent again."},
            "410": {"description": "Never again: no further try for this event."},
        },
    }


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A header or query parameter may be left out, but what is sent is text and never null."""
    choices = [choice for choice in schema.get("anyOf", []) if choice != {"type": "null"}]
    if len(choices) != 1:
        return schema
    return {**choices[0], **{name: value for name, value in schema.items() if name != "anyOf"}}


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for methods in document["paths"].values():
        yield from methods.values()


def upload_body(
    options: type[BaseModel], *by_json: type[BaseModel], several: bool, takes_reference: bool = False
) -> dict[str, Any]:
    """Describe what `nigaoe_api.uploads` reads, which FastAPI cannot derive from a signature: form, picture or JSON.

    Args:
        options: What may stand in the form beside ``photo``, and in the query.
        *by_json: What JSON may be.
        several: Whether a form may have more than one photo.
        takes_reference: Whether it may have a reference, and the token of a kept photo instead of a photo.
    """
    photo: dict[str, Any] = {"type": "string", "format": "binary", "description": "JPEG, PNG, WebP, AVIF or HEIC."}
    photos = {"type": "array", "items": photo, "minItems": 1, "maxItems": _MAX_PHOTOS} if several else photo
    properties = options.model_json_schema(ref_template=REF_TEMPLATE)["properties"]
    fields: dict[str, Any] = {
        "type": "object",
        "required": ["photo"],
        "properties": {"photo": photos, **properties},
        "additionalProperties": False,
    }
    encoding = {"photo": {"contentType": "image/*"}}
    if takes_reference:
        del fields["required"]
        fields["anyOf"] = [{"required": ["photo"]}, {"required": ["photo_token"]}]
        token = {"type": "string", "minLength": 1, "maxLength": 256, "description": "From `POST /faces` with `keep`."}
        fields["properties"] |= {"photo_token": token, "reference": _REFERENCE}
        encoding["reference"] = {"contentType": "image/*"}
    kinds = [{"$ref": REF_TEMPLATE.format(model=model.__name__)} for model in by_json]
    return {
        "parameters": [_query(name, schema) for name, schema in properties.items()],
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": fields, "encoding": encoding},
                "image/*": {"schema": photo},
                "application/json": {"schema": kinds[0] if len(kinds) == 1 else {"oneOf": kinds}},
            },
        },
    }


def _query(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    shape = {key: value for key, value in schema.items() if key != "description"}
    described = {"description": schema["description"]} if "description" in schema else {}
    return {"name": name, "in": "query", "required": False, "schema": shape, **described}
