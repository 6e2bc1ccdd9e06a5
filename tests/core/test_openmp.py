"""Threads must be told to sleep before PyTorch is loaded, whichever room is entered first."""

import os
import subprocess
import sys

import pytest

SAY = "import {room}, sys, os; assert 'torch' not in sys.modules; print(os.environ['OMP_WAIT_POLICY'])"


def said(room: str, **changes: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    command = [sys.executable, "-c", SAY.format(room=room)]
    return subprocess.run(command, env=environment | changes, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("room", ["faces", "model", "worker", "nigaoe"])
def test_threads_sleep_while_they_wait(room: str) -> None:
    """Every room that computes has said so by the time it loads PyTorch."""
    assert said(room) == "PASSIVE"


def test_the_operator_has_the_last_word() -> None:
    """Who runs one process on cores of its own may let it spin."""
    assert said("model", OMP_WAIT_POLICY="ACTIVE") == "ACTIVE"
