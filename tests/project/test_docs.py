"""Documentation that cannot rot: links lead somewhere, named files and commands exist."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from nigaoe.cli import app

PAGES = sorted(
    path.relative_to(Path(__file__).parents[2])
    for pattern in ("*.md", "docs/*.md", "weights/*.md", "samples/*.md")
    for path in Path(__file__).parents[2].glob(pattern)
)
LINK = re.compile(r"\]\((?!https?://|mailto:|#)([^)#\s]+)")
COMMAND = re.compile(r"^\s*(?:\.venv/bin/)?nigaoe ([a-z][a-z-]*)|`nigaoe ([a-z][a-z-]*)", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_to_files_of_the_repository(repository: Path, page: Path) -> None:
    """A moved file takes its readers along."""
    for target in LINK.findall((repository / page).read_text()):
        assert (repository / page.parent / target).exists(), f"{page}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_commands_in_the_documentation_exist(repository: Path, page: Path) -> None:
    """Whatever a page tells people to type can be typed."""
    known = set(get_command(app).commands)  # type: ignore[attr-defined]  # the application is a group
    named = {first or second for first, second in COMMAND.findall((repository / page).read_text())}
    assert named <= known, page


def test_every_command_is_documented(repository: Path) -> None:
    """There is no command that no page names."""
    text = "\n".join((repository / page).read_text() for page in PAGES)
    named = {first or second for first, second in COMMAND.findall(text)}
    assert set(get_command(app).commands) <= named  # type: ignore[attr-defined]  # the application is a group
