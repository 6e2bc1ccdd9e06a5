"""How often a caller may ask."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import httpx
import pytest

from nigaoe_core.errors import InvalidSettings

if TYPE_CHECKING:
    from conftest import Api


def asked(client: httpx.Client, times: int) -> list[int]:
    return [client.get("/jobs").status_code for _ in range(times)]


def test_too_many_requests_are_told_when_to_come_back(special_api: Callable[..., "Api"]) -> None:
    """429 with Retry-After; what shows nothing of anyone is not counted."""
    client = special_api(rate_limit="3/hour").client()
    assert asked(client, 4) == [200, 200, 200, 429]
    answer = client.get("/jobs")
    assert answer.json()["code"] == "rate_limited"
    assert int(answer.headers["Retry-After"]) == answer.json()["retry_after"] > 0
    assert client.get("/styles").status_code == 200


def test_a_key_may_have_limits_of_its_own(api: "Api") -> None:
    """And each key is counted by itself, over a real Valkey."""
    limited, free = api.client(api.new_key(rate_limit="2/hour")), api.client(api.new_key())
    assert asked(limited, 3) == [200, 200, 429]
    assert asked(free, 3) == [200, 200, 200]


def test_limits_are_refused_before_the_body(api: "Api", exchange: Callable[..., bytes]) -> None:
    """An upload that may not be sent is not waited for."""
    key = api.new_key(rate_limit="1/hour")
    assert asked(api.client(key), 1) == [200]
    head = (
        f"POST /convert HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\nContent-Length: 1000000\r\nConnection: close\r\n\r\n"
    )
    assert exchange(api.url, head.encode()).startswith(b"HTTP/1.1 429")


def test_photos_are_counted_one_by_one(api: "Api", photo: bytes, convert: Callable[..., httpx.Response]) -> None:
    """A batch costs as much as its photos."""
    client = api.client(api.new_key(convert_rate_limit="3/hour"))
    assert convert(client, photo, photo).status_code == 202
    assert convert(client, photo, photo).json()["code"] == "rate_limited"
    assert convert(client, photo).status_code == 202


def test_a_limit_that_cannot_be_read_is_told_at_the_start(special_api: Callable[..., "Api"]) -> None:
    """Not at the first request."""
    with pytest.raises(InvalidSettings, match="sometimes"):
        special_api(rate_limit="sometimes")
