"""Authentication, on the head of a request: FastAPI would read a whole upload before it asked a dependency.

On its own machine everyone may call: who can, owns the machine. On an address that others reach, a call without a key
would see and erase everybody's drawings, so it is refused there unless the operator allows it; visitors of the page
have a tenant each (`nigaoe_api.visitors`) and need no key.
"""

import ipaddress
from typing import Final
from urllib.parse import SplitResult, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nigaoe_api.api_keys import KeyRing
from nigaoe_api.callers import Caller, client_host
from nigaoe_api.middleware import HttpMiddleware, on_start
from nigaoe_api.visitors import Visitor, VisitorCookies
from nigaoe_core.errors import AnonymousRefused, CrossOrigin, InvalidSettings, Unauthorized
from nigaoe_core.settings import Settings

GUARDED: Final = ("/convert", "/faces", "/jobs", "/batches", "/webhooks")
"""Paths, and all below them, that belong to a caller. Everything else shows nothing of anyone, or is signed."""
PAGE: Final = ("/", "/index.html")

ADVICE: Final = (
    "Give out keys (`nigaoe keys create NAME`, then NIGAOE_API_KEYS_FILE), or set NIGAOE_ANONYMOUS_API=true to let "
    "everyone call as one tenant that shares its jobs."
)

_SAFE_METHODS: Final = ("GET", "HEAD", "OPTIONS")


def is_guarded(path: str) -> bool:
    """Whether a path shows or changes what belongs to someone."""
    return any(path == prefix or path.startswith(f"{prefix}/") for prefix in GUARDED)


class Authentication(HttpMiddleware):
    """Puts the caller into ``scope["state"]`` for guarded paths, and gives the page's visitors their cookie.

    Args:
        app: What comes behind.
        keys: The valid keys; None: the page's visitors may call, and others where the settings say so.
        visitors: Makes and reads the visitors' cookies.
        settings: Where the service is reached.
    """

    def __init__(self, app: ASGIApp, *, keys: KeyRing | None, visitors: VisitorCookies, settings: Settings) -> None:
        super().__init__(app)
        self.keys = keys
        self.visitors = visitors
        self.own_host = split(settings.public_url or "").netloc
        self.is_https = split(settings.public_url or "").scheme == "https"
        self.is_local = is_loopback(settings.host)
        self.has_page = settings.page and keys is None
        self.serves_anyone = settings.anonymous_api
        self.serves_anonymous = anonymous_calls(settings)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request.

        Raises:
            Unauthorized: No key, or one that is not (or no longer) valid.
            AnonymousRefused: Neither key nor cookie, at an address that others reach.
            CrossOrigin: Another site's page tries to act through its visitor's browser.
        """
        headers = Headers(scope=scope)
        if is_guarded(scope["path"]):
            caller, visitor = await self._identify(scope, headers)
            scope.setdefault("state", {})["caller"] = caller
        else:
            visitor = self._newcomer(scope, headers)
        if visitor is not None:
            send = self._with_cookie(send, visitor, secure=self._is_secure(scope))
        await self.app(scope, receive, send)

    async def _identify(self, scope: Scope, headers: Headers) -> tuple[Caller, Visitor | None]:
        """The caller, and the visitor whose cookie is to be set with the answer."""
        if self.keys is None:
            return self._without_key(scope, headers)
        text = _key_text(headers)
        if text is None:
            raise Unauthorized("Send your API key in the header `Authorization: Bearer KEY`.")
        key = await run_in_threadpool(self.keys.find, text)
        if key is None:
            raise Unauthorized("This API key is not valid; ask the operator for a new one.")
        return Caller.with_key(key), None

    def _without_key(self, scope: Scope, headers: Headers) -> tuple[Caller, Visitor | None]:
        changes = scope["method"] not in _SAFE_METHODS
        visitor = self.visitors.read(headers, secure=self._is_secure(scope)) if self.has_page else None
        is_own_page = self._is_own_page(headers)
        if changes and (self._is_other_site(headers) or (visitor is not None and not is_own_page)):
            raise CrossOrigin("Open Nigaoe's own page, or give out API keys for use from other sites.")
        if self.is_local and self._is_strange_name(headers.get("host", "")):
            raise CrossOrigin("This service is for its own machine; set NIGAOE_PUBLIC_URL to give it another name.")
        if visitor is None and is_own_page and self.has_page:
            visitor = self.visitors.new()  # Its cookie ran out while the page was open, and all drawings with it.
        if visitor is not None:
            # Only what may make something sets a cookie: many reads at once would each make somebody new.
            return Caller.without_key(scope, visitor.tenant), visitor if changes else None
        if self.serves_anonymous and (self.serves_anyone or not self._came_from_elsewhere(scope)):
            return Caller.without_key(scope), None
        raise AnonymousRefused(f"Open this address in a browser, or call it with an API key. {ADVICE}")

    def _newcomer(self, scope: Scope, headers: Headers) -> Visitor | None:
        """A browser that opens the page without a valid cookie. Not what other sites' pages fetch or frame."""
        is_visit = self.has_page and scope["method"] == "GET" and scope["path"] in PAGE
        if not is_visit or headers.get("sec-fetch-dest", "document") != "document":
            return None
        known = self.visitors.read(headers, secure=self._is_secure(scope))
        return self.visitors.new() if known is None else None

    def _with_cookie(self, send: Send, visitor: Visitor, *, secure: bool) -> Send:
        def add(start: Message) -> None:
            MutableHeaders(scope=start).append("Set-Cookie", self.visitors.header(visitor, secure=secure))

        return on_start(send, add)

    def _is_secure(self, scope: Scope) -> bool:
        return self.is_https or scope.get("scheme") == "https"

    def _is_other_site(self, headers: Headers) -> bool:
        """A form on any web page may POST to localhost; browsers then say where it came from, other clients do not."""
        site = headers.get("sec-fetch-site")
        if site is not None:
            return site not in ("none", "same-origin")
        return "origin" in headers and not self._is_own_origin(headers)

    def _is_own_page(self, headers: Headers) -> bool:
        """Whether a browser says that our own page asks. `Sec-Fetch-Site` is not sent over plain http."""
        site = headers.get("sec-fetch-site")
        return site == "same-origin" if site is not None else self._is_own_origin(headers)

    def _is_own_origin(self, headers: Headers) -> bool:
        origin = headers.get("origin")
        return origin is not None and split(origin).netloc in (headers.get("host"), self.own_host)

    def _is_strange_name(self, host: str) -> bool:
        """A site may point its own name at 127.0.0.1 (DNS rebinding); then its pages count as ours to a browser."""
        name = split(f"//{host}").hostname or ""
        if "." not in name or name.endswith(".localhost") or host == self.own_host:
            return False
        return address_of(name) is None

    def _came_from_elsewhere(self, scope: Scope) -> bool:
        """A service of this machine alone is called from elsewhere only through a proxy that nobody told us of."""
        address = address_of(client_host(scope))
        return address is not None and not address.is_loopback


def _key_text(headers: Headers) -> str | None:
    scheme, _, text = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and text.strip():
        return text.strip()
    return headers.get("x-api-key")


def is_public(settings: Settings) -> bool:
    """Whether somebody else than this machine can reach the service, by all that the settings say."""
    return not is_loopback(settings.host) or (
        settings.public_url is not None and not is_loopback(split(settings.public_url).hostname or "")
    )


def anonymous_calls(settings: Settings) -> bool:
    """Whether calls without an API key and without the page's cookie are served."""
    return settings.api_keys_file is None and (settings.anonymous_api or not is_public(settings))


def announcement(settings: Settings) -> str | None:
    """What the operator should know about calls without keys when the service starts; None: nothing.

    Raises:
        InvalidSettings: Nobody could use the service at all.
    """
    if settings.api_keys_file is not None or not is_public(settings):
        return None
    if settings.anonymous_api:
        return "Everyone who reaches this address may call the API, and sees and may erase the jobs of tenant `public`."
    if not settings.page:
        raise InvalidSettings(f"Without a page and without keys nobody could use this public address. {ADVICE}")
    return f"This address is public and asks for no API keys: the page works, other calls are refused. {ADVICE}"


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this very machine's."""
    address = address_of(host)
    if address is None:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback


def address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address that a host's name is; None if it is none."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def split(address: str) -> SplitResult:
    """The parts of what a client sent as an address; of nonsense, none."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")
