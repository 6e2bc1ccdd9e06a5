"""The last catch: errors that rise through the application become problem documents, unknown ones are logged."""

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nigaoe_api.errors import problem_response
from nigaoe_core.errors import NigaoeError

log = structlog.get_logger(__name__)


class ErrorBorder:
    """Answer for whatever is raised below, as long as no answer has begun."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False

        async def send_watched(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, send_watched)
        except ClientDisconnect:
            return  # Nobody is left to answer.
        except Exception as error:  # Whatever it is, the caller gets a problem document and we keep the trace.
            if begun:
                raise
            known = error if isinstance(error, NigaoeError) else NigaoeError()
            if known is not error:
                log.exception("request.failed")
            elif known.status >= 500:
                log.warning("request.refused", code=known.code, reason=known.message)
            await problem_response(known, scope)(scope, receive, send)
