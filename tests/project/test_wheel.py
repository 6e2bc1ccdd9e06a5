"""What is published: an sdist, the wheel that is built from it, and an editable install."""

import subprocess
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from distributions import hatchling, unpacked

PACKAGES = {"nigaoe", "nigaoe_api", "nigaoe_core", "nigaoe_faces", "nigaoe_model", "nigaoe_worker"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def hatch(repository: Path) -> dict[str, Any]:
    """What `pyproject.toml` tells the builder."""
    build: dict[str, Any] = tomllib.loads((repository / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    return build


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    """Files of the wheel."""
    return set(zipfile.ZipFile(wheel).namelist())


def test_the_wheel_holds_only_packages_of_ours(names: set[str]) -> None:
    """Nobody's `core` or `model` is hidden by the installation."""
    top = {name.partition("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == PACKAGES
    assert len(top) == len(PACKAGES) + 1


def test_the_wheel_holds_every_file_of_the_packages(names: set[str], repository: Path, hatch: dict[str, Any]) -> None:
    """Also what is no Python: the page, Lua, configurations, `py.typed`; and the bundled weights."""
    target = {"weights": "nigaoe_core/weights"}
    folders = {folder: target.get(folder, Path(folder).name) for folder in hatch["targets"]["wheel"]["only-include"]}
    expected = {
        f"{target}/{file.relative_to(repository / folder).as_posix()}"
        for folder, target in folders.items()
        for file in (repository / folder).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    for suffix in (".lua", ".html", ".js", ".css", ".woff2", ".toml", ".safetensors"):
        assert any(name.endswith(suffix) for name in names), suffix


def test_the_wheel_says_who_may_use_it(names: set[str]) -> None:
    """Licence and notice travel along, and the command is declared."""
    metadata = {name.partition(".dist-info/")[2] for name in names if ".dist-info/" in name}
    assert {"licenses/LICENSE", "licenses/NOTICE", "entry_points.txt"} <= metadata


def test_the_sdist_holds_the_sources_and_nothing_local(sdist: Path, tmp_path: Path) -> None:
    """Neither an environment nor data sets, training runs or results of the machine that built it."""
    root = unpacked(sdist, tmp_path)
    found = {path.name for path in root.iterdir()}
    assert {"pyproject.toml", "README.md", "LICENSE", "NOTICE", "Makefile", "tests", "weights", "nigaoe"} <= found
    assert not found & {".venv", ".git", "runs", "data", "out", "dist", "build"}


def test_the_installed_wheel_imports_nothing_of_the_checkout(wheel_python: Path, repository: Path) -> None:
    """Every package comes from the environment, and the weights beside it."""
    program = (
        f"import importlib\nfor name in {sorted(PACKAGES)}: print(importlib.import_module(name).__file__)\n"
        "from nigaoe_core.bundled import BUNDLED_WEIGHTS\nprint(BUNDLED_WEIGHTS)"
    )
    printed = subprocess.run([wheel_python, "-c", program], capture_output=True, text=True, check=True, cwd="/")
    places = [Path(line) for line in printed.stdout.splitlines()]
    assert len(places) == len(PACKAGES) + 1
    for place in places:
        assert place.exists()
        assert not place.is_relative_to(repository)


def test_an_editable_install_finds_every_package(repository: Path, tmp_path: Path) -> None:
    """`pip install -e .` puts one folder a package on the path, and copies no weights."""
    editable = zipfile.ZipFile(hatchling(repository, "wheel:editable", tmp_path))
    (path_file,) = [name for name in editable.namelist() if name.endswith(".pth")]
    folders = [Path(line) for line in editable.read(path_file).decode().splitlines()]
    assert not any(name.endswith(".safetensors") for name in editable.namelist())
    for package in PACKAGES:
        assert sum((folder / package / "__init__.py").is_file() for folder in folders) == 1


def test_the_builder_of_images_gets_what_the_wheel_is_made_of(repository: Path, hatch: dict[str, Any]) -> None:
    """`.dockerignore` lets through every folder and file that `pyproject.toml` names."""
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    sources = [*hatch["targets"]["wheel"]["only-include"], project["readme"], *project["license-files"]]
    ignore = (repository / ".dockerignore").read_text().splitlines()
    let_through = {line.removeprefix("!") for line in ignore if line.startswith("!")}
    assert {source.partition("/")[0] for source in sources} | {"pyproject.toml"} <= let_through
