"""HTTP client for addresses that a client gave (webhooks, ``photo_url``): it reaches only the public internet.

A name is resolved once, every address it has is judged, and the connection goes to the judged address itself: a second
answer of the name server (DNS rebinding) cannot lead it elsewhere. TLS still proves the name. No redirects are
followed, no proxies of the environment are used, no connection is kept for another name at the same address.
"""

import asyncio
import ipaddress
import re
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import httpx

from nigaoe_core.errors import ForbiddenAddress, ImageTooLarge, OutboundError

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_ANY_ZLIB_HEADER: Final = zlib.MAX_WBITS | 32  # gzip's or zlib's own.

USER_AGENT: Final = "Nigaoe/1"

URI_CHARACTER: Final = r"([A-Za-z0-9._~:/?@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})"
"""What may stand behind an address's host (RFC 3986)."""
_URI: Final = re.compile(rf"[a-z]+://[A-Za-z0-9._~:@\[\]%-]*([/?]{URI_CHARACTER}*)?(#{URI_CHARACTER}*)?")

LOOPBACK_REFUSED: Final = (
    "The address is this service's own machine. To develop there, start the service with "
    "NIGAOE_WEBHOOK_ALLOW_LOOPBACK=true, which also allows plain http to it; else give a public https address."
)

_BLOCKED_NETWORKS: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "100.64.0.0/10",  # Carrier-grade NAT (RFC 6598).
        "168.63.129.16/32",  # Azure's host, from inside Azure.
        "192.0.0.0/24",  # IETF protocol assignments.
        "192.88.99.0/24",  # 6to4 relays.
        "198.18.0.0/15",  # Benchmarks.
        # IPv6 that embeds IPv4: Python calls some of them global, and a gateway would unpack them.
        "::/96",
        "::ffff:0:0/96",
        "::ffff:0:0:0/96",
        "64:ff9b::/96",  # NAT64 (RFC 6052).
        "64:ff9b:1::/48",  # Local NAT64 (RFC 8215).
        "2001::/32",  # Teredo.
        "2002::/16",  # 6to4.
        "fec0::/10",  # Site-local, deprecated.
    )
)


def is_public(address: IPAddress) -> bool:
    """Whether an address belongs to the public internet and hides no other one."""
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, ipaddress.IPv6Address) and (int(address) >> 32) & 0xFFFF_FFFF in (0x5EFE, 0x0200_5EFE):
        return False  # ISATAP (RFC 5214): an IPv4 address follows.
    return not any(address in network for network in _BLOCKED_NETWORKS if network.version == address.version)


class Outbound:
    """Makes guarded calls.

    Args:
        allow_loopback: Also allow plain http and this very machine; for development.
    """

    def __init__(self, *, allow_loopback: bool = False) -> None:
        self._allow_loopback = allow_loopback
        self._tls = ssl.create_default_context()

    def check(self, url: str) -> httpx.URL:
        """Judge an address by its looks, without asking a name server.

        Raises:
            ForbiddenAddress: It is not https, has a user name in it, or names an address that is not public.
        """
        if not _URI.fullmatch(url):
            raise ForbiddenAddress("This is no address; give one like https://example.org/path, in ASCII.")
        try:
            parsed = httpx.URL(url)
            literal = _literal(parsed.host)
        except (httpx.InvalidURL, UnicodeError) as error:
            raise ForbiddenAddress("This is no address; give one like https://example.org/path.") from error
        schemes = ("https", "http") if self._allow_loopback else ("https",)
        is_local = parsed.host == "localhost" or (literal is not None and literal.is_loopback)
        if is_local and parsed.scheme in ("http", "https") and not self._allow_loopback:
            raise ForbiddenAddress(LOOPBACK_REFUSED)
        if parsed.scheme not in schemes or not parsed.host or parsed.userinfo:
            raise ForbiddenAddress("Give an https address without a user name in it.")
        if literal is not None:
            self._judge(literal, parsed)
        return parsed

    async def get(self, url: str, *, max_bytes: int, seconds: float) -> bytes:
        """Fetch a body.

        Args:
            url: From where.
            max_bytes: Of the body.
            seconds: For everything together.

        Raises:
            ForbiddenAddress: See `check`; also when the name leads to an address that is not public.
            ImageTooLarge: The body is too large.
            OutboundError: No answer, no success, or too late.
        """
        plain = {"Accept-Encoding": "identity"}  # Pictures are compressed by themselves.
        async with self._request("GET", url, seconds=seconds, headers=plain) as response:
            if response.status_code != httpx.codes.OK:
                raise OutboundError(f"The address answered {response.status_code} instead of 200; check it.")
            return await _body_of(response, max_bytes)

    async def post(self, url: str, content: bytes, headers: Mapping[str, str], *, seconds: float) -> int:
        """Send a body and return the answer's status; its content is not read.

        Raises:
            ForbiddenAddress: See `get`.
            OutboundError: No answer, or too late.
        """
        async with self._request("POST", url, seconds=seconds, content=content, headers=headers) as response:
            return response.status_code

    @asynccontextmanager
    async def _request(
        self, method: str, url: str, *, seconds: float, content: bytes | None = None, headers: Mapping[str, str] = {}
    ) -> AsyncIterator[httpx.Response]:
        target = self.check(url)
        try:
            async with (
                asyncio.timeout(seconds),
                httpx.AsyncClient(verify=self._tls, trust_env=False, timeout=seconds, max_redirects=0) as client,
            ):
                request = client.build_request(
                    method,
                    target.copy_with(host=str(await self._resolve(target))),
                    content=content,
                    headers={"User-Agent": USER_AGENT, **headers, "Host": target.netloc.decode("ascii")},
                    extensions={"sni_hostname": target.raw_host.decode("ascii")},
                )
                response = await client.send(request, stream=True)
                try:
                    yield response
                finally:
                    await response.aclose()
        except TimeoutError as error:
            raise OutboundError(f"The address did not answer within {seconds:g} seconds.") from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise OutboundError("The address could not be reached; check that it works from the internet.") from error

    async def _resolve(self, target: httpx.URL) -> IPAddress:
        """Return one address of the target's name, after all of them were found to be allowed."""
        port = target.port or (443 if target.scheme == "https" else 80)
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(target.raw_host.decode("ascii"), port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise OutboundError("The address's name does not exist; check it.") from error
        addresses = [ipaddress.ip_address(str(sockaddr[0]).partition("%")[0]) for *_, sockaddr in found]
        for address in addresses:
            self._judge(address, target)
        return addresses[0]

    def _judge(self, address: IPAddress, target: httpx.URL) -> None:
        if self._allow_loopback and address.is_loopback:
            return
        if address.is_loopback:
            raise ForbiddenAddress(LOOPBACK_REFUSED)
        if target.scheme != "https":
            raise ForbiddenAddress("Plain http leads to this machine only; give an https address.")
        if not is_public(address):
            raise ForbiddenAddress("The address is not public; addresses of private networks are never called.")


async def _body_of(response: httpx.Response, max_bytes: int) -> bytes:
    """Read a body, never holding more of it than allowed: httpx would unpack a whole chunk first, a thousandfold.

    Raises:
        ImageTooLarge: It is larger, as it came or unpacked.
        OutboundError: It is compressed in a way that nobody asked for.
    """
    coding = response.headers.get("content-encoding", "identity").strip().lower()
    unpacker = zlib.decompressobj(_ANY_ZLIB_HEADER) if coding in ("gzip", "x-gzip", "deflate") else None
    if unpacker is None and coding != "identity":
        raise OutboundError(f"The address answers compressed ({coding[:20]}) although it was asked not to.")
    body, received = bytearray(), 0
    async for chunk in response.aiter_raw(64 * 1024):
        received += len(chunk)
        try:
            body += chunk if unpacker is None else unpacker.decompress(chunk, max_bytes + 1 - len(body))
        except zlib.error as error:
            raise OutboundError("The address answers compressed, and the data are damaged.") from error
        if max(len(body), received) > max_bytes:
            raise ImageTooLarge(f"The photo has more than {max_bytes} bytes; use a smaller one.")
    if unpacker is not None and not unpacker.eof:
        raise OutboundError("The address answers compressed, and the data are cut off.")
    return bytes(body)


def _literal(host: str) -> IPAddress | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
