"""What the API says about itself."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from nigaoe_api.app import create_app, document_of_defaults
from nigaoe_api.openapi_examples import SCHEMA_EXAMPLES
from nigaoe_core.errors import error_tree
from nigaoe_core.services import connect
from nigaoe_core.settings import Settings


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


def test_webhooks_are_described_with_both_events(document: dict[str, Any]) -> None:
    """Under OpenAPI 3.1's own name for them, so that clients' servers can be generated."""
    call = document["webhooks"]["job.ended"]["post"]
    assert {header["name"] for header in call["parameters"]} == {
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
    }
    bodies = call["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
    assert [body["$ref"].rpartition("/")[2] for body in bodies] == ["WebhookEvent", "WebhookTestEvent"]


def test_the_document_says_where_the_service_is(tmp_path: Path) -> None:
    """At its public address, if it has one."""
    settings = Settings(
        data_dir=tmp_path, redis_url="redis://never.used", public_url="https://nigaoe.example/", _env_file=None
    )  # type: ignore[call-arg]  # pydantic-settings' own argument.
    assert create_app(settings, connect(settings)).openapi()["servers"][0]["url"] == "https://nigaoe.example"
    assert document_of_defaults()["servers"][0]["url"] == "/"


@pytest.mark.parametrize("name", SCHEMA_EXAMPLES)
def test_every_example_is_one(document: dict[str, Any], name: str) -> None:
    """By the schema that it stands beside."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    Draft202012Validator(schema).validate(SCHEMA_EXAMPLES[name])
