"""Entity tags that clients send back to hear of changes only, and `Prefer: wait` among other preferences."""

import pytest

from nigaoe_api.headers import known_version, matches, preferred_wait


@pytest.mark.parametrize(
    ("header", "version"),
    [
        ('W/"job-7-x"', 7),
        ('"job-7-3"', 7),
        ('W/"job-7-x", W/"job-12-x"', 12),
        ('W/"something-else"', None),
        ('W/"job-99999999999999999999-x"', None),
        ("", None),
        (None, None),
        ("*", None),
    ],
)
def test_a_tag_tells_the_version_that_a_client_knows(header: str | None, version: int | None) -> None:
    """Of several, the newest; what is not ours is ignored."""
    assert known_version(header) == version


def test_tags_are_compared_weakly() -> None:
    """As RFC 9110 asks for If-None-Match."""
    assert matches('"job-1-x"', 'W/"job-1-x"')
    assert matches("*", 'W/"job-1-x"')
    assert not matches('W/"job-1-0"', 'W/"job-1-x"')
    assert not matches(None, 'W/"job-1-x"')


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("wait=10", 10),
        ("respond-async, wait=5", 5),
        ("handling=lenient; x=y, WAIT = 3", 3),
        ('wait="7"', 7),
        ("wait=0", 0),
        ("wait=3600", 60),
        ("wait=-1", None),
        ("wait=long", None),
        ("await=5", None),
        ("wait=1e9", None),
    ],
)
def test_a_preference_is_honoured_or_ignored(header: str | None, seconds: float | None) -> None:
    """At most a minute; what is not understood is no error."""
    assert preferred_wait(header) == seconds
