"""`nigaoe keys`: what an operator types."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from nigaoe.cli import app
from nigaoe_api.api_keys import KeyRing

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Type a command."""
    monkeypatch.setenv("NIGAOE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("NIGAOE_API_KEYS_FILE", str(tmp_path / "keys.json"))

    def typed(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["keys", *arguments])

    return typed


def made(run: Run, *arguments: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(run("create", "--json", *arguments).stdout)
    return document


def test_a_key_that_was_made_opens(run: Run, tmp_path: Path) -> None:
    """With the limits that it was given."""
    key = made(run, "Avatar Shop", "--rate-limit", "5/second", "--max-active-jobs", "2")
    found = KeyRing(tmp_path / "keys.json").find(key["key"])
    assert found is not None
    assert (found.tenant, found.rate_limit, found.max_active_jobs) == ("avatar-shop", "5/second", 2)
    assert key["webhook_secret"] == run("webhook-secret", "avatar-shop").stdout.strip()


def test_a_list_shows_everything_but_keys(run: Run) -> None:
    """And a revoked key stays in it."""
    key = made(run, "One")
    run("revoke", key["id"])
    (listed,) = json.loads(run("list", "--json").stdout)
    assert (listed["id"], "revoked_at" in listed) == (key["id"], True)
    assert key["key"] not in run("list").stdout
    assert key["id"] in run("list").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "名前"),
        ("create", "One", "--tenant", "No Good"),
        ("create", "One", "--rate-limit", "often"),
        ("revoke", "ffffffffffff"),
        ("webhook-secret", "../up"),
    ],
)
def test_mistakes_are_told(run: Run, arguments: tuple[str, ...]) -> None:
    """And nothing is made."""
    assert run(*arguments).exit_code != 0
    assert json.loads(run("list", "--json").stdout) == []
