"""The tree of errors: what is drawn is what is there, and every leaf can be relied upon."""

import re

import nigaoe_core.errors
from nigaoe_core.errors import NigaoeError, error_tree

_BRANCH = re.compile(r"^(?P<indent>[ │├└─]*)(?P<name>[A-Z]\w+)\s+(?P<code>[a-z_0-9]+)\s+(?P<status>\d{3})\s*$")


def drawn() -> dict[str, tuple[str | None, str, int]]:
    """Name to parent, code and status, as the module's docstring draws them."""
    tree: dict[str, tuple[str | None, str, int]] = {}
    path: list[str] = []
    for line in (nigaoe_core.errors.__doc__ or "").splitlines():
        if found := _BRANCH.match(line):
            depth = (len(found["indent"]) - 4) // 4
            path[depth:] = [found["name"]]
            parent = path[depth - 1] if depth else None
            tree[found["name"]] = (parent, found["code"], int(found["status"]))
    return tree


def test_the_drawn_tree_is_the_real_one() -> None:
    """Nobody adds a class without drawing it, and the drawing tells no lie."""
    # Doors may grow the tree in their own modules; the drawing is of the ground floor's.
    ours = [error for error in error_tree() if error.__module__ == "nigaoe_core.errors"]
    real = {
        error.__name__: (None if error is NigaoeError else error.__bases__[0].__name__, error.code, error.status)
        for error in ours
    }
    assert drawn() == real


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
