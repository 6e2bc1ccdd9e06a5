"""The page's files hold together, which no compiler checks for them. Needs no browser."""

import hashlib
import re
from pathlib import Path

import pytest

from nigaoe_core.errors import error_tree

PAGE = Path(__file__).resolve().parents[2] / "api" / "nigaoe_api" / "page"
INDEX = (PAGE / "index.html").read_text("utf-8")
SCRIPTS = {path.name: path.read_text("utf-8") for path in sorted((PAGE / "js").glob("*.js"))}
SHEETS = {path.name: path.read_text("utf-8") for path in sorted((PAGE / "css").glob("*.css"))}
OWN_CODES = {"network", "expired"}
"""Troubles that have no answer of the server behind them."""


def test_nothing_is_inline() -> None:
    """The policy would refuse it."""
    assert not re.search(r"<script(?![^>]*\bsrc=)", INDEX)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=", INDEX)
    assert not re.search(r"\beval\(|new Function\(|innerHTML|javascript:", "".join(SCRIPTS.values()))


def test_nothing_comes_from_elsewhere() -> None:
    """No address with a host, but for the names of XML."""
    texts = INDEX + "".join(SCRIPTS.values()) + "".join(SHEETS.values())
    assert re.findall(r"(?:https?:)?//[a-z0-9-]+\.[a-z]+", texts) == []


def test_every_file_that_is_named_exists() -> None:
    """In index.html, in style sheets and in imports."""
    named = [PAGE / name for name in re.findall(r'(?:src|href)="([a-z][^":]*\.[a-z0-9]+)(?:#\w+)?"', INDEX)]
    named += [PAGE / "css" / name for text in SHEETS.values() for name in re.findall(r'url\("([^"]+)"\)', text)]
    named += [PAGE / "js" / name for text in SCRIPTS.values() for name in re.findall(r'import .*?"(\./[^"]+)"', text)]
    assert len(named) > 50
    assert [path for path in named if not path.is_file() and path.name != "openapi.json"] == []


def test_every_module_is_preloaded() -> None:
    """Else a browser finds it only when another module names it, one journey later."""
    preloaded = set(re.findall(r'rel="modulepreload" href="js/([^"]+)"', INDEX))
    begun_by_the_page = {"main.js", "theme.js"}
    assert preloaded == SCRIPTS.keys() - begun_by_the_page - {"types.js"}


def test_every_element_that_is_asked_for_exists() -> None:
    """By id, in index.html; ids are there once."""
    ids = re.findall(r'\sid="([^"]+)"', INDEX)
    assert len(ids) == len(set(ids))
    asked = {name for text in SCRIPTS.values() for name in re.findall(r'(?:byId|fromTemplate)\("([^"]+)"', text)}
    assert len(asked) > 40
    assert asked - set(ids) == set()


def test_every_icon_exists() -> None:
    """In the sprite."""
    sprite = (PAGE / "icons" / "sprite.svg").read_text("utf-8")
    assert set(re.findall(r"sprite\.svg#(\w+)", INDEX)) == set(re.findall(r'<symbol id="(\w+)"', sprite))


def test_troubles_are_told_by_codes_that_exist() -> None:
    """A code that was renamed in `nigaoe_core.errors` would fall back to the server's words, unnoticed."""
    told = set(re.findall(r"^  (\w+): \[", SCRIPTS["problem_text.js"], re.MULTILINE))
    assert {"no_face", "queue_full"} <= told
    assert told - OWN_CODES - {error.code for error in error_tree()} == set()


def test_the_brush_font_has_every_kanji_of_the_page() -> None:
    """It is cut down to a few; the README says which."""
    cut = re.search(r"--text=(\S+)", (PAGE / "vendor" / "README.md").read_text("utf-8"))
    assert cut is not None
    shown = set(re.findall(r"[\u4e00-\u9fff]", INDEX + "".join(SCRIPTS.values()) + "".join(SHEETS.values())))
    assert shown
    assert shown - set(cut[1]) == set()


@pytest.mark.parametrize(
    ("name", "digest"),
    re.findall(r"^\| `([^`]+)` .*`([0-9a-f]{64})`", (PAGE / "vendor" / "README.md").read_text("utf-8"), re.MULTILINE),
)
def test_vendored_files_are_what_the_readme_says(name: str, digest: str) -> None:
    """Changed by nobody since they were taken from the registry."""
    assert hashlib.sha256((PAGE / "vendor" / name).read_bytes()).hexdigest() == digest
