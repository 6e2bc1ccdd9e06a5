"""Calls to addresses that clients gave reach the public internet and nothing else."""

import asyncio
import gzip
import ipaddress
import socket
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from nigaoe_api.outbound import Outbound, is_public
from nigaoe_core.errors import ForbiddenAddress, ImageTooLarge, OutboundError

if TYPE_CHECKING:
    from conftest import Site


@pytest.mark.parametrize("address", ["93.184.215.14", "1.1.1.1", "2606:4700:4700::1111", "2a00:1450:4001:80b::200e"])
def test_the_internet_is_public(address: str) -> None:
    """Addresses that anyone can reach."""
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "168.63.129.16",
        "192.0.0.8",
        "192.88.99.1",
        "198.18.0.1",
        "203.0.113.5",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fc00::1",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "2001:0:a9fe:a9fe::1",
        "2606:4700::5efe:a9fe:a9fe",
    ],
)
def test_everything_else_is_not(address: str) -> None:
    """Private, shared, special, and IPv6 that hides an IPv4 address."""
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/",
        "ftp://example.org/",
        "https://user:password@example.org/",
        "https:///path",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[64:ff9b::a9fe:a9fe]/",
        "//example.org/",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "not an address",
        "https://exa\x00mple.org/",
        "https://example.org/`",
        "https://example.org/%zz",
        "https://exämple.org/",
        "",
    ],
)
def test_addresses_that_look_wrong_are_refused_at_once(url: str) -> None:
    """Without asking a name server."""
    with pytest.raises(ForbiddenAddress):
        Outbound().check(url)


def answering(*addresses: str) -> Any:
    """A name server that gives these addresses for any name."""

    async def getaddrinfo(*_: object, **__: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in addresses]

    return getaddrinfo


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["93.184.215.14", "10.0.0.1"], ["169.254.169.254"]])
def test_a_name_that_leads_inside_is_refused(addresses: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if only one of its addresses does."""

    async def call() -> None:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", answering(*addresses))
        await Outbound().get("https://innocent.example/", max_bytes=10, seconds=5)

    with pytest.raises(ForbiddenAddress):
        asyncio.run(call())


def test_the_judged_address_is_the_called_one(site: "Site", monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that changes its mind (DNS rebinding) is asked once."""
    site.pages["/"] = (200, {}, b"hello")
    asked = 0

    async def getaddrinfo(*_: object, **__: object) -> list[Any]:
        nonlocal asked
        asked += 1
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1" if asked == 1 else "127.0.0.2", 0))]

    async def call() -> bytes:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        url = site.url.replace("127.0.0.1", "rebinding.example")
        return await Outbound(allow_loopback=True).get(url, max_bytes=10, seconds=30)

    assert asyncio.run(call()) == b"hello"
    assert asked == 1


def get(site: "Site", path: str, *, max_bytes: int = 100, seconds: float = 30) -> bytes:
    return asyncio.run(Outbound(allow_loopback=True).get(f"{site.url}{path}", max_bytes=max_bytes, seconds=seconds))


def test_a_body_is_fetched_up_to_its_limit(site: "Site") -> None:
    """And not a byte more is kept."""
    site.pages["/small"] = (200, {}, b"x" * 100)
    site.pages["/large"] = (200, {}, b"x" * 200_000)
    assert get(site, "/small") == b"x" * 100
    with pytest.raises(ImageTooLarge):
        get(site, "/large")


@pytest.mark.parametrize("status", [204, 301, 302, 307, 403, 404, 500])
def test_only_success_counts(site: "Site", status: int) -> None:
    """A redirect is not followed: it could lead anywhere."""
    site.pages["/there"] = (200, {}, b"inside")
    site.pages["/"] = (status, {"Location": f"{site.url}/there"}, b"")
    with pytest.raises(OutboundError, match=str(status)):
        get(site, "/")


def test_silence_is_no_answer() -> None:
    """A server that accepts and says nothing costs only the time that was given."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(OutboundError, match="within"):
            asyncio.run(Outbound(allow_loopback=True).get(url, max_bytes=10, seconds=0.2))


def test_a_closed_door_is_no_answer() -> None:
    """Nor is a name that does not exist."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}/", "http://does-not-exist.invalid/"):
        with pytest.raises(OutboundError):
            asyncio.run(Outbound(allow_loopback=True).get(url, max_bytes=10, seconds=20))


def packed(size: int) -> bytes:
    """So many zeros as a few bytes of gzip."""
    return gzip.compress(b"\0" * size)


def test_a_compressed_body_is_limited_while_it_is_unpacked(site: "Site") -> None:
    """A bomb of 64 kB that unpacks to 64 MiB costs no more memory than the limit allows."""
    site.pages["/bomb"] = (200, {"Content-Encoding": "gzip"}, packed(64 * 2**20))
    tracemalloc.start()
    try:
        with pytest.raises(ImageTooLarge):
            get(site, "/bomb", max_bytes=2**20)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20 + 3 * 2**20  # The limit, and what a call takes by itself.


def test_a_body_that_came_compressed_unasked_is_unpacked(site: "Site") -> None:
    """Some servers do not listen to `Accept-Encoding: identity`."""
    site.pages["/gzip"] = (200, {"Content-Encoding": "gzip"}, packed(100))
    site.pages["/cut"] = (200, {"Content-Encoding": "gzip"}, packed(100)[:-12])
    site.pages["/br"] = (200, {"Content-Encoding": "br"}, b"whatever")
    assert get(site, "/gzip") == b"\0" * 100
    for path in ("/cut", "/br"):
        with pytest.raises(OutboundError, match="compressed"):
            get(site, path)
