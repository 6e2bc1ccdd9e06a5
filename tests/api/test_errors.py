"""Errors as problem documents."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from nigaoe_api.errors import RETRY_SECONDS, from_validation, problem_of, problem_response
from nigaoe_core.errors import (
    BlobStoreUnavailable,
    MultipleFaces,
    NigaoeError,
    NoFace,
    QueueFull,
    RequestTimeout,
    StorageFull,
    error_tree,
)

SCOPE: dict[str, Any] = {"path": "/convert", "state": {"request_id": "r1"}}


@pytest.mark.parametrize("kind", list(error_tree()))
def test_every_error_has_an_answer(kind: type[NigaoeError]) -> None:
    """Its own status and code, and the sentence that it was raised with, except for our own faults."""
    problem = problem_of(kind("Do this instead."), SCOPE)
    assert (problem.status, problem.code, problem.title) == (kind.status, kind.code, kind.title)
    assert (problem.detail == "Do this instead.") is (kind is not NigaoeError)
    assert (problem.instance, problem.request_id) == ("/convert", "r1")


def test_details_are_members_of_the_problem() -> None:
    """But cannot pretend to be its own members."""
    problem = problem_of(MultipleFaces("Choose.", faces=[1], status=200, title="Fine"), SCOPE)
    assert problem.model_dump()["faces"] == [1]
    assert (problem.status, problem.title) == (409, MultipleFaces.title)


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (QueueFull("Wait.", retry_after=7.2), 8),
        (QueueFull("Wait."), RETRY_SECONDS),
        (BlobStoreUnavailable("Wait."), RETRY_SECONDS),
        (NoFace("No."), None),
        (StorageFull("Full."), None),
    ],
)
def test_what_passes_says_when_to_come_back(error: NigaoeError, seconds: int | None) -> None:
    """In the header and in the body, in whole seconds."""
    response = problem_response(error, SCOPE)
    assert problem_of(error, SCOPE).retry_after == seconds
    assert response.headers.get("Retry-After") == (None if seconds is None else str(seconds))


def test_only_a_client_that_is_too_slow_loses_its_connection() -> None:
    """Others may still be sending; closing would destroy the answer."""
    assert problem_response(RequestTimeout("Slow."), SCOPE).headers["Connection"] == "close"
    assert "Connection" not in problem_response(NoFace("No."), SCOPE).headers


def test_a_models_refusal_names_each_field() -> None:
    """And never repeats what was sent."""

    class Model(BaseModel):
        degree: float
        seed: int

    with pytest.raises(ValidationError) as caught:
        Model.model_validate({"degree": "secret", "seed": "secret"})
    error = from_validation(caught.value)
    assert [fault.where for fault in error.details["errors"]] == ["body.degree", "body.seed"]
    assert "secret" not in error.message
