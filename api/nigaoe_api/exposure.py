"""Who can reach this service, and what that means for calls without an API key.

On its own machine anyone may call: whoever can, owns the machine. On an address that others reach, a call without a key
would see and erase everybody's drawings, so it is refused there unless the operator allows it; visitors of the page
have a tenant each (`nigaoe_api.visitors`) and need no key.
"""

import ipaddress
from urllib.parse import SplitResult, urlsplit

from nigaoe_core.errors import InvalidSettings
from nigaoe_core.settings import Settings

ADVICE = (
    "Give out keys (`nigaoe keys create NAME`, then NIGAOE_API_KEYS_FILE), or set NIGAOE_ANONYMOUS_API=true to let "
    "everyone call as one tenant that shares its jobs."
)


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
