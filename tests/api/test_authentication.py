"""Who may call is decided on the head of a request."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fastapi.routing import APIRoute

from nigaoe_api.api_keys import revoke_key
from nigaoe_api.app import ROUTERS
from nigaoe_api.authentication import is_guarded

if TYPE_CHECKING:
    from conftest import Api

OPEN = {
    "/livez",
    "/readyz",
    "/version",
    "/metrics",
    "/styles",
    "/styles/{style}/samples/{name}",
    "/blobs/{key:path}",
    "/shared/{job_id}",
    "/shared/{job_id}/result.png",
    "/shared/{job_id}/result.webp",
}
"""Everything that anyone may see."""


def test_every_route_is_guarded_or_open_on_purpose() -> None:
    """Adding a route is deciding about it."""
    paths = {route.path for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)}
    assert {path for path in paths if not is_guarded(path)} == OPEN


def test_nobody_gets_in_without_a_key(api: "Api") -> None:
    """401, with the way in."""
    answer = api.client().get("/jobs")
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("header", ["Authorization", "X-API-Key"])
def test_a_key_opens(api: "Api", header: str) -> None:
    """In either header."""
    key = api.new_key()
    value = f"Bearer {key}" if header == "Authorization" else key
    assert api.client().get("/jobs", headers={header: value}).status_code == 200


@pytest.mark.parametrize("key", ["ngk_000000000000_x", "ngk", "", "Bearer", "ngk_a_b", "ÿ"])
def test_a_wrong_key_does_not(api: "Api", key: str) -> None:
    """However it looks."""
    headers = {"X-API-Key": key.encode("latin-1")}
    assert api.client().get("/jobs", headers=headers).status_code == 401


def test_a_key_with_a_changed_letter_does_not(api: "Api") -> None:
    """The id alone is worth nothing."""
    key = api.new_key()
    changed = key[:-1] + ("a" if key[-1] != "a" else "b")
    assert api.client(changed).get("/jobs").status_code == 401


def test_a_revoked_key_stops_working_at_once(api: "Api") -> None:
    """Without a restart."""
    key = api.new_key()
    client = api.client(key)
    assert client.get("/jobs").status_code == 200
    assert api.keys_file is not None
    revoke_key(api.keys_file, key.split("_")[1])
    assert client.get("/jobs").status_code == 401


def test_strangers_are_refused_before_their_upload_is_read(api: "Api", exchange: Callable[..., bytes]) -> None:
    """The answer comes although not a byte of the announced body does."""
    head = b"POST /convert HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    answer = exchange(api.url, head + b"Content-Length: 50000000\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Host": "["}, 415),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://evil.localhost"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://behind-a-proxy.example"}, 415),
        ({"Origin": "https://nigaoe.example"}, 415),
        ({}, 415),
    ],
)
def test_other_sites_cannot_use_a_visitors_browser(
    special_api: Callable[..., "Api"], headers: dict[str, str], status: int
) -> None:
    """Where no keys are asked for, a page elsewhere could post to localhost."""
    client = special_api(public_url="https://nigaoe.example/", anonymous_api=True).client()
    assert client.post("/convert", headers=headers).status_code == status


def test_the_own_page_may_post(special_api: Callable[..., "Api"]) -> None:
    """Its origin is the address that was called."""
    api = special_api()
    assert api.client().post("/convert", headers={"Origin": api.url}).status_code == 415


def test_a_damaged_file_of_keys_lets_nobody_in(special_api: Callable[..., "Api"], tmp_path: Path) -> None:
    """Rather 500 than everyone."""
    path = tmp_path / "keys.json"
    path.write_text("{")
    answer = special_api(api_keys_file=path).client("ngk_000000000000_x").get("/jobs")
    assert (answer.status_code, answer.json()["code"]) == (500, "invalid_settings")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("rebinding.example", 403),
        ("rebinding.example:8000", 403),
        ("localhost:8000", 200),
        ("nigaoe.localhost", 200),
        ("127.0.0.1", 200),
        ("[::1]:8000", 200),
        ("api", 200),
        ("nigaoe.example", 200),
    ],
)
def test_a_strange_name_for_this_machine_is_refused(special_api: Callable[..., "Api"], host: str, status: int) -> None:
    """DNS rebinding would make another site's pages the own ones, and everyone's jobs theirs."""
    client = special_api(public_url="https://nigaoe.example/", anonymous_api=True).client()
    assert client.get("/jobs", headers={"Host": host}).status_code == status


def test_a_service_for_others_has_the_name_that_they_gave_it(special_api: Callable[..., "Api"]) -> None:
    """Bound to a network, or asking for keys, it cannot know its names."""
    client = special_api(host="0.0.0.0", anonymous_api=True).client()
    assert client.get("/jobs", headers={"Host": "nigaoe.company.example"}).status_code == 200
