"""Webhooks: signed, tried again, and never in the way of a job."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from nigaoe_api.webhooks import signed_headers, webhook_secret
from nigaoe_core.jobs import ANONYMOUS, Failure, Job, JobOptions, new_job

if TYPE_CHECKING:
    from conftest import Api, Site

SECRET = "a signing secret of some length"


@pytest.fixture
def api(special_api: Callable[..., "Api"]) -> "Api":
    """A service that may call this machine, and tries again soon."""
    return special_api(
        webhook_allow_loopback=True,
        webhook_pause_seconds=0.1,
        webhook_timeout_seconds=20,
        webhook_tries=3,
        signing_secret=SECRET,
        public_url="https://nigaoe.example/",
        anonymous_api=True,
    )


def order(api: "Api", url: str) -> Job:
    return api.services.store.submit([new_job(JobOptions(webhook_url=url), tenant=ANONYMOUS)]).jobs[0]


def counted(api: "Api", outcome: str) -> float:
    return float(api.facilities.metrics.webhooks.labels(outcome)._value.get())


def test_a_finished_job_is_told_once_and_signed(api: "Api", site: "Site", eventually: Callable[..., Any]) -> None:
    """The body is the job; the signature is the tenant's."""
    job = order(api, f"{site.url}/hook")
    api.worker.do(job.id)
    eventually(lambda: counted(api, "delivered") == 1)
    (call,) = site.received
    message = Webhook(webhook_secret(SECRET.encode(), ANONYMOUS)).verify(call.body, call.headers)
    assert (message["type"], message["data"]["id"]) == ("job.succeeded", job.id)
    assert message["data"]["links"]["result"] == f"https://nigaoe.example/jobs/{job.id}/result"
    with pytest.raises(WebhookVerificationError):
        Webhook(webhook_secret(SECRET.encode(), "somebody-else")).verify(call.body, call.headers)


def test_a_failure_is_told_too(api: "Api", site: "Site", eventually: Callable[..., Any]) -> None:
    """With its code."""
    job = order(api, site.url)
    api.services.store.fail(api.worker.claim(job.id), Failure(code="numerical_failure", message="No."))
    eventually(lambda: site.received)
    message = site.received[0].json()
    assert (message["type"], message["data"]["error"]["code"]) == ("job.failed", "numerical_failure")


def test_a_refused_delivery_is_tried_again_under_the_same_id(
    api: "Api", site: "Site", eventually: Callable[..., Any]
) -> None:
    """So that the receiver can drop what it has seen."""
    site.statuses += [500, 302]
    api.worker.do(order(api, site.url).id)
    eventually(lambda: counted(api, "delivered") == 1)
    assert len({call.headers["webhook-id"] for call in site.received}) == 1
    assert len(site.received) == 3


def test_a_dead_hook_is_given_up_and_blocks_nobody(api: "Api", site: "Site", eventually: Callable[..., Any]) -> None:
    """Others are delivered meanwhile; the job is as finished as any."""
    dead = order(api, "http://127.0.0.1:9/")
    alive = order(api, site.url)
    for job in (dead, alive):
        api.worker.do(job.id)
    eventually(lambda: counted(api, "delivered") == 1)
    eventually(lambda: counted(api, "given_up") == 1)
    assert api.services.store.due_webhooks() == []
    assert api.client().get(f"/jobs/{dead.id}").json()["state"] == "succeeded"


def test_gone_means_never_again(api: "Api", site: "Site", eventually: Callable[..., Any]) -> None:
    """410 is how a receiver unsubscribes."""
    site.statuses.append(410)
    api.worker.do(order(api, site.url).id)
    eventually(lambda: counted(api, "given_up") == 1)
    assert len(site.received) == 1


def test_a_service_without_webhooks_says_so(special_api: Callable[..., "Api"], convert: Callable[..., Any]) -> None:
    """At the order, not never."""
    api = special_api(webhooks=False)
    assert convert(api.client(), webhook_url="https://example.org/").json()["code"] == "invalid_request"


def test_the_secret_has_the_form_of_the_specification() -> None:
    """whsec_ and 32 bytes in base64, another one for each tenant."""
    secret = webhook_secret(b"x" * 32, "one")
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    assert secret != webhook_secret(b"x" * 32, "two")


def test_a_changed_body_does_not_verify() -> None:
    """That is what the signature is for."""
    secret = webhook_secret(b"x" * 32, "one")
    headers = signed_headers(secret, message_id="msg_1", sent_at=datetime.now(UTC), body='{"a":1}')
    assert Webhook(secret).verify('{"a":1}', headers) == {"a": 1}
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify('{"a":2}', headers)
