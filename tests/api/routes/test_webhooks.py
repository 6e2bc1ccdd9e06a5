"""Trying a webhook before a job depends on it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import httpx
import pytest
from standardwebhooks import Webhook

from nigaoe_api.webhooks import webhook_secret

if TYPE_CHECKING:
    from conftest import Api, Site

SECRET = "0123456789abcdef"


@pytest.fixture
def developing_api(special_api: Callable[..., "Api"]) -> "Api":
    """A service that may call its own machine."""
    return special_api(webhook_allow_loopback=True, signing_secret=SECRET)


def test_a_test_event_is_signed_like_every_other(developing_api: "Api", site: "Site") -> None:
    """With the secret of the caller's tenant, so that the receiver's check is tried, too."""
    answer = developing_api.client().post("/webhooks/test", json={"url": f"{site.url}/hook"}).json()
    assert (answer["delivered"], answer["status"]) == (True, 204)
    (call,) = site.received
    event = Webhook(webhook_secret(SECRET.encode(), "public")).verify(call.body, call.headers)
    assert (event["type"], call.headers["webhook-id"], call.path) == ("test", answer["message_id"], "/hook")


def test_what_the_address_says_is_told(developing_api: "Api", site: "Site") -> None:
    """Once: nothing is tried again."""
    site.statuses = [401]
    answer = developing_api.client().post("/webhooks/test", json={"url": site.url}).json()
    assert (answer["delivered"], answer["status"]) == (False, 401)
    assert "401" in answer["detail"]
    assert len(site.received) == 1


def test_an_address_that_does_not_answer_is_told(developing_api: "Api", site: "Site") -> None:
    """Without a status."""
    site.close()
    answer = developing_api.client().post("/webhooks/test", json={"url": site.url})
    assert (answer.status_code, answer.json()["delivered"], answer.json()["status"]) == (200, False, None)
    assert "could not be reached" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://localhost:9000/hook", "NIGAOE_WEBHOOK_ALLOW_LOOPBACK"),
        ("http://127.0.0.1:9000/hook", "NIGAOE_WEBHOOK_ALLOW_LOOPBACK"),
        ("https://[::1]/hook", "NIGAOE_WEBHOOK_ALLOW_LOOPBACK"),
        ("http://example.org/hook", "https"),
        ("https://192.168.1.7/hook", "private networks"),
    ],
)
def test_a_refused_address_is_told_why(client: httpx.Client, url: str, words: str) -> None:
    """And which setting would allow it, if one does."""
    answer = client.post("/webhooks/test", json={"url": url})
    assert (answer.status_code, answer.json()["code"]) == (422, "forbidden_address")
    assert words in answer.json()["detail"]


def test_a_service_without_webhooks_says_so(special_api: Callable[..., "Api"]) -> None:
    """Instead of trying."""
    answer = special_api(webhooks=False).client().post("/webhooks/test", json={"url": "https://example.org/"})
    assert answer.json()["code"] == "invalid_request"


def test_tests_are_counted(special_api: Callable[..., "Api"], site: "Site") -> None:
    """Nobody knocks at others' doors through us all day."""
    client = special_api(webhook_allow_loopback=True, convert_rate_limit="1/hour").client()
    assert client.post("/webhooks/test", json={"url": site.url}).status_code == 200
    assert client.post("/webhooks/test", json={"url": site.url}).json()["code"] == "rate_limited"
