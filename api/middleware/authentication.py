"""Who may call, decided on the request's head: FastAPI would read a whole upload before it asked a dependency."""

import ipaddress
from typing import Final
from urllib.parse import SplitResult, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from api.api_keys import KeyRing
from api.caller import Caller
from core.errors import CrossOrigin, Unauthorized
from core.settings import Web

GUARDED: Final = ("/convert", "/faces", "/jobs", "/batches")
"""Paths, and all below them, that need a key where keys are asked for. Everything else shows nothing of anyone."""

_SAFE_METHODS: Final = ("GET", "HEAD", "OPTIONS")


def is_guarded(path: str) -> bool:
    """Whether a path shows or changes what belongs to someone."""
    return any(path == prefix or path.startswith(f"{prefix}/") for prefix in GUARDED)


class Authentication:
    """Put the caller into ``scope["state"]`` for guarded paths.

    Args:
        app: What comes behind.
        keys: The valid keys; None: everyone may call (embedded use).
        settings: Where the service is reached.
    """

    def __init__(self, app: ASGIApp, *, keys: KeyRing | None, settings: Web) -> None:
        self.app = app
        self.keys = keys
        self.own_host = _split(settings.public_url or "").netloc
        self.is_local = _is_loopback(settings.host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection.

        Raises:
            Unauthorized: No key, or one that is not (or no longer) valid.
            CrossOrigin: Without keys, another site's page tries to act through its visitor's browser.
        """
        if scope["type"] == "http" and is_guarded(scope["path"]):
            scope.setdefault("state", {})["caller"] = await self._caller(scope)
        await self.app(scope, receive, send)

    async def _caller(self, scope: Scope) -> Caller:
        headers = Headers(scope=scope)
        if self.keys is None:
            if scope["method"] not in _SAFE_METHODS and self._is_other_site(headers):
                raise CrossOrigin("Open Nigaoe's own page, or give out API keys for use from other sites.")
            if self.is_local and self._is_strange_name(headers.get("host", "")):
                raise CrossOrigin("This service is for its own machine; set NIGAOE_PUBLIC_URL to give it another name.")
            return Caller.without_key(scope)
        text = _key_text(headers)
        if text is None:
            raise Unauthorized("Send your API key in the header `Authorization: Bearer KEY`.")
        key = await run_in_threadpool(self.keys.find, text)
        if key is None:
            raise Unauthorized("This API key is not valid; ask the operator for a new one.")
        return Caller.with_key(key)

    def _is_other_site(self, headers: Headers) -> bool:
        """A form on any web page may POST to localhost; browsers then say where it came from, other clients do not."""
        site = headers.get("sec-fetch-site")
        if site is not None:
            return site not in ("none", "same-origin")
        origin = headers.get("origin")
        return origin is not None and _split(origin).netloc not in (headers.get("host"), self.own_host)

    def _is_strange_name(self, host: str) -> bool:
        """A site may point its own name at 127.0.0.1 (DNS rebinding); then its pages count as ours to a browser."""
        name = _split(f"//{host}").hostname or ""
        if "." not in name or name.endswith(".localhost") or host == self.own_host:
            return False
        return _address(name) is None


def _key_text(headers: Headers) -> str | None:
    scheme, _, text = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and text.strip():
        return text.strip()
    return headers.get("x-api-key")


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _split(address: str) -> SplitResult:
    """The parts of what a client sent as an address; of nonsense, none."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")
