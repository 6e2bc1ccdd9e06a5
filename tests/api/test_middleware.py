"""What every answer has in common: a request id, safe headers, problem documents, quiet logs."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import structlog

if TYPE_CHECKING:
    from conftest import Api


def test_a_request_has_a_name(client: httpx.Client) -> None:
    """The caller's if it is sane, else a new one; problems repeat it."""
    assert client.get("/livez", headers={"X-Request-ID": "abc-1"}).headers["X-Request-ID"] == "abc-1"
    assert client.get("/livez", headers={"X-Request-ID": "a b\tc"}).headers["X-Request-ID"] != "a b\tc"
    problem = client.get("/jobs/x")
    assert problem.json()["request_id"] == problem.headers["X-Request-ID"]


@pytest.mark.parametrize("path", ["/livez", "/jobs", "/jobs/x", "/nothing", "/openapi.json", "/styles"])
def test_answers_are_only_what_they_are(client: httpx.Client, path: str) -> None:
    """Never guessed to be something else, never framed, never kept."""
    headers = client.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "allow"),
    [
        ("GET", "/nothing", 404, "not_found", None),
        ("PUT", "/convert", 405, "method_not_allowed", "POST"),
        ("PATCH", "/jobs/6dc5d2f0-6f28-4f4f-9c7f-2f6f4e2b7f10", 405, "method_not_allowed", "DELETE, GET"),
        ("POST", "/livez", 405, "method_not_allowed", "GET, HEAD"),
        ("GET", "/jobs?limit=0", 422, "invalid_request", None),
        ("GET", "/jobs?limit=many", 422, "invalid_request", None),
    ],
)
def test_every_refusal_is_a_problem_document(
    client: httpx.Client, method: str, path: str, status: int, code: str, allow: str | None
) -> None:
    """Those of the framework, too."""
    answer = client.request(method, path)
    problem = answer.json()
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers.get("Allow") == allow
    assert problem["type"].endswith(f"#{code}")
    assert problem["instance"] == path.partition("?")[0]


def test_invalid_values_are_listed(client: httpx.Client) -> None:
    """Where each one is, and what is wrong with it."""
    problem = client.get("/jobs", params={"limit": 1000}).json()
    assert [fault["where"] for fault in problem["errors"]] == ["query.limit"]


def test_a_crash_tells_the_caller_nothing_and_the_log_everything(
    special_api: Callable[..., "Api"], monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 with a request id to ask for help with."""
    api = special_api()

    def crash(*_: object, **__: object) -> Any:
        raise RuntimeError("a secret of the server")

    monkeypatch.setattr(api.services.store, "list_jobs", crash)
    with structlog.testing.capture_logs() as lines:
        answer = api.client().get("/jobs")
    assert [line["log_level"] for line in lines if line["event"] == "request.failed"] == ["error"]
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret" not in answer.text
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/jobs", "/convert", "/styles", "/livez", "/metrics"])
def test_browsers_get_no_leave_for_other_sites(client: httpx.Client, path: str) -> None:
    """No CORS: a page elsewhere may neither read an answer nor send more than a plain form."""
    elsewhere = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    for answer in (client.options(path, headers=elsewhere), client.get(path, headers=elsewhere)):
        assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_no_framework_pages_load_scripts_from_elsewhere(client: httpx.Client) -> None:
    """FastAPI's viewers are off; the reference is our own, and the document is there."""
    reference = client.get("/docs")
    assert "script-src 'self';" in reference.headers["Content-Security-Policy"]
    assert re.findall(r"(?:https?:)?//", reference.text) == []
    assert client.get("/redoc").status_code == 404
    assert client.get("/openapi.json").json()["openapi"].startswith("3.1")
