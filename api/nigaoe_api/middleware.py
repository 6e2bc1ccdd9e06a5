"""ASGI middleware around the routes; `nigaoe_api.app` says in which order, `nigaoe_api.authentication` has one more."""

import asyncio
import re
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nigaoe_api.callers import Caller
from nigaoe_api.errors import problem_response
from nigaoe_api.metrics import Metrics
from nigaoe_api.rate_limits import RateLimits
from nigaoe_api.uploads_in_flight import SMALL, UploadShare, UploadsInFlight
from nigaoe_core.errors import NigaoeError, RequestTimeout, RequestTooLarge
from nigaoe_core.telemetry import span

REQUEST_ID: Final = "X-Request-ID"
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "private, no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), geolocation=(), microphone=()",
}
"""JSON, events and pictures may load nothing, are never guessed to be something else, and no cache keeps them."""

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_UNLOGGED_PATHS: Final = ("/livez", "/readyz", "/metrics")
_COUNTED_METHODS: Final = ("GET", "HEAD", "POST", "DELETE", "OPTIONS")

log = structlog.get_logger(__name__)


class HttpMiddleware(ABC):
    """Base of all: serves HTTP requests; what is none (the application's lifespan) passes untouched.

    Args:
        app: What comes behind.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one connection."""
        serve = self.serve if scope["type"] == "http" else self.app
        await serve(scope, receive, send)

    @abstractmethod
    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""


def on_start(send: Send, act: Callable[[Message], None]) -> Send:
    """Return a ``send`` that first shows ``act`` the message that starts a response: its status and its headers."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            act(message)
        await send(message)

    return sending


class RequestId(HttpMiddleware):
    """Puts ``request_id`` into ``scope["state"]``, the log's context and the response's headers.

    It is the client's ``X-Request-ID`` if that is sane, else a new one.
    """

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        given = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = given if _SANE_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id

        def name(start: Message) -> None:
            MutableHeaders(scope=start)[REQUEST_ID] = request_id

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self.app(scope, receive, on_start(send, name))


class RequestMetrics(HttpMiddleware):
    """Counts and times requests by route, and logs one line for each: path and status, never query or address.

    Args:
        app: What comes behind.
        metrics: Where they are counted.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        super().__init__(app)
        self.metrics = metrics

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        began, status = time.perf_counter(), 499  # 499: the client went away before there was a response.

        def note(start: Message) -> None:
            nonlocal status
            status = start["status"]

        try:
            with (
                self.metrics.in_progress.track_inprogress(),
                span("request", method=scope["method"], path=scope["path"]),
            ):
                await self.app(scope, receive, on_start(send, note))
        finally:
            self._record(scope, status, time.perf_counter() - began)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _COUNTED_METHODS else "other"
        route = str(getattr(scope.get("route"), "path", "other"))  # A template: a bounded set, unlike paths.
        self.metrics.requests.labels(method, route, str(status)).inc()
        self.metrics.request_seconds.labels(method, route).observe(seconds)
        if scope["path"] not in _UNLOGGED_PATHS:
            log.info("request.answered", method=method, path=scope["path"], status=status, seconds=round(seconds, 4))


class SecurityHeaders(HttpMiddleware):
    """Adds each of `SECURITY_HEADERS` that the response does not set itself, as the page's responses do."""

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""

        def complete(start: Message) -> None:
            headers = MutableHeaders(scope=start)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)

        await self.app(scope, receive, on_start(send, complete))


class ErrorHandler(HttpMiddleware):
    """Turns whatever is raised below into a problem document, as long as no response has started."""

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request; raises only what comes too late for a response."""
        started: list[Message] = []
        try:
            await self.app(scope, receive, on_start(send, started.append))
        except ClientDisconnect:
            return  # Nobody is left to answer.
        except Exception as error:  # Whatever it is, the client gets a problem document and we keep the trace.
            if started:
                raise
            known = error if isinstance(error, NigaoeError) else NigaoeError()
            if known is not error:
                log.exception("request.failed")
            elif known.status >= 500:
                log.warning("request.refused", code=known.code, reason=known.message)
            await problem_response(known, scope)(scope, receive, send)


class RateLimit(HttpMiddleware):
    """Counts the requests of known callers (those to guarded paths) before their body is read.

    Args:
        app: What comes behind.
        limits: Where they are counted.
    """

    def __init__(self, app: ASGIApp, *, limits: RateLimits) -> None:
        super().__init__(app)
        self.limits = limits

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request.

        Raises:
            RateLimited: Too many requests.
        """
        caller: Caller | None = scope.get("state", {}).get("caller")
        if caller is not None:
            await self.limits.count_request(caller)
        await self.app(scope, receive, send)


class BodyLimits(HttpMiddleware):
    """Lets a body be only so large and take only so long, and all together be only so many bytes; checked on arrival.

    Servers have no time limit of their own for a body: a client that sends a byte now and then would keep a connection,
    and what has arrived, for ever.

    Args:
        app: What comes behind.
        max_bytes: Bytes of one body.
        seconds: From the request's head until its body is there in full.
        uploads: Counts the bytes of all bodies.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int, seconds: float, uploads: UploadsInFlight) -> None:
        super().__init__(app)
        self.max_bytes = max_bytes
        self.seconds = seconds
        self.uploads = uploads

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request.

        Raises:
            RequestTooLarge: The body is larger than ``max_bytes``, by its own word or while it arrives.
            RequestTimeout: It was not there in time.
            UploadsFull: It is too large beside all others that are on their way now.
        """
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced) > self.max_bytes:
            raise self._too_large()
        if announced.isdecimal() and int(announced) > SMALL:
            self.uploads.check(int(announced))  # Before it has travelled in vain.
        share = UploadShare(self.uploads)
        scope.setdefault("state", {})["upload_share"] = share
        try:
            await self.app(scope, self._limited(receive, share), send)
        finally:
            share.release()

    def _limited(self, receive: Receive, share: UploadShare) -> Receive:
        """Return a ``receive`` that counts and times one request's body."""
        received, complete = 0, False
        deadline = asyncio.get_running_loop().time() + self.seconds

        async def receiving() -> Message:
            nonlocal received, complete
            if complete:  # From now on the application only waits for the client to go away.
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise RequestTimeout(
                    f"The body did not arrive within {self.seconds:g} seconds; try again on a faster connection."
                ) from None
            received += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if received > self.max_bytes:
                raise self._too_large()
            share.resize(received)
            return message

        return receiving

    def _too_large(self) -> RequestTooLarge:
        return RequestTooLarge(
            f"A request may have at most {self.max_bytes} bytes; send fewer or smaller photos.",
            max_bytes=self.max_bytes,
        )
