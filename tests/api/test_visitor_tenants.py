"""Where no keys are asked for, each browser has a tenant of its own."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from conftest import Api

ORDER = {"Sec-Fetch-Site": "same-origin"}
"""What a browser says when our own page asks."""
Convert = Callable[..., httpx.Response]


@pytest.fixture
def open_api(special_api: Callable[..., "Api"]) -> "Api":
    """A service of this machine, without keys."""
    return special_api()


@pytest.fixture
def public_api(special_api: Callable[..., "Api"]) -> "Api":
    """A service for a network, without keys."""
    return special_api(host="0.0.0.0")


def browser(api: "Api") -> httpx.Client:
    """A browser that has opened the page."""
    client = api.client()
    assert client.get("/", headers={"Sec-Fetch-Site": "none", "Sec-Fetch-Dest": "document"}).status_code == 200
    return client


def ids(client: httpx.Client) -> list[str]:
    """What somebody is shown as the own jobs."""
    return [job["id"] for job in client.get("/jobs").raise_for_status().json()["jobs"]]


def test_no_other_client_sees_or_erases_a_visitors_drawing(open_api: "Api", convert: Convert) -> None:
    """Neither another browser nor a call from the machine itself; the owner does both."""
    mine, other, curl = browser(open_api), browser(open_api), open_api.client()
    job = convert(mine, headers=ORDER).json()
    for other_client in (other, curl):
        assert ids(other_client) == []
        assert other_client.get(f"/jobs/{job['id']}").json()["code"] == "unknown_job"
        assert other_client.get(f"/jobs/{job['id']}/events").json()["code"] == "unknown_job"
        other_client.delete(f"/jobs/{job['id']}", headers=ORDER)
    assert ids(mine) == [job["id"]]
    mine.delete(f"/jobs/{job['id']}", headers=ORDER).raise_for_status()
    assert ids(mine) == []


def test_events_and_pictures_come_with_the_cookie_alone(open_api: "Api", convert: Convert) -> None:
    """An `EventSource` and an `<img>` can send no header of their own."""
    mine = browser(open_api)
    job = convert(mine, headers=ORDER).json()
    open_api.worker.do(job["id"])
    assert "succeeded" in mine.get(f"/jobs/{job['id']}/events").text
    picture = mine.get(f"/jobs/{job['id']}/result.png", follow_redirects=True)
    assert (picture.status_code, picture.headers["Content-Type"]) == (200, "image/png")


def test_calls_of_the_machine_itself_are_one_tenant(open_api: "Api", convert: Convert) -> None:
    """`public`, as the documentation says."""
    job = convert(open_api.client()).json()
    assert ids(open_api.client()) == [job["id"]]
    assert open_api.services.store.get(job["id"]).tenant == "public"


def test_a_public_address_serves_its_page_and_refuses_other_calls(public_api: "Api", convert: Convert) -> None:
    """With a sentence that says what to do."""
    refused = convert(public_api.client())
    assert (refused.status_code, refused.json()["code"]) == (403, "anonymous_refused")
    assert "NIGAOE_ANONYMOUS_API" in refused.json()["detail"]
    assert public_api.client().get("/jobs").status_code == 403
    mine = browser(public_api)
    assert ids(mine) == []
    assert convert(mine, headers=ORDER).status_code == 202


def test_the_operator_may_let_everyone_call(special_api: Callable[..., "Api"]) -> None:
    """All of them as one tenant."""
    assert special_api(host="0.0.0.0", anonymous_api=True).client().get("/jobs").status_code == 200


def test_a_proxy_that_nobody_told_of_does_not_make_other_clients_neighbours(open_api: "Api") -> None:
    """The service listens on this machine alone, and yet the client is elsewhere."""
    headers = {"X-Forwarded-For": "203.0.113.5"}
    assert open_api.client().get("/jobs", headers=headers).json()["code"] == "anonymous_refused"
    assert open_api.client().get("/jobs", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "{own}"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "{own}"}, 415),
        ({"Sec-Fetch-Site": "same-origin"}, 415),
    ],
)
def test_what_changes_something_comes_from_the_page_itself(
    open_api: "Api", headers: dict[str, str], status: int
) -> None:
    """A cookie is sent by the browser, no matter which page asked it to."""
    named = {name: value.replace("{own}", open_api.url) for name, value in headers.items()}
    assert browser(open_api).post("/convert", headers=named).status_code == status


def test_only_opening_the_page_makes_a_new_visitor(open_api: "Api") -> None:
    """A picture or frame on another site does not, and a visitor stays who it is."""
    for dest in ("image", "iframe", "script"):
        assert "Set-Cookie" not in open_api.client().get("/", headers={"Sec-Fetch-Dest": dest}).headers
    assert "Set-Cookie" not in open_api.client().get("/styles").headers
    mine = browser(open_api)
    assert "Set-Cookie" not in mine.get("/").headers


def test_a_page_without_a_cookie_becomes_a_new_visitor_with_its_next_order(open_api: "Api", convert: Convert) -> None:
    """Reads do not: several at once would each make somebody new."""
    late = open_api.client()
    reading = late.get("/jobs", headers=ORDER)
    assert (reading.json()["jobs"], "Set-Cookie" in reading.headers) == ([], False)
    job = convert(late, headers=ORDER)
    assert "Set-Cookie" in job.headers
    assert ids(late) == [job.json()["id"]]


def test_every_order_renews_the_cookie(open_api: "Api", convert: Convert) -> None:
    """It lives as long as the drawing; looking does not prolong it."""
    mine = browser(open_api)
    assert "Set-Cookie" not in mine.get("/jobs").headers
    first, second = (convert(mine, headers=ORDER) for _ in range(2))
    assert "Max-Age=" in first.headers["Set-Cookie"]
    assert set(ids(mine)) == {first.json()["id"], second.json()["id"]}


def test_the_cookie_is_strict_behind_https(open_api: "Api") -> None:
    """A trusted proxy says that the browser came by https."""
    cookie = open_api.client().get("/", headers={"X-Forwarded-Proto": "https"}).headers["Set-Cookie"]
    assert cookie.startswith("__Host-")
    assert "; Secure" in cookie


def test_with_keys_there_are_no_cookies(api: "Api") -> None:
    """A key says who calls."""
    assert "Set-Cookie" not in api.client().get("/").headers
    assert api.client().post("/convert", headers=ORDER).status_code == 401
