"""How often a caller may ask, decided before the body is read."""

from starlette.types import ASGIApp, Receive, Scope, Send

from nigaoe_api.caller import Caller
from nigaoe_api.rate_limits import RateLimits


class RateLimit:
    """Count the requests of known callers (those to guarded paths).

    Args:
        app: What comes behind.
        limits: Where they are counted.
    """

    def __init__(self, app: ASGIApp, *, limits: RateLimits) -> None:
        self.app = app
        self.limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection.

        Raises:
            RateLimited: Too many requests.
        """
        caller: Caller | None = scope.get("state", {}).get("caller")
        if scope["type"] == "http" and caller is not None:
            await self.limits.count_request(caller)
        await self.app(scope, receive, send)
