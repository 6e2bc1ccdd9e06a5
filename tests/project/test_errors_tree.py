"""The tree of errors: what programs rely on, and that its drawing is true."""

import re

from core import errors
from core.errors import NigaoeError, error_tree


def test_codes_are_unique_and_statuses_are_failures() -> None:
    """One code names one class; every status tells a client that something is wrong."""
    classes = list(error_tree())
    codes = [kind.code for kind in classes]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", code) for code in codes)
    assert all(400 <= kind.status < 600 for kind in classes)
    assert all(kind.title and kind.__doc__ for kind in classes)


def test_the_drawn_tree_is_the_tree() -> None:
    """Every class stands in the module's drawing with its code and status, and nothing else does."""
    drawn = set(re.findall(r"(\w+)\s+(\w+)\s+(\d{3})$", errors.__doc__ or "", re.MULTILINE))
    assert drawn == {(kind.__name__, kind.code, str(kind.status)) for kind in error_tree()}


def test_an_error_without_a_sentence_uses_its_title() -> None:
    """Nobody ever reads an empty message."""
    assert NigaoeError().message == NigaoeError.title
    assert str(NigaoeError("Try again.")) == "Try again."
