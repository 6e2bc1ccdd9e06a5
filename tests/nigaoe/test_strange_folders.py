"""Nigaoe started in a folder whose files have the names of packages, as who writes Python has a `model.py`."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

NAMES = ("api", "core", "faces", "model", "worker", "nigaoe", "weights", "celery", "torch")

pytestmark = pytest.mark.slow

Start = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(params=["checkout", "wheel"])
def python(request: pytest.FixtureRequest) -> Path:
    """Python of an environment with this checkout, or with the installed wheel; `nigaoe` lies beside it."""
    return Path(sys.executable) if request.param == "checkout" else request.getfixturevalue("wheel_python")


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Run a command in such a folder; each file ends whatever imports it."""
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('the {name}.py of the folder was imported')\n")

    def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
        return subprocess.run(
            [str(part) for part in command],
            cwd=tmp_path,
            env=environment | {"NIGAOE_DATA_DIR": str(tmp_path / "data"), "NIGAOE_TORCH_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )

    return run


def test_the_service_and_its_children_run_there(start: Start, python: Path, sample_photo: Path, tmp_path: Path) -> None:
    """The demo starts the service, which starts a worker and an API: none of them takes the folder's files."""
    result = start(python.with_name("nigaoe"), "demo", sample_photo, "-o", tmp_path / "out")
    log = tmp_path / "out" / "service.log"
    assert result.returncode == 0, result.stdout + result.stderr + (log.read_text()[-3000:] if log.exists() else "")
    assert (tmp_path / "out" / "portrait.png").is_file()


def test_a_conversion_runs_there(start: Start, python: Path, sample_photo: Path, tmp_path: Path) -> None:
    """As `nigaoe` and as `python -m nigaoe`, where Python itself would look in the folder first."""
    asked = ("convert", sample_photo, "-o", tmp_path / "out", "--steps", "1")
    (tmp_path / "nigaoe.py").unlink()  # `python -m nigaoe` beside it would ask for it.
    for command in ((python.with_name("nigaoe"),), (python, "-m", "nigaoe")):
        result = start(*command, *asked)
        assert result.returncode == 0, result.stderr
