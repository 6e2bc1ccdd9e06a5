"""Threads must be told to sleep before PyTorch is loaded, whichever package is entered first."""

import os
import subprocess
import sys

import pytest

SAY = "import {package}, sys, os; assert 'torch' not in sys.modules; print(os.environ['OMP_WAIT_POLICY'])"


def said(package: str, **changes: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    command = [sys.executable, "-c", SAY.format(package=package)]
    return subprocess.run(command, env=environment | changes, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("package", ["nigaoe_faces", "nigaoe_model", "nigaoe_worker", "nigaoe"])
def test_threads_sleep_while_they_wait(package: str) -> None:
    """Every package that computes has said so by the time it loads PyTorch."""
    assert said(package) == "PASSIVE"


def test_the_operator_has_the_last_word() -> None:
    """Who runs one process on cores of its own may let it spin."""
    assert said("nigaoe_model", OMP_WAIT_POLICY="ACTIVE") == "ACTIVE"
