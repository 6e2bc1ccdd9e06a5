"""The tree of errors: one row a code, and every leaf can be relied upon (`docs/api.md` pins codes and statuses)."""

import re

from nigaoe_core.errors import NigaoeError, error_tree


def test_every_error_has_a_family() -> None:
    """A caller catches the one error, or all of its kind: there is one level between a leaf and the root."""
    families = NigaoeError.__subclasses__()
    for error in error_tree():
        assert error.__bases__ in {(NigaoeError,), (Exception,), *((family,) for family in families)}


def test_codes_are_stable_and_unique() -> None:
    """A program can tell errors apart by their code alone."""
    codes = [error.code for error in error_tree()]
    assert len(codes) == len(set(codes))
    assert all(re.fullmatch(r"[a-z][a-z_0-9]*", code) for code in codes)


def test_an_error_without_words_has_its_title() -> None:
    """Nobody ever sees an empty message."""
    for error in error_tree():
        assert error().message == error.title
        assert error("Do this.", count=2).details == {"count": 2}
        assert 400 <= error.status < 600
