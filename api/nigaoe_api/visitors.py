"""Visitors of the page where no API keys are asked for: each browser is a tenant of its own, by a signed cookie.

The cookie contains a random number and when it ends, nothing of the person and nothing that a server must remember.
Whatever changes something renews it for as long as a drawing can live from then on, so that it ends when the last
drawing is erased, and a browser that comes later is somebody new.

Its name ends in a fingerprint of the signing secret: browsers share the cookies of one host between all ports, and two
services on one machine would take each other's visitors for forgers. On https the name begins with ``__Host-``, which
keeps other names of the same domain from planting a cookie (RFC 6265bis, section 4.1.3).
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import cookie_parser

from nigaoe_api.tokens import SignedRecord
from nigaoe_core.settings import Settings

TENANT_PREFIX: Final = "visitor-"
SLACK_SECONDS: Final = 3600
"""A drawing that ended late is erased late; the cookie ends after it."""


@dataclass(frozen=True)
class Visitor:
    """A browser that was here before, or is now for the first time."""

    number: bytes  # 128 random bits.

    @property
    def tenant(self) -> str:
        """Whose jobs it submits and sees."""
        return TENANT_PREFIX + self.number.hex()


class VisitorCookies:
    """Makes and reads the cookie.

    Args:
        secret: The service's signing secret.
        settings: How long drawings live.
        clock: Gives Unix seconds.
    """

    def __init__(self, secret: bytes, settings: Settings, *, clock: Callable[[], float] = time.time) -> None:
        self._record = SignedRecord(secret, b"nigaoe visitors", ">Q16s")  # Expiry, random number.
        self._seconds = int(settings.retention_hours * 3600 + settings.job_deadline_seconds) + SLACK_SECONDS
        self._name = f"nigaoe-visitor-{self._record.mac(b'name')[:4].hex()}"
        self._clock = clock

    def new(self) -> Visitor:
        """Make somebody whom nobody has seen yet."""
        return Visitor(secrets.token_bytes(16))

    def read(self, headers: Headers, *, secure: bool) -> Visitor | None:
        """Return the visitor of a request; None: no cookie, or one that is over, damaged or somebody else's.

        Args:
            headers: Of the request.
            secure: Whether the browser came by https.
        """
        name = self._full_name(secure=secure)
        texts = [cookie_parser(line).get(name) for line in headers.getlist("cookie")]
        found = [visitor for text in texts if text and (visitor := self._verified(text))]
        return found[0] if len(found) == 1 else None

    def header(self, visitor: Visitor, *, secure: bool) -> str:
        """The value of ``Set-Cookie`` that makes a browser this visitor from now on."""
        text = self._record.pack(int(self._clock()) + self._seconds, visitor.number)
        # Lax: a link in a mail brings its visitor to the own drawings; what changes something is checked by origin.
        attributes = f"Path=/; Max-Age={self._seconds}; HttpOnly; SameSite=Lax" + ("; Secure" if secure else "")
        return f"{self._full_name(secure=secure)}={text}; {attributes}"

    def _full_name(self, *, secure: bool) -> str:
        return f"__Host-{self._name}" if secure else self._name

    def _verified(self, text: str) -> Visitor | None:
        expires, number = self._record.unpack(text) or (0, b"")
        return Visitor(number) if expires > self._clock() else None
