"""Error handling: whatever goes wrong leaves as ``application/problem+json`` (RFC 9457), translated here alone.

Errors of the tree keep their code, status, sentence and details. What FastAPI and Starlette raise by themselves
(validation, unknown paths) is first translated into the tree. Anything else is `NigaoeError`: 500 without any detail.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from nigaoe_api.schemas import FieldFault, Problem
from nigaoe_core.errors import (
    CrossOrigin,
    InvalidRequest,
    MalformedRequest,
    MethodNotAllowed,
    NigaoeError,
    QueueFull,
    QuotaExceeded,
    RateLimited,
    RequestTimeout,
    RequestTooLarge,
    StoreUnavailable,
    Unauthorized,
    UnknownAddress,
    UnsupportedMediaType,
)

CODES_ADDRESS: Final = "https://github.com/nigaoe/nigaoe/blob/main/docs/api.md"
PROBLEM_JSON: Final = "application/problem+json"
RETRY_SECONDS: Final = 5
"""Advice where an error that will pass knows no better."""
PROBLEM_SCHEMA: Final = {"$ref": "#/components/schemas/Problem"}

_HIDDEN: Final = "Something went wrong on our side; please try again, and report the request id if it persists."
_PASSING: Final = (QueueFull, QuotaExceeded, RateLimited, StoreUnavailable)
_BY_STATUS: Final[dict[int, type[NigaoeError]]] = {
    HTTPStatus.BAD_REQUEST: MalformedRequest,
    HTTPStatus.NOT_FOUND: UnknownAddress,
    HTTPStatus.METHOD_NOT_ALLOWED: MethodNotAllowed,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: UnsupportedMediaType,
    HTTPStatus.UNPROCESSABLE_ENTITY: InvalidRequest,
}


def problem_of(error: NigaoeError, scope: Scope) -> Problem:
    """Describe an error to the caller."""
    is_ours = error.code == NigaoeError.code
    details = {name: value for name, value in error.details.items() if name not in Problem.model_fields}
    known = {name: value for name, value in error.details.items() if name == "errors"}
    return Problem(
        type=f"{CODES_ADDRESS}#{error.code}",
        title=error.title,
        status=error.status,
        detail=_HIDDEN if is_ours else error.message,
        code=error.code,
        instance=scope.get("path"),
        request_id=scope.get("state", {}).get("request_id"),
        retry_after=_retry_after(error),
        **known,
        **({} if is_ours else details),
    )


def problem_response(error: NigaoeError, scope: Scope) -> Response:
    """Make the whole answer, with the headers that belong to the error."""
    problem = problem_of(error, scope)
    headers = {}
    if problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = 'Bearer realm="nigaoe"'
    if isinstance(error, RequestTimeout):
        # Not after other early answers: closing while the client sends would reset the connection, and the answer with
        # it. The server reads on and throws away.
        headers["Connection"] = "close"
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = error.details.get("allow", "")
    content = problem.model_dump(mode="json", exclude_none=True)
    return JSONResponse(content, status_code=problem.status, headers=headers, media_type=PROBLEM_JSON)


def invalid_request(faults: list[Any], where: str | None = None) -> InvalidRequest:
    """Translate pydantic's list of faults.

    Args:
        faults: `ValidationError.errors` or `RequestValidationError.errors`.
        where: Part of the request that the faults' locations begin below, such as ``body``.
    """
    errors = [_field_fault(fault, where) for fault in faults]
    sentence = "; ".join(f"{fault.where}: {fault.message}" for fault in errors[:5])
    return InvalidRequest(f"Correct these values: {sentence}.", errors=errors)


def from_validation(error: ValidationError, where: str = "body") -> InvalidRequest:
    """Translate a model's refusal."""
    return invalid_request(error.errors(include_input=False, include_url=False, include_context=False), where)


def problems(*errors: type[NigaoeError], guarded: bool = False) -> dict[int | str, dict[str, Any]]:
    """Describe the errors of a route for OpenAPI: by status, each with the codes that it can mean.

    Args:
        *errors: Those of its own.
        guarded: Whether it belongs to a caller (see `nigaoe_api.authentication`): adds what that can mean.
    """
    common = (NigaoeError, RequestTooLarge, RequestTimeout)
    extra = (Unauthorized, CrossOrigin, RateLimited, StoreUnavailable) if guarded else ()
    by_status: defaultdict[int, dict[str, str]] = defaultdict(dict)
    for error in (*errors, *extra, *common):
        by_status[error.status][error.code] = error.title
    return {status: _response(codes) for status, codes in sorted(by_status.items())}


def install_handlers(app: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Translate what FastAPI and Starlette raise by themselves.

    Args:
        app: The application.
        routes: All of its routes, to say which methods a path has.
    """
    app.state.routes = routes
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(HTTPException, _on_http)


async def _on_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - narrows Starlette's loose signature.
    faults = error.errors()
    if any(fault["type"] == "json_invalid" for fault in faults):
        return problem_response(MalformedRequest("The body is no valid JSON; correct it."), request.scope)
    return problem_response(invalid_request(list(faults)), request.scope)


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - narrows Starlette's loose signature.
    # FastAPI wraps whatever is raised while it reads a body; what our own middleware raised is the true reason.
    if isinstance(error.__cause__, NigaoeError):
        return problem_response(error.__cause__, request.scope)
    kind = _BY_STATUS.get(error.status_code, NigaoeError)
    if kind is MethodNotAllowed:
        allow = _allowed_methods(request)
        return problem_response(MethodNotAllowed(f"Use {allow} here.", allow=allow), request.scope)
    message = "There is nothing at this address." if kind is UnknownAddress else str(error.detail)
    return problem_response(kind(message), request.scope)


def _allowed_methods(request: Request) -> str:
    """The methods of all routes with this path; Starlette by itself names those of the first."""
    methods: set[str] = set()
    for route in request.app.state.routes:
        match, _ = route.matches(request.scope)
        if match is not Match.NONE:
            methods |= getattr(route, "methods", None) or set()
    return ", ".join(sorted(methods)) or "GET"


def _field_fault(fault: dict[str, Any], where: str | None) -> FieldFault:
    location = [part for part in (where, *fault["loc"]) if part is not None]
    return FieldFault(where=".".join(str(part) for part in location) or "request", message=str(fault["msg"]))


def _retry_after(error: NigaoeError) -> int | None:
    advice = error.details.get("retry_after")
    if advice is not None:
        return max(1, math.ceil(float(advice)))
    passing = error.status == HTTPStatus.SERVICE_UNAVAILABLE or isinstance(error, _PASSING)
    return RETRY_SECONDS if passing else None


def _response(codes: dict[str, str]) -> dict[str, Any]:
    return {
        "description": "; ".join(f"`{code}`: {title}" for code, title in codes.items()),
        "content": {PROBLEM_JSON: {"schema": PROBLEM_SCHEMA}},
    }
