"""Documentation that cannot rot: links lead somewhere, named files and commands exist."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from nigaoe.cli import app

FOLDERS = ("api", "worker", "model", "faces", "core", "nigaoe", "tests", "benchmarks", "weights")
PAGES = sorted(
    path.relative_to(Path(__file__).parents[2])
    for pattern in ("*.md", "docs/**/*.md", "samples/*.md", *(f"{folder}/*.md" for folder in FOLDERS))
    for path in Path(__file__).parents[2].glob(pattern)
)
LINK = re.compile(r"\]\((?!https?://|mailto:|#)([^)#\s]+)")
SOURCE = re.compile(r"(?<![\w/])((?:api|worker|model|faces|core|nigaoe|tests|benchmarks|docs)/[\w/-]+\.py)\b")
MODULE = re.compile(r"`(nigaoe(?:_\w+)?)\.([\w.]+)")
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


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_scripts_and_modules_in_the_documentation_exist(repository: Path, page: Path) -> None:
    """A script can be run, a module opened, where the page says; dated pages speak of the modules of their day."""
    text = (repository / page).read_text()
    dated = page.is_relative_to("docs/experiments")
    for path in SOURCE.findall(text):
        assert (repository / path).is_file() or (dated and not path.startswith("benchmarks/")), f"{page}: {path}"
    for package, rest in [] if dated else MODULE.findall(text):
        assert is_named(repository, package, rest.strip(".").split(".")), f"{page}: {package}.{rest}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_says_what_it_is_and_where_to_start(repository: Path, folder: str) -> None:
    """In a README that names existing files only, of its package, of the folder, or of the repository."""
    text = (repository / folder / "README.md").read_text()
    places = [repository / folder / f"nigaoe_{folder}", repository / folder, repository]
    named = re.findall(r"`([\w./-]+(?:\.py|\.toml|/))`", text)
    assert [name for name in named if not any((place / name).exists() for place in places)] == []
    assert named


def is_named(repository: Path, package: str, parts: list[str]) -> bool:
    """Whether a package has such a module, or a module that defines such a name."""
    place = repository / package if package == "nigaoe" else repository / package.removeprefix("nigaoe_") / package
    while parts and (place / parts[0]).is_dir():
        place /= parts.pop(0)
    if parts and (place / f"{parts[0]}.py").is_file():
        place = place / f"{parts.pop(0)}.py"
    source = place if place.is_file() else place / "__init__.py"
    defined = r"^\s*(?:class |def |async def |from .* import .*)?{}\b"
    return source.is_file() and all(re.search(defined.format(part), source.read_text(), re.MULTILINE) for part in parts)
