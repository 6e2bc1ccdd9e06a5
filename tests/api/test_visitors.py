"""The cookie by which a browser is a tenant of its own."""

from collections.abc import Callable

import pytest
from starlette.datastructures import Headers

from nigaoe_api.visitors import SLACK_SECONDS, VisitorCookies
from nigaoe_core.settings import Settings

DAY = 24 * 3600
SECRET = b"0123456789abcdef"


@pytest.fixture
def settings() -> Settings:
    """Drawings live a day."""
    return Settings(retention_hours=24, job_deadline_seconds=900, _env_file=None)  # type: ignore[call-arg]  # pydantic-settings' own argument.


def sent(*set_cookies: str) -> Headers:
    """What a browser sends back."""
    return Headers({"cookie": "; ".join(["other=1", *(text.partition(";")[0] for text in set_cookies)])})


def test_a_visitor_is_known_by_the_cookie(settings: Settings) -> None:
    """And has a tenant that is a valid one, and not the cookie itself."""
    cookies = VisitorCookies(SECRET, settings)
    visitor = cookies.new()
    header = cookies.header(visitor, secure=False)
    assert cookies.read(sent(header), secure=False) == visitor
    assert visitor.tenant.startswith("visitor-")
    assert len(visitor.tenant) <= 64
    assert cookies.new() != visitor


def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(settings: Settings) -> None:
    """Https makes it stricter: no other name of the domain can plant one."""
    cookies = VisitorCookies(SECRET, settings)
    plain = cookies.header(cookies.new(), secure=False)
    secure = cookies.header(cookies.new(), secure=True)
    for header in (plain, secure):
        assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= {part.strip() for part in header.split(";")}
    assert "Secure" not in plain
    assert secure.startswith("__Host-")
    assert secure.endswith("; Secure")
    assert cookies.read(sent(plain), secure=True) is None


def test_it_ends_when_the_last_drawing_must_be_erased(settings: Settings) -> None:
    """Retention, deadline, and an hour for what ended late; then the browser is somebody new."""
    now = [1_000_000.0]
    cookies = VisitorCookies(SECRET, settings, clock=lambda: now[0])
    header = cookies.header(cookies.new(), secure=False)
    lifetime = DAY + 900 + SLACK_SECONDS
    assert f"Max-Age={lifetime}" in header
    now[0] += lifetime - 1
    assert cookies.read(sent(header), secure=False) is not None
    now[0] += 1
    assert cookies.read(sent(header), secure=False) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-1] + ("A" if text[-1] != "A" else "Q"),
        lambda text: text[4:],
        lambda text: text + "ÿ!",
        str.lower,
    ],
)
def test_a_changed_cookie_is_worth_nothing(settings: Settings, change: Callable[[str], str]) -> None:
    """Nobody makes himself somebody else."""
    cookies = VisitorCookies(SECRET, settings)
    name, _, text = cookies.header(cookies.new(), secure=False).partition(";")[0].partition("=")
    assert cookies.read(sent(f"{name}={text}"), secure=False) is not None
    assert cookies.read(Headers(raw=[(b"cookie", f"{name}={change(text)}".encode("latin-1"))]), secure=False) is None


def test_two_services_on_one_machine_do_not_see_each_others_cookies(settings: Settings) -> None:
    """Ports share a host's cookies: each secret has a name of its own."""
    one, two = VisitorCookies(SECRET, settings), VisitorCookies(SECRET[::-1], settings)
    first, second = one.new(), two.new()
    headers = sent(one.header(first, secure=False), two.header(second, secure=False))
    assert (one.read(headers, secure=False), two.read(headers, secure=False)) == (first, second)
