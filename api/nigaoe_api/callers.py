"""The caller of a request: authenticated once, before its body is read, and kept in ``scope["state"]``."""

import ipaddress
from dataclasses import dataclass

from starlette.types import Scope

from nigaoe_api.api_keys import ApiKey
from nigaoe_core.jobs import ANONYMOUS


@dataclass(frozen=True)
class Caller:
    """The sender of an authenticated request."""

    tenant: str  # Whose jobs they submit and see.
    identity: str  # Whom limits are counted for: a key's id, or an address.
    key: ApiKey | None = None

    @classmethod
    def with_key(cls, key: ApiKey) -> "Caller":
        """The holder of an API key."""
        return cls(key.tenant, f"key:{key.id}", key)

    @classmethod
    def without_key(cls, scope: Scope, tenant: str = ANONYMOUS) -> "Caller":
        """Anyone, where no keys are asked for: a visitor's tenant, or one for all; each address has its own limits."""
        return cls(tenant, f"address:{client_network(scope)}")


def client_host(scope: Scope) -> str:
    """The client's address as the server (or a trusted proxy) says; empty if nobody does."""
    return str(scope["client"][0]) if scope.get("client") else ""


def client_network(scope: Scope) -> str:
    """The client's IPv4 address, or its IPv6 network: one subscriber has a whole /64 to call from."""
    host = client_host(scope)
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host or "unknown"
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), 64), strict=False))


def caller_of(scope: Scope) -> Caller:
    """Return who sent this request (`nigaoe_api.authentication` has decided)."""
    caller: Caller = scope["state"]["caller"]
    return caller
