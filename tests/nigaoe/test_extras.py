"""What an installation without an extra says: one sentence with the command to run, never a traceback."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from nigaoe.extras import EXTRAS, NEEDS, missing_extra
from nigaoe_core.errors import MissingExtra

WITHOUT = """
import sys
from importlib.abc import MetaPathFinder

from nigaoe.extras import EXTRAS


class Absent(MetaPathFinder):
    absent = {{module for extra in {absent!r} for module in EXTRAS[extra].modules}}

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.absent:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)


sys.meta_path.insert(0, Absent())
from nigaoe.cli import main

sys.argv = ["nigaoe", *{command!r}]
main()
"""
"""Runs a command where some extras are not installed."""


def without(absent: list[str], *command: str) -> subprocess.CompletedProcess[str]:
    code = WITHOUT.format(absent=absent, command=command)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)


def test_the_table_is_the_distributions(repository: Path) -> None:
    """Every extra is known with the extras that it includes, so that the advice installs what is missing."""
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    for name, requirements in project["optional-dependencies"].items():
        included = {
            extra
            for requirement in requirements
            if requirement.startswith("nigaoe[")
            for extra in re.findall(r"[a-z0-9]+", requirement.partition("[")[2])
        }
        if name not in ("all", "dev"):
            assert set(EXTRAS[name].includes) == included, name
            others = [requirement for requirement in requirements if not requirement.startswith("nigaoe[")]
            assert bool(EXTRAS[name].modules) == bool(others), name
    assert set(NEEDS.values()) <= set(EXTRAS)


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        (("convert", "photo.jpg"), "model"),
        (("serve",), "embedded"),
        (("worker",), "worker"),
        (("data", "prepare", "photos", "-o", "packed", "--alignment", "demo"), "train"),
        (("metrics", "g.safetensors", "packed"), "train"),
        (("keys", "create", "me", "--rate-limit", "1/minute", "--file", "keys.toml"), "api"),
    ],
)
def test_a_plain_installation_names_the_command_to_run(command: tuple[str, ...], extra: str) -> None:
    """Everything that computes or serves is an extra."""
    result = without(list(EXTRAS), *command)
    assert result.returncode == 2, result.stderr
    said = " ".join(result.stderr.split())
    assert "missing_extra" in said
    assert f"run `pip install 'nigaoe[{extra}]'`" in said
    assert "Traceback" not in said


def test_after_the_demo_training_is_missing() -> None:
    """`make demo` installs the extra `embedded`: `data prepare` needs more."""
    result = without(["train", "tensorboard"], "data", "prepare", "photos", "-o", "packed", "--alignment", "demo")
    assert result.returncode == 2
    assert "run `pip install 'nigaoe[train]'`" in " ".join(result.stderr.split())


def test_a_video_needs_its_extra() -> None:
    """Photos do without FFmpeg."""
    result = without(["video"], "video", "clip.mp4")
    assert result.returncode == 2
    assert "run `pip install 'nigaoe[video]'`" in " ".join(result.stderr.split())


def test_the_doctor_needs_nothing_and_shows_its_brackets() -> None:
    """Its advice can be copied: markup would swallow `[model]`."""
    result = without(list(EXTRAS), "doctor", "--quick")
    assert result.returncode == 1
    assert "`pip install 'nigaoe[model]'`" in " ".join(result.stdout.split())


def test_a_module_of_an_extra_that_the_command_does_not_need() -> None:
    """A bucket is a choice: its extra is named, not the command's."""
    assert "nigaoe[s3]" in missing_extra("boto3", "convert").message
    assert isinstance(missing_extra("boto3"), MissingExtra)
