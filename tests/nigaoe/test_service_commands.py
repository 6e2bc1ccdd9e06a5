"""How the three commands of the service refuse to start; how they run is tested in tests/faults and tests/worker."""

import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

from nigaoe.embedded_redis import EmbeddedRedis

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_a_taken_port_is_named(nigaoe: Run, tmp_path: Path) -> None:
    """With what to do about it; nothing else is started."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = nigaoe("serve", "--port", str(port), "--data-dir", tmp_path)
    assert result.returncode == 2
    assert f"127.0.0.1:{port}" in result.stderr
    assert "--port" in result.stderr
    assert not (tmp_path / "redis").exists()


def test_two_owners_of_one_folder_are_refused(nigaoe: Run, tmp_path: Path) -> None:
    """The second says whose the folder is, and leaves the first alone."""
    with EmbeddedRedis(tmp_path / "redis") as first:
        result = nigaoe("serve", "--port", "0", "--data-dir", tmp_path)
        assert result.returncode == 2
        assert "Another `nigaoe serve`" in result.stderr
        assert first.is_running


def test_a_worker_needs_a_redis(nigaoe: Run) -> None:
    """And says so in one sentence."""
    result = nigaoe("worker")
    assert result.returncode == 2
    assert "NIGAOE_REDIS_URL" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_worker_without_weights_cannot_be_helped_by_another_start(nigaoe: Run, tmp_path: Path) -> None:
    """A supervisor reads it from the exit status."""
    with EmbeddedRedis(tmp_path / "redis") as valkey:
        result = nigaoe("worker", NIGAOE_REDIS_URL=valkey.url, NIGAOE_WEIGHTS_DIR=str(tmp_path / "nothing"))
    assert result.returncode == os.EX_CONFIG
    assert "No style can be loaded" in result.stderr


def test_an_api_needs_a_redis(nigaoe: Run) -> None:
    """As a worker does."""
    result = nigaoe("api", "--port", "0")
    assert result.returncode == 2
    assert "NIGAOE_REDIS_URL" in result.stderr
