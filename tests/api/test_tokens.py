"""Tokens name one face of one photo."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigaoe_api.tokens import FACE_SECONDS, FaceTokens
from nigaoe_core.errors import InvalidFaceToken


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_token_is_worth_something_with_its_photo_only() -> None:
    """And only until it expires, and only to who made it."""
    clock = Clock()
    tokens = FaceTokens(b"secret", clock=clock)
    token = tokens.make(b"photo", 3)
    assert tokens.read(token, b"photo") == 3
    with pytest.raises(InvalidFaceToken, match="another photo"):
        tokens.read(token, b"other")
    with pytest.raises(InvalidFaceToken, match="damaged"):
        FaceTokens(b"other secret", clock=clock).read(token, b"photo")
    clock.now += FACE_SECONDS + 2
    with pytest.raises(InvalidFaceToken, match="too old"):
        tokens.read(token, b"photo")


@given(st.text(max_size=120), st.integers(0, 60), st.characters(codec="ascii"))
def test_nothing_else_is_a_token(text: str, place: int, letter: str) -> None:
    """Neither noise nor a token with a changed letter; nothing crashes."""
    tokens = FaceTokens(b"secret", clock=Clock())
    token = tokens.make(b"photo", 3)
    place = place % (len(token) - 1)
    changed = token[:place] + letter + token[place + 1 :]
    for candidate in (text, changed):
        try:
            assert tokens.read(candidate, b"photo") == 3
        except InvalidFaceToken:
            assert candidate != token
