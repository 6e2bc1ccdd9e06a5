"""`nigaoe sample`, `nigaoe doctor` and the help texts."""

import importlib.metadata
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nigaoe_core.registry import Registry

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_a_grid_shows_people_above_their_drawings(
    nigaoe: Run, tmp_path: Path, picture: Callable[[Path], np.ndarray]
) -> None:
    """Four faces in rows of two: person, drawing, person, drawing; the same seed draws the same sheet."""
    sheets = []
    for name in ("a.png", "b.png"):
        result = nigaoe("sample", "-o", tmp_path / name, "--count", "4", "--columns", "2", "--seed", "5")
        assert result.returncode == 0, result.stderr
        sheets.append(picture(tmp_path / name))
    assert sheets[0].shape == (4 * 130 - 2, 2 * 130 - 2, 3)
    assert np.array_equal(sheets[0], sheets[1])


def test_all_styles_stand_below_the_people(nigaoe: Run, tmp_path: Path, picture: Callable[[Path], np.ndarray]) -> None:
    """One row of people, then one of each installed style, in the order of `nigaoe styles`."""
    result = nigaoe("sample", "-o", tmp_path / "all.png", "--style", "all", "--count", "2", "--columns", "2")
    assert result.returncode == 0, result.stderr
    styles = [style.name for style in Registry.load().styles()]
    assert f"people, {', '.join(styles)}" in " ".join(result.stderr.split())
    assert picture(tmp_path / "all.png").shape == ((1 + len(styles)) * 130 - 2, 2 * 130 - 2, 3)


def test_a_strip_leads_from_one_face_to_another(
    nigaoe: Run, tmp_path: Path, picture: Callable[[Path], np.ndarray]
) -> None:
    """Neighbours of an interpolation are closer than its ends."""
    result = nigaoe("sample", "-o", tmp_path / "strip.png", "--interpolate", "1", "--count", "5")
    assert result.returncode == 0, result.stderr
    people = picture(tmp_path / "strip.png")[:128].astype(float)
    faces = [people[:, 130 * i : 130 * i + 128] for i in range(5)]
    assert np.abs(faces[0] - faces[1]).mean() < np.abs(faces[0] - faces[4]).mean()


@pytest.mark.slow
def test_the_doctor_finds_this_installation_well(nigaoe: Run) -> None:
    """Everything is installed here; a misspelt setting is noticed."""
    result = nigaoe("doctor", NIGAOE_SLOTZ="4")
    assert result.returncode == 0, result.stdout
    assert "style anime" in result.stdout
    assert "NIGAOE_SLOTZ" in result.stdout
    assert "ms a step" in result.stdout


def test_missing_weights_are_a_problem(nigaoe: Run, tmp_path: Path) -> None:
    """An installation without styles cannot convert anything; the doctor says so and fails."""
    (tmp_path / "manifest.toml").write_text("format_version = 1\n")
    result = nigaoe("doctor", "--quick", NIGAOE_WEIGHTS_DIR=str(tmp_path))
    assert result.returncode == 1
    assert "weights import" in result.stdout


def test_the_doctor_knows_a_precision_that_would_be_refused(nigaoe: Run) -> None:
    """Workers would not start; the doctor says why before one is tried."""
    result = nigaoe("doctor", "--quick", NIGAOE_PRECISION="bfloat16", NIGAOE_DEVICE="cpu", ONEDNN_MAX_CPU_ISA="AVX2")
    assert result.returncode == 1
    assert "set NIGAOE_PRECISION to float32 or auto" in " ".join(result.stdout.split())


def test_the_version_is_told(nigaoe: Run) -> None:
    """As every command does it."""
    result = nigaoe("--version")
    assert (result.returncode, result.stdout.split()[0]) == (0, "nigaoe")
    assert result.stdout.split()[1] == importlib.metadata.version("nigaoe")


def test_programs_may_read_what_people_read(nigaoe: Run, tmp_path: Path) -> None:
    """--json prints one document on standard output, and nothing beside it."""
    findings = json.loads(nigaoe("doctor", "--quick", "--json").stdout)
    assert {"verdict", "subject", "text"} == set(findings[0])
    drawn = json.loads(nigaoe("sample", "-o", tmp_path / "s.png", "--count", "2", "--style", "anime", "--json").stdout)
    assert drawn == {"file": str(tmp_path / "s.png"), "width": 258, "height": 258, "styles": ["anime"], "seed": 0}
    (verdict,) = json.loads(nigaoe("weights", "verify", "anime", "--json").stdout)
    assert verdict == {"name": "anime", "error": None}
