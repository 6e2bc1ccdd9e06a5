"""A limit on the bytes of all request bodies together: one for each alone is none for a thousand of them.

What counts is what has arrived, from then until the request no longer needs it: photos wait in memory for their turn at
the face detector, and only then become small crops. Bodies without photos are too small to count, so status, deletion
and restyles work however many photos are on their way. All methods belong to the event loop's thread.
"""

from typing import Final

from starlette.types import Scope

from nigaoe_core.errors import UploadsFull

SMALL: Final = 64 * 1024
"""Bodies up to this size are not counted."""
RETRY_SECONDS: Final = 5.0


class UploadsInFlight:
    """The bytes of all request bodies in the memory of one process.

    Args:
        max_bytes: Of all bodies together.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.bytes = 0

    def check(self, count: int) -> None:
        """Refuse what would not fit now.

        Raises:
            UploadsFull: See the class.
        """
        if count > 0 and self.bytes + count > self._max_bytes:
            raise UploadsFull(
                "Too many photos are on their way: try again in a few seconds.", retry_after=RETRY_SECONDS
            )


class UploadShare:
    """The part of `UploadsInFlight` that one request has.

    Args:
        uploads: Where it is counted.
    """

    def __init__(self, uploads: UploadsInFlight) -> None:
        self._uploads = uploads
        self._bytes = 0

    def resize(self, count: int) -> None:
        """Count so many bytes for this request from now on; a few are not counted.

        Raises:
            UploadsFull: Together with all others they are too many; the share stays as it was.
        """
        more = (count if count > SMALL else 0) - self._bytes
        self._uploads.check(more)
        self._uploads.bytes += more
        self._bytes += more

    def release(self) -> None:
        """Count nothing any more, though the request may go on, waiting for its job."""
        self.resize(0)


def upload_share_of(scope: Scope) -> UploadShare:
    """The share of a request (`nigaoe_api.middleware.BodyLimits` has made it)."""
    share: UploadShare = scope["state"]["upload_share"]
    return share
