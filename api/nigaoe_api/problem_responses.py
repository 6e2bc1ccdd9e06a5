"""The errors of a route as OpenAPI wants them: by status, each with the codes that it can mean."""

from collections import defaultdict
from typing import Any

from nigaoe_api.errors import PROBLEM_JSON
from nigaoe_core.errors import (
    CrossOrigin,
    NigaoeError,
    RateLimited,
    RequestTimeout,
    RequestTooLarge,
    StoreUnavailable,
    Unauthorized,
)

PROBLEM_SCHEMA = {"$ref": "#/components/schemas/Problem"}


def problems(*errors: type[NigaoeError], guarded: bool = False) -> dict[int | str, dict[str, Any]]:
    """Describe the errors of a route.

    Args:
        *errors: Those of its own.
        guarded: Whether it belongs to a caller (see `nigaoe_api.middleware.authentication`): adds what that can mean.
    """
    common = (NigaoeError, RequestTooLarge, RequestTimeout)
    extra = (Unauthorized, CrossOrigin, RateLimited, StoreUnavailable) if guarded else ()
    by_status: defaultdict[int, dict[str, str]] = defaultdict(dict)
    for error in (*errors, *extra, *common):
        by_status[error.status][error.code] = error.title
    return {status: _response(codes) for status, codes in sorted(by_status.items())}


def _response(codes: dict[str, str]) -> dict[str, Any]:
    return {
        "description": "; ".join(f"`{code}`: {title}" for code, title in codes.items()),
        "content": {PROBLEM_JSON: {"schema": PROBLEM_SCHEMA}},
    }
