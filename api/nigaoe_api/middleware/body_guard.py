"""A body may be only so large and take only so long, and all together may be only so many bytes; checked on arrival.

Servers have no time limit of their own for a body: a client that sends a byte now and then would keep a connection,
and what has arrived, for ever.
"""

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nigaoe_api.uploads_in_flight import SMALL, UploadShare, UploadsInFlight
from nigaoe_core.errors import RequestTimeout, RequestTooLarge


class BodyGuard:
    """Count and time what ``receive`` brings.

    Args:
        app: What comes behind.
        max_bytes: Bytes of one body.
        seconds: From the request's head until its body is there in full.
        uploads: Counts the bytes of all bodies.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int, seconds: float, uploads: UploadsInFlight) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.seconds = seconds
        self.uploads = uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection.

        Raises:
            RequestTooLarge: The body is larger than ``max_bytes``, by its own word or while it arrives.
            RequestTimeout: It was not there in time.
            UploadsFull: It is too large beside all others that are on their way now.
        """
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced) > self.max_bytes:
            raise self.too_large()
        if announced.isdecimal() and int(announced) > SMALL:
            self.uploads.check(int(announced))  # Before it has travelled in vain.
        share = UploadShare(self.uploads)
        scope.setdefault("state", {})["upload_share"] = share
        try:
            await self.app(scope, _Meter(receive, self, share).receive, send)
        finally:
            share.release()

    def too_large(self) -> RequestTooLarge:
        """The error that says how large a body may be."""
        return RequestTooLarge(
            f"A request may have at most {self.max_bytes} bytes; send fewer or smaller photos.",
            max_bytes=self.max_bytes,
        )


class _Meter:
    """One request's count and clock."""

    def __init__(self, receive: Receive, guard: BodyGuard, share: UploadShare) -> None:
        self._share = share
        self._receive = receive
        self._guard = guard
        self._bytes = 0
        self._complete = False
        self._deadline = asyncio.get_running_loop().time() + guard.seconds

    async def receive(self) -> Message:
        if self._complete:  # From now on the caller only waits for the client to go away.
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise RequestTimeout(
                f"The body did not arrive within {self._guard.seconds:g} seconds; try again on a faster connection."
            ) from None
        self._bytes += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        if self._bytes > self._guard.max_bytes:
            raise self._guard.too_large()
        self._share.resize(self._bytes)
        return message
