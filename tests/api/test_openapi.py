"""What the API says about itself."""

import re
from typing import Any

import httpx
import pytest

from api.openapi import document_of_defaults
from core.errors import error_tree


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return document_of_defaults()


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method.upper()} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    """Also those of bodies that FastAPI does not know."""
    named = set(re.findall(r"#/components/schemas/([\w.-]+)", str(document)))
    assert named <= set(document["components"]["schemas"])


def test_errors_are_problem_documents_with_known_codes(document: dict[str, Any]) -> None:
    """Every status from 400 up, and every code in the descriptions."""
    codes = {kind.code: kind.status for kind in error_tree()}
    for name, operation in operations(document):
        for status, response in operation["responses"].items():
            if int(status) < 400 or name == "GET /readyz":
                continue
            assert response["content"] == {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
            }
            named = re.findall(r"`(\w+)`:", response["description"])
            assert named
            assert {codes[code] for code in named} == {int(status)}, name


def test_every_operation_is_described(document: dict[str, Any]) -> None:
    """With a summary, a sentence, a tag, and a name that clients can be generated with."""
    names = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(names)) == len(names)
    for name, operation in operations(document):
        assert operation["summary"], name
        assert operation["description"], name
        assert operation["tags"], name


def test_a_running_service_says_the_same(client: httpx.Client, document: dict[str, Any]) -> None:
    """Settings do not change the interface."""
    assert client.get("/openapi.json").json() == document
