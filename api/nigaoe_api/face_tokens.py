"""Face tokens: which face of which photo, signed; ``POST /faces`` gives them, ``POST /convert`` takes one as ``face``.

Nothing is stored for a choice that may never come. A token is worth nothing with another photo, so a client cannot mix
up the pictures of two people.
"""

import base64
import hashlib
import hmac
import struct
import time
from collections.abc import Callable
from typing import Final

from nigaoe_core.errors import InvalidFaceToken

VALID_SECONDS: Final = 24 * 3600
PREFIX: Final = "face_"

_CONTENT: Final = struct.Struct(">QH16s16s")  # Expiry, index, half a SHA-256 of the photo, half an HMAC-SHA-256.
_SIGNED: Final = _CONTENT.size - 16


class FaceTokens:
    """Makes and reads tokens.

    Args:
        secret: The service's signing secret.
        clock: Gives Unix seconds.
    """

    def __init__(self, secret: bytes, *, clock: Callable[[], float] = time.time) -> None:
        self._key = hmac.digest(secret, b"nigaoe face tokens", hashlib.sha256)
        self._clock = clock

    def make(self, photo: bytes, index: int) -> str:
        """Make the token of a photo's face with this index."""
        signed = struct.pack(">QH16s", int(self._clock()) + VALID_SECONDS, index, _digest(photo))
        return PREFIX + base64.urlsafe_b64encode(signed + self._mac(signed)).decode().rstrip("=")

    def read(self, token: str, photo: bytes) -> int:
        """Return the index that a token names.

        Raises:
            InvalidFaceToken: It is damaged, too old, or belongs to another photo.
        """
        try:
            content = base64.urlsafe_b64decode(token.removeprefix(PREFIX) + "==")
            expires, index, digest, mac = _CONTENT.unpack(content)
        except (ValueError, struct.error):
            raise InvalidFaceToken("The face token is damaged: ask POST /faces for a new one.") from None
        if not hmac.compare_digest(mac, self._mac(content[:_SIGNED])):
            raise InvalidFaceToken("The face token is damaged: ask POST /faces for a new one.")
        if expires < self._clock():
            raise InvalidFaceToken("The face token is too old: ask POST /faces for a new one.")
        if digest != _digest(photo):
            raise InvalidFaceToken("The face token belongs to another photo: send exactly the same file again.")
        return int(index)

    def _mac(self, signed: bytes) -> bytes:
        return hmac.digest(self._key, signed, hashlib.sha256)[:16]


def _digest(photo: bytes) -> bytes:
    return hashlib.sha256(photo).digest()[:16]
