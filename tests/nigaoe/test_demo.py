"""`nigaoe demo`, the first thing that a new user runs."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.slow
def test_the_demo_goes_through_the_rest_api(
    nigaoe: Run, sample_photo: Path, tmp_path: Path, picture: Callable[[Path], np.ndarray]
) -> None:
    """A service comes up, converts the sample, hands the pictures over and is gone; nothing stays behind."""
    result = nigaoe("demo", sample_photo, "-o", tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr + (tmp_path / "service.log").read_text()[-3000:]
    assert picture(tmp_path / "portrait.png").shape == (512, 512, 3)
    assert (tmp_path / "compare.png").is_file()
    assert (tmp_path / "animation.webp").read_bytes()[8:12] == b"WEBP"
    assert "distance" in result.stdout


def test_a_photo_that_does_not_exist_is_reported_before_anything_starts(nigaoe: Run, tmp_path: Path) -> None:
    """No service is started for nothing."""
    result = nigaoe("demo", tmp_path / "nobody.jpg", "-o", tmp_path)
    assert result.returncode == 2
    assert "no photo" in result.stderr
    assert not (tmp_path / "service.log").exists()
