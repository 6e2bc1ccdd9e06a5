"""Signed tokens: text that the service recognises as its own later, without storing anything for it.

Built on the same signed record are the tokens of `nigaoe_api.kept_photos` and the cookies of `nigaoe_api.visitors`.
"""

import base64
import hashlib
import hmac
import struct
import time
import uuid
from collections.abc import Callable
from typing import Any, Final

from nigaoe_core.errors import InvalidFaceToken, LinkError

FACE_PREFIX: Final = "face_"
FACE_SECONDS: Final = 24 * 3600
"""How long a face token is valid."""

_MAC_BYTES: Final = 16


class SignedRecord:
    """Packs fields into URL-safe text that only this service can have made.

    The text is base64url without padding of the packed fields and of half an HMAC-SHA-256 over a context and them.

    Args:
        secret: The service's signing secret.
        purpose: The key follows from both, so that what was signed for another purpose is worth nothing here.
        layout: Of the fields, in the notation of `struct`.
    """

    def __init__(self, secret: bytes, purpose: bytes, layout: str) -> None:
        self._key = hmac.digest(secret, purpose, hashlib.sha256)
        self._layout = struct.Struct(layout)

    def pack(self, *fields: Any, context: bytes = b"") -> str:
        """Return the text of some fields.

        Args:
            *fields: By the layout.
            context: Signed as well, but no part of the text: only who knows it can read the text.
        """
        packed = self._layout.pack(*fields)
        return base64url(packed + self.mac(context + packed))

    def unpack(self, text: str, *, context: bytes = b"") -> tuple[Any, ...] | None:
        """Return the fields of a text; None if it is damaged or was made by somebody else or in another context."""
        try:
            content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            packed, mac = content[:-_MAC_BYTES], content[-_MAC_BYTES:]
            fields = self._layout.unpack(packed)
        except (ValueError, struct.error):
            return None
        return fields if hmac.compare_digest(mac, self.mac(context + packed)) else None

    def mac(self, content: bytes) -> bytes:
        """Half an HMAC-SHA-256, 16 bytes."""
        return hmac.digest(self._key, content, hashlib.sha256)[:_MAC_BYTES]


class FaceTokens:
    """Tokens that say which face of which photo: ``POST /faces`` gives them, ``POST /convert`` takes one as ``face``.

    One is worth nothing with another photo, so a client cannot mix up the pictures of two people.

    Args:
        secret: The service's signing secret.
        clock: Gives Unix seconds.
    """

    def __init__(self, secret: bytes, *, clock: Callable[[], float] = time.time) -> None:
        self._record = SignedRecord(secret, b"nigaoe face tokens", ">QH16s")  # Expiry, index, half a SHA-256.
        self._clock = clock

    def make(self, photo: bytes, index: int) -> str:
        """Make the token of a photo's face with this index."""
        return FACE_PREFIX + self._record.pack(int(self._clock()) + FACE_SECONDS, index, _digest(photo))

    def read(self, token: str, photo: bytes) -> int:
        """Return the index that a token names.

        Raises:
            InvalidFaceToken: It is damaged, too old, or belongs to another photo.
        """
        fields = self._record.unpack(token.removeprefix(FACE_PREFIX))
        if fields is None:
            raise InvalidFaceToken("The face token is damaged: ask POST /faces for a new one.")
        expires, index, digest = fields
        if expires < self._clock():
            raise InvalidFaceToken("The face token is too old: ask POST /faces for a new one.")
        if digest != _digest(photo):
            raise InvalidFaceToken("The face token belongs to another photo: send exactly the same file again.")
        return int(index)


class ShareSigner:
    """Signatures of shared drawings: who has the link sees one drawing, and can do nothing else.

    A signature follows from the job's id, and is worth nothing once the job is erased. It stands in the fragment of the
    page's address, which browsers send to no server, and in the query of the API's addresses, which is never logged.

    Args:
        secret: The service's signing secret.
    """

    def __init__(self, secret: bytes) -> None:
        self._record = SignedRecord(secret, b"nigaoe shared drawings", "16s")

    def sign(self, job_id: str) -> str:
        """The signature for a job's drawing, always the same."""
        return base64url(self._record.mac(uuid.UUID(job_id).bytes))

    def verify(self, job_id: str, signature: str) -> None:
        """Accept a signature as it came.

        Raises:
            LinkError: It was changed, or is for another drawing.
        """
        if not hmac.compare_digest(self.sign(job_id).encode(), signature.encode()):
            raise LinkError("The link is not valid: ask the one who shared it for the whole address.")


def base64url(content: bytes) -> str:
    """Encode bytes for addresses, headers and cookies, without padding (RFC 4648, section 5)."""
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _digest(photo: bytes) -> bytes:
    return hashlib.sha256(photo).digest()[:16]
