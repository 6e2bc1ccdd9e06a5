"""`Prefer: wait`, among other preferences."""

import pytest

from nigaoe_api.preferences import preferred_wait


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
