"""Webhooks: a task beside the requests that signs and sends what the job store says is due.

Every API process runs one; the store hands each entry to one of them. A delivery that fails comes due again by itself,
later and later; a dead address delays neither a job nor the other deliveries.

Signatures follow the Standard Webhooks specification (standardwebhooks.com), with a secret for each tenant. It follows
from the service's signing secret, so nothing more is stored, all replicas agree, and one tenant cannot sign for
another. ``nigaoe keys webhook-secret`` prints it.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import time
import uuid
from datetime import UTC, datetime
from functools import partial
from typing import Final

import httpx
import structlog
from pydantic import BaseModel
from standardwebhooks import Webhook
from starlette.concurrency import run_in_threadpool

from nigaoe_api.job_views import JobViews
from nigaoe_api.metrics import Metrics
from nigaoe_api.outbound import Outbound
from nigaoe_api.schemas import WebhookEvent, WebhookTestEvent, WebhookTestView
from nigaoe_core.errors import ForbiddenAddress, NigaoeError, OutboundError
from nigaoe_core.guarded_loop import UnexpectedErrors, contained_task
from nigaoe_core.jobs import Job
from nigaoe_core.settings import Settings
from nigaoe_core.store.job_store import JobStore

POLL_SECONDS: Final = 1.0
AT_ONCE: Final = 16
DELIVERY: Final = "webhook_delivery"
"""Where unexpected errors of one delivery are counted."""

_PURPOSE: Final = b"nigaoe webhooks\0"

log = structlog.get_logger(__name__)


class WebhookSender:
    """Sends webhooks.

    Args:
        store: What is due.
        outbound: How they leave.
        settings: How often and how long to try.
        signing_secret: Of the service.
        metrics: Counts deliveries.
        errors: Where unexpected errors are recorded.
    """

    def __init__(
        self,
        store: JobStore,
        outbound: Outbound,
        settings: Settings,
        signing_secret: bytes,
        metrics: Metrics,
        errors: UnexpectedErrors,
    ) -> None:
        self._store = store
        self._outbound = outbound
        self._settings = settings
        self._secret = signing_secret
        self._metrics = metrics
        self._errors = errors
        self._under_way: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Send until cancelled."""
        try:
            while True:
                await self._start_due()
                await asyncio.sleep(min(POLL_SECONDS, self._settings.webhook_pause_seconds))
        except asyncio.CancelledError:  # Whatever else ends this loop is no reason to break deliveries off.
            for task in self._under_way.values():
                task.cancel()
            raise

    async def _start_due(self) -> None:
        free = AT_ONCE - len(self._under_way)
        if free <= 0:
            return
        try:
            due = await run_in_threadpool(self._store.due_webhooks, free)
        except NigaoeError as error:
            log.warning("webhook.postponed", code=error.code)
            return
        for job, number in due:
            if job.id not in self._under_way:  # A delivery may take longer than the pause after it.
                task = contained_task(DELIVERY, self.deliver(job, number), self._errors, name=f"webhook-{job.id}")
                self._under_way[job.id] = task
                task.add_done_callback(partial(self._finished, job.id))

    def _finished(self, job_id: str, _task: asyncio.Task[None]) -> None:
        self._under_way.pop(job_id, None)

    async def deliver(self, job: Job, number: int) -> None:
        """Try once; settle if it was taken, or if this was the last try.

        Args:
            job: An ended job with a webhook.
            number: Of this try, from 1.
        """
        try:
            outcome = await self._try_to_send(job)
            if outcome == "failed" and number >= self._settings.webhook_tries:
                outcome = "given_up"
            if outcome != "failed":
                await run_in_threadpool(self._store.settle_webhook, job.id)
        except NigaoeError as error:  # The stores are away: the entry comes due again.
            log.warning("webhook.postponed", job_id=job.id, code=error.code)
            return
        self._metrics.webhooks.labels(outcome).inc()
        log.info("webhook.tried", job_id=job.id, outcome=outcome, number=number)

    async def _try_to_send(self, job: Job) -> str:
        """What nobody expected is a failed try like any other, so that it is given up some day."""
        try:
            return await self._send(job)
        except NigaoeError:
            raise
        except Exception as error:  # noqa: BLE001 - recorded whole; one job's call must not end the others'.
            self._errors.record(DELIVERY, error)
            return "failed"

    async def test(self, url: str, tenant: str) -> WebhookTestView:
        """Send a signed test event to an address, once, and tell how it was taken.

        Raises:
            ForbiddenAddress: The address is not public https.
        """
        message = WebhookTestEvent(timestamp=datetime.now(UTC), data={"message": "A test of your webhook by Nigaoe."})
        message_id, began = f"msg_{uuid.uuid4()}", time.monotonic()
        status, detail = None, "It works: the address took the event."
        try:
            status = await self._post(url, tenant, message_id, _text(message))
        except ForbiddenAddress:
            raise
        except OutboundError as error:
            detail = error.message
        delivered = status is not None and httpx.codes.is_success(status)
        if status is not None and not delivered:
            detail = f"The address answered {status}; answer with any 2xx when the signature is right."
        seconds = round(time.monotonic() - began, 3)
        return WebhookTestView(
            delivered=delivered, status=status, message_id=message_id, seconds=seconds, detail=detail
        )

    async def _send(self, job: Job) -> str:
        body = await run_in_threadpool(self._body, job)
        try:
            status = await self._post(job.options.webhook_url or "", job.tenant, f"msg_{job.id}", body)
        except OutboundError as error:
            log.warning("webhook.not_delivered", job_id=job.id, code=error.code, reason=error.message)
            return "failed"
        if status == httpx.codes.GONE:  # "Never again", says the specification.
            return "given_up"
        return "delivered" if httpx.codes.is_success(status) else "failed"

    async def _post(self, url: str, tenant: str, message_id: str, body: str) -> int:
        """Send a signed body and return the answer's status."""
        secret = webhook_secret(self._secret, tenant)
        headers = signed_headers(secret, message_id=message_id, sent_at=datetime.now(UTC), body=body)
        return await self._outbound.post(url, body.encode(), headers, seconds=self._settings.webhook_timeout_seconds)

    def _body(self, job: Job) -> str:
        view = JobViews(self._store, (self._settings.public_url or "").rstrip("/")).one(job)
        ended_at = view.ended_at or view.created_at
        event = {"type": f"job.{job.state.value}", "timestamp": ended_at, "data": view}
        return _text(WebhookEvent.model_validate(event))


def webhook_secret(signing_secret: bytes, tenant: str) -> str:
    """The secret that a tenant checks webhooks with, in the specification's form ``whsec_BASE64``."""
    key = hmac.digest(signing_secret, _PURPOSE + tenant.encode(), hashlib.sha256)
    return f"whsec_{base64.b64encode(key).decode()}"


def signed_headers(secret: str, *, message_id: str, sent_at: datetime, body: str) -> dict[str, str]:
    """The headers that prove where a webhook comes from.

    Args:
        secret: From `webhook_secret`.
        message_id: Stays the same when the message is sent again.
        sent_at: Time of this try.
        body: The JSON text exactly as sent.
    """
    sent_at = sent_at.astimezone(UTC)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(sent_at.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, sent_at, body),
        "Content-Type": "application/json",
    }


def _text(message: BaseModel) -> str:
    return json.dumps(message.model_dump(mode="json"), ensure_ascii=False, separators=(",", ":"))
