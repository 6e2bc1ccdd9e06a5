"""The field's words: retired private ones are neither identifiers nor stand in documentation, comments and docstrings.

The page's texts for visitors are not judged, nor are strings: users or stored data depend on some (Redis keys, queue
names).
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

AREAS = ("api", "core", "faces", "model", "nigaoe", "worker", "tests", "benchmarks", "docs", "")
"""Folders of the root; the last are files of the root itself."""

HISTORY = ("docs/experiments", "benchmarks/experiments", "CHANGELOG.md")
"""What was said at its time stays."""

IDENTIFIERS = {
    "eye": "feature network",
    "sighting": "features",
    "bench": "slot batch",
    "errand": "device task",
    "shelf": "job blobs",
    "gallery": "model cache",
    "darkroom": "result renderer",
    "pulse": "heartbeat",
    "organs": "health checks",
    "leash": "parent watchdog, lease",
    "leashed": "parent watchdog, lease",
    "desk": "job store",
    "ledger": "job store",
    "agenda": "due index",
    "doorbell": "wake-up message",
    "gate": "admission",
    "calendar": "schedule",
    "ladder": "bucket sizes",
    "rung": "bucket size",
    "house": "package",
    "room": "module",
}
"""Words of names in the code, each with what is said instead."""

PROSE = {
    r"sightings?": "features",
    r"(the|an|one|its|this) eye(?! (distance|line|distances)\b)": "feature network",
    r"bench(es|ed)?": "slot batch",
    r"errands?": "device task",
    r"shelf|shelves": "job blobs",
    r"gallery|galleries": "model cache",
    r"darkrooms?": "result renderer",
    r"pulses?": "heartbeat",
    r"organs": "health checks",
    r"leash(es|ed)?": "parent watchdog, lease",
    r"desk|ledger|agenda": "job store, due index",
    r"doorbells?": "wake-up message",
    r"gates?": "admission",
    r"calendars?": "schedule",
    r"ladders?|rungs?": "bucket sizes",
    r"houses?": "package",
    r"(?<!make )(?<!makes )rooms|(a|the|each|every|this|another) room": "module",
    r"spare rows?": "padding",
    r"forth and back": "forward and backward",
    r"drawn anew": "eager",
    r"(photo|picture|face|one)s? (is|are) told(?! apart)": "failure is reported",
    r"let(s|ting)? go of": "release",
    r"strangers?' code|stranger's": "caller's callbacks",
    r"whoever (counts|asks|looks|waits)": "what the thing is",
}
"""Phrases of English text."""

ALLOWED = {
    ("core/nigaoe_core/settings.py", "doorbell"): "A setting keeps its name: NIGAOE_DOORBELL_SECONDS.",
    ("tests/nigaoe/test_training_commands.py", "eye"): "The radius of a painted eye.",
}
"""(path, word): why it stands there all the same."""

_PROSE = re.compile("|".join(rf"(?P<rule{i}>\b(?:{rule})\b)" for i, rule in enumerate(PROSE)), re.IGNORECASE)
_CODE = re.compile(r"``.*?``|`[^`]*`", re.DOTALL)
"""Names are judged where they are defined, keys and settings not at all."""
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def words_of(identifier: str) -> list[str]:
    """The words of a name in snake or camel case, in lower case."""
    return [word.lower() for word in _WORDS.findall(identifier)]


def retired_in_name(identifier: str) -> list[str]:
    """Retired words in a name; the eyes of a face are no feature networks."""
    words = words_of(identifier)
    return [
        word for i, word in enumerate(words) if word in IDENTIFIERS and not (word == "eye" and is_of_a_face(words, i))
    ]


def is_of_a_face(words: list[str], index: int) -> bool:
    """Whether this eye is a landmark."""
    return words[index - 1 : index] in (["left"], ["right"]) or words[index + 1 : index + 2] == ["distance"]


def retired_in_text(text: str) -> list[str]:
    """Retired phrases in English text."""
    return [match[0].lower() for match in _PROSE.finditer(" ".join(_CODE.sub(" ", text).split()))]


def names_in(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and name of everything that a module defines."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name


def texts_in(source: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and text of docstrings, of attributes too, and of comments; a comment of several lines is one text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def found_in(path: Path, shown: str) -> Iterator[tuple[str, int, str]]:
    """Path, line and retired word of everything in one file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        if path.suffix == ".lua":
            text = re.sub(r"'[^']*'", "''", text)  # Keys of Redis.
        lines = enumerate(text.splitlines(), start=1)
        yield from ((shown, number, word) for number, line in lines for word in retired_in_text(line))
        return
    yield from ((shown, 0, word) for word in retired_in_name(path.stem))
    tree = ast.parse(text)
    yield from ((shown, line, word) for line, name in names_in(tree) for word in retired_in_name(name))
    yield from ((shown, line, word) for line, prose in texts_in(text, tree) for word in retired_in_text(prose))


def judged(repository: Path, area: str) -> Iterator[tuple[str, int, str]]:
    """Everything retired in one area, allowed or not."""
    root = repository / area
    for path in sorted(root.rglob("*") if area else root.glob("*")):
        shown = path.relative_to(repository).as_posix()
        if path.suffix in (".py", ".md", ".lua") and not shown.startswith(HISTORY) and path != Path(__file__):
            yield from found_in(path, shown)


@pytest.mark.parametrize("area", AREAS)
def test_only_the_fields_words_are_used(repository: Path, area: str) -> None:
    """Names are those that a newcomer looks for."""
    found = [f"{path}:{line}: {word}" for path, line, word in judged(repository, area) if (path, word) not in ALLOWED]
    assert found == []


def test_every_exemption_is_needed(repository: Path) -> None:
    """What is gone needs no reason any more."""
    found = {(path, word) for area in AREAS for path, _, word in judged(repository, area)}
    assert ALLOWED.keys() - found == set()


@pytest.mark.parametrize("name", ["Bench", "SlotBench", "claim_gate", "_DESK", "eyeNetwork", "JobLedger", "the_house"])
def test_retired_names_are_found(name: str) -> None:
    """In snake and camel case."""
    assert retired_in_name(name)


@pytest.mark.parametrize("name", ["benchmark", "left_eye", "eye_distance", "gateway", "classroom", "holds"])
def test_other_names_are_left_alone(name: str) -> None:
    """Words that only contain a retired one, and the eyes of a face."""
    assert not retired_in_name(name)


@pytest.mark.parametrize(
    "text", ["the eye sees it", "rows of the bench", "spare\nrows", "a bad photo is told", "lets go of the memory"]
)
def test_retired_phrases_are_found(text: str) -> None:
    """Also over the end of a line."""
    assert retired_in_text(text)


@pytest.mark.parametrize(
    "text", ["the eye distance", "benchmarks", "make room for it", "it holds them", "they are told apart", "both eyes"]
)
def test_plain_english_is_left_alone(text: str) -> None:
    """A rule against a word is a rule against its private meaning."""
    assert not retired_in_text(text)
