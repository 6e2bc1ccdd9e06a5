"""Links that give anyone one blob for a while: HMAC-SHA256 over what the link says, made here, checked here.

The folder store uses them; the API's route ``/blobs/{key}`` calls `LinkSigner.verify` before it serves a byte.
"""

import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import quote, urlencode

from nigaoe_core.errors import LinkError, LinkExpired

PATH: Final = "/blobs/"


class LinkSigner:
    """Makes and checks signed links.

    Args:
        secret: Shared by all replicas (`nigaoe_core.signing_secret`), at least 16 bytes.
        clock: Gives Unix seconds.
    """

    def __init__(self, secret: bytes, *, clock: Callable[[], float] = time.time) -> None:
        if len(secret) < 16:
            raise ValueError("a signing secret needs at least 16 bytes")
        # A key of its own, so that a signature made for another purpose with the same secret is worth nothing here.
        self._key = hmac.digest(secret, b"nigaoe signed links", hashlib.sha256)
        self._clock = clock

    def sign(self, key: str, *, seconds: float, download_name: str | None = None) -> str:
        """Make the path and query of a link to a blob, valid for ``seconds``."""
        expires = int(self._clock() + seconds)
        query = {"expires": str(expires)}
        if download_name is not None:
            query["download"] = download_name
        query["signature"] = self._signature(key, expires, download_name)
        return PATH + quote(key) + "?" + urlencode(query)

    def verify(self, key: str, *, expires: int, signature: str, download_name: str | None = None) -> None:
        """Accept a link's parts as they came.

        Raises:
            LinkError: A part was changed, or another secret signed it.
            LinkExpired: It was valid once.
        """
        if not hmac.compare_digest(self._signature(key, expires, download_name).encode(), signature.encode()):
            raise LinkError("The link is not valid: ask for the job again and use the link that it shows.")
        if self._clock() >= expires:
            raise LinkExpired("The link has expired: ask for the job again and use the link that it shows.")

    def _signature(self, key: str, expires: int, download_name: str | None) -> str:
        # Length prefixes keep the parts apart, whatever characters they hold.
        parts = (key, str(expires), "" if download_name is None else "+" + download_name)
        text = "".join(f"{len(part)}:{part}" for part in parts)
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()
