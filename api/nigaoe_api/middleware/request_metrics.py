"""Counts and times requests by route, and writes one log line for each: path and status, never query or address."""

import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nigaoe_api.meters import Meters
from nigaoe_core.telemetry import span

log = structlog.get_logger(__name__)

_QUIET = ("/livez", "/readyz", "/metrics")
_METHODS = ("GET", "HEAD", "POST", "DELETE", "OPTIONS")


class RequestMetrics:
    """Measure every request.

    Args:
        app: What comes behind.
        meters: Where it is counted.
    """

    def __init__(self, app: ASGIApp, *, meters: Meters) -> None:
        self.app = app
        self.meters = meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 499  # 499: the client went away before there was an answer.

        async def send_watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self.meters.in_progress.inc()
        try:
            with span("request", method=scope["method"], path=scope["path"]):
                await self.app(scope, receive, send_watched)
        finally:
            self.meters.in_progress.dec()
            self._record(scope, status, time.perf_counter() - began)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = route_of(scope)
        self.meters.requests.labels(method, route, str(status)).inc()
        self.meters.request_seconds.labels(method, route).observe(seconds)
        if scope["path"] not in _QUIET:
            log.info("request.answered", method=method, path=scope["path"], status=status, seconds=round(seconds, 4))


def route_of(scope: Scope) -> str:
    """The template of the matched route: a bounded set, unlike paths."""
    return str(getattr(scope.get("route"), "path", "other"))
