"""Tags that clients send back to hear of changes only."""

import pytest

from nigaoe_api.entity_tags import known_version, matches


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
