"""The command line as a whole: it knows its commands without importing them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nigaoe.cli import app
from nigaoe.command_groups import LazyGroup

LIGHT = """
import sys
from nigaoe.cli import main
sys.argv = ["nigaoe", *{words!r}]
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
heavy = {{"torch", "scipy", "timm", "matplotlib", "fastapi", "celery"}} | set({more!r})
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""


def commands() -> LazyGroup:
    from typer.main import get_command

    group = get_command(app)
    assert isinstance(group, LazyGroup)
    return group


def plain(text: str) -> str:
    """Take colours and line breaks out of a help text."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", text).split())


@pytest.mark.parametrize("name", [command.name for command in commands().lazy])
def test_every_command_is_there_and_says_of_itself_what_the_list_says(name: str) -> None:
    """The table of names, places and first sentences is true."""
    group = commands()
    listed = next(command for command in group.lazy if command.name == name)
    loaded = group.get_command(None, name)
    assert loaded.name == name
    assert plain(loaded.help).startswith(plain(listed.help))
    assert "--help" in CliRunner().invoke(app, [name, "--help"]).output


@pytest.mark.parametrize(
    ("words", "more"),
    [
        (["--help"], ["pydantic", "numpy"]),
        (["train", "--help"], ["numpy"]),
        (["finetune", "--help"], ["numpy"]),
        (["train", "somewhere", "--dry-run"], []),
        (["finetune", "g_ori.safetensors", "somewhere", "--dry-run"], []),
        (["train", "encoder", "g_ori.safetensors", "--dry-run"], []),
        (["train", "pair", "pair64", "--dry-run", "--images-per-second", "100"], []),
        (["data", "prepare", "--help"], []),
        (["convert", "--help"], []),
    ],
)
def test_help_and_dry_runs_import_nothing_that_computes(words: list[str], more: list[str], repository: Path) -> None:
    """Neither PyTorch nor a web framework; plain help does without pydantic, too."""
    script = LIGHT.format(words=words, more=more)
    environment = os.environ | {"PYTHONPATH": str(repository)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_misspelt_command_is_answered_with_the_right_one() -> None:
    """Names that were never imported are suggested, too."""
    result = CliRunner().invoke(app, ["stles"])
    assert result.exit_code == 2
    assert "styles" in result.output
