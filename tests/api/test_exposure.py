"""What calls without an API key may do, by who can reach the service."""

from pathlib import Path
from typing import Any

import pytest

from nigaoe_api.authentication import announcement, anonymous_calls
from nigaoe_core.errors import InvalidSettings
from nigaoe_core.settings import Settings


def settings(**values: Any) -> Settings:
    """Without the environment's ``.env``."""
    return Settings(_env_file=None, **values)


@pytest.mark.parametrize(
    ("values", "served"),
    [
        ({}, True),
        ({"host": "::1"}, True),
        ({"host": "localhost"}, True),
        ({"public_url": "http://localhost:8000"}, True),
        ({"host": "0.0.0.0"}, False),
        ({"host": "192.168.1.7"}, False),
        ({"public_url": "https://nigaoe.example"}, False),
        ({"host": "0.0.0.0", "anonymous_api": True}, True),
        ({"api_keys_file": Path("keys.json"), "anonymous_api": True}, False),
    ],
)
def test_only_this_machine_may_call_without_a_key(values: dict[str, Any], served: bool) -> None:
    """Unless the operator says otherwise; a name for others counts as an address for others."""
    assert anonymous_calls(settings(**values)) is served


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"host": "0.0.0.0"}, "NIGAOE_ANONYMOUS_API"),
        ({"public_url": "https://nigaoe.example"}, "nigaoe keys create"),
        ({"host": "0.0.0.0", "anonymous_api": True}, "`public`"),
    ],
)
def test_the_operator_is_told_at_the_start(values: dict[str, Any], words: str) -> None:
    """What is refused, and what to do."""
    assert words in (announcement(settings(**values)) or "")


@pytest.mark.parametrize("values", [{}, {"host": "0.0.0.0", "api_keys_file": Path("keys.json")}])
def test_there_is_nothing_to_tell_where_all_is_well(values: dict[str, Any]) -> None:
    """At home, or with keys."""
    assert announcement(settings(**values)) is None


def test_a_service_that_nobody_could_use_does_not_start() -> None:
    """No page, no keys, and a public address."""
    with pytest.raises(InvalidSettings, match="NIGAOE_API_KEYS_FILE"):
        announcement(settings(host="0.0.0.0", page=False))
