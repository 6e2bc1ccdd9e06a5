"""The pinned versions: `constraints.txt` for what runs, `constraints-dev.txt` for what is added to develop it."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def pins(file: Path) -> dict[str, str]:
    """Versions by canonical name."""
    lines = (line for line in file.read_text().splitlines() if not line.startswith("--"))
    return {str(canonicalize_name(name)): version for name, _, version in (line.partition("==") for line in lines)}


def test_both_files_cover_what_the_project_names(repository: Path) -> None:
    """Each requirement is pinned to a version that it allows; those of extras for users in the first file."""
    runs, develops = pins(repository / "constraints.txt"), pins(repository / "constraints-dev.txt")
    assert not runs.keys() & develops.keys()
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    for extra, texts in {"": project["dependencies"], **project["optional-dependencies"]}.items():
        for requirement in map(Requirement, texts):
            name = str(canonicalize_name(requirement.name))
            version = (runs | develops if extra == "dev" else runs).get(name)
            assert name == "nigaoe" or (version is not None and version in requirement.specifier), (extra, name)


def test_the_second_file_adds_to_the_first(repository: Path) -> None:
    """Developers are bound by both."""
    assert (repository / "constraints-dev.txt").read_text().startswith("--constraint constraints.txt\n")


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-dev.txt"])
def test_what_is_installed_here_is_pinned(repository: Path, tmp_path: Path, name: str) -> None:
    """Also what requirements require; on another platform it may be less than what is pinned."""
    subprocess.run([sys.executable, repository / ".ci" / "write_constraints.py", tmp_path], check=True)
    assert pins(tmp_path / name).keys() <= pins(repository / name).keys()
