"""`nigaoe convert` as a new user runs it: the real command, real weights, real photos."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from marks import source_of

from nigaoe.commands.convert import failure_report
from nigaoe_core.errors import NoFace
from nigaoe_faces.images import read_photo

Run = Callable[..., subprocess.CompletedProcess[str]]
Reports = Callable[[subprocess.CompletedProcess[str]], dict[str, dict[str, Any]]]
Open = Callable[[str | Path], np.ndarray]

FAST = ("--steps", "3", "--json")


@pytest.mark.slow
def test_a_folder_of_twenty_mixed_files(nigaoe: Run, reports: Reports, mixed_folder: Path, tmp_path: Path) -> None:
    """Good photos become portraits, each bad one is reported by its code, and what is no photo is left alone."""
    result = nigaoe("convert", mixed_folder, "-o", tmp_path, *FAST)
    told = reports(result)
    errors = {name: report["error"]["code"] for name, report in told.items() if "error" in report}
    assert errors == {
        "sky.jpg": "no_face",
        "dot.png": "image_too_small",
        "text.jpg": "unsupported_format",
        "empty.jpg": "empty_image",
        "truncated.jpg": "broken_image",
        "bomb.png": "image_too_large",
        "drawing.svg.png": "unsupported_format",
    }
    good = {"good.jpg", "good.png", "good.webp", "scan.png", "print.jpg", "palette.png", "alpha.png"}
    odd = {"phone.jpg", "group.jpg", "tiny.png", "profile.jpg"}
    assert set(told) - set(errors) == good | odd
    assert result.returncode == 1  # pictures and faces have failed: several kinds
    assert "Traceback" not in result.stderr
    written = {report["files"]["picture"] for name, report in told.items() if name not in errors}
    assert len(written) == len(good | odd)
    assert all(Path(path).stat().st_size > 1000 for path in written)
    assert told["group.jpg"]["faces_found"] == 3
    assert abs(told["profile.jpg"]["pose"]["yaw"]) > 8
    assert told["tiny.png"]["warnings"]
    upright, turned = told["good.jpg"]["landmarks"], told["phone.jpg"]["landmarks"]
    assert np.allclose(upright, turned, atol=3)


@pytest.mark.slow
def test_everything_that_can_be_asked_for(
    nigaoe: Run, reports: Reports, sample_photo: Path, tmp_path: Path, picture: Open
) -> None:
    """Comparison, film, paste-back, latent and report of one photo."""
    extras = ("--compare", "--animation", "--paste-back", "--keep-latent")
    result = nigaoe("convert", sample_photo, "-o", tmp_path, "--steps", "6", "--json", *extras)
    assert result.returncode == 0, result.stderr
    (report,) = reports(result).values()
    assert set(report["files"]) == {"picture", "compare", "animation", "pasted", "latent"}
    assert picture(report["files"]["picture"]).shape == (512, 512, 3)
    assert picture(report["files"]["compare"]).shape[0] == 512
    assert picture(report["files"]["pasted"]).shape == picture(sample_photo).shape
    sources = {kind: source_of(Path(path).read_bytes()) for kind, path in report["files"].items() if kind != "latent"}
    drawn, composite = "trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"
    assert sources == {"picture": drawn, "animation": drawn, "compare": composite, "pasted": composite}
    assert report["distance_end"] < report["distance_start"]
    assert report["steps"] == 6
    assert {"read", "detect", "align", "invert", "write"} <= set(report["seconds"])
    x0, y0, x1, y1 = report["box"]
    photo = read_photo(sample_photo.read_bytes())
    outside = np.ones(photo.shape[:2], dtype=bool)
    top, left = max(0, int(2 * y0 - y1)), max(0, int(2 * x0 - x1))
    outside[top : int(2 * y1 - y0), left : int(2 * x1 - x0)] = False
    assert np.array_equal(picture(report["files"]["pasted"])[outside], photo[outside])


@pytest.mark.slow
def test_more_steps_never_report_a_worse_result(
    nigaoe: Run, reports: Reports, sample_photo: Path, tmp_path: Path
) -> None:
    """The best iterate is kept; the same seed walks the same way."""
    ends = []
    for steps in ("2", "8"):
        result = nigaoe("convert", sample_photo, "-o", tmp_path / steps, "--steps", steps, "--json")
        (report,) = reports(result).values()
        ends.append(report["distance_end"])
    assert ends[1] <= ends[0]


@pytest.mark.slow
def test_faces_of_a_group_can_be_chosen(nigaoe: Run, mixed_folder: Path, tmp_path: Path) -> None:
    """All of them, one by number, and a clear word for a number that nobody has."""
    group = mixed_folder / "group.jpg"
    everyone = nigaoe("convert", group, "-o", tmp_path / "all", "--faces", "all", *FAST)
    assert everyone.returncode == 0
    assert len(list((tmp_path / "all").glob("*.png"))) == 3
    nobody = nigaoe("convert", group, "-o", tmp_path / "none", "--faces", "7", *FAST)
    assert nobody.returncode == 4
    assert "face_out_of_range" in nobody.stderr


def test_wrong_requests_are_one_sentence(nigaoe: Run, sample_photo: Path, tmp_path: Path) -> None:
    """A style that does not exist, a photo that does not exist, an empty folder: exit code 2 and what to do."""
    (tmp_path / "empty").mkdir()
    for arguments, word in (
        ((sample_photo, "--style", "cubism"), "anime"),
        ((tmp_path / "empty",), "JPEG"),
        ((sample_photo, "--faces", "prettiest"), "largest"),
        ((sample_photo, "--method", "direct", "--start", "encoder"), "train encoder"),
        ((sample_photo, "--device", "cuda:99"), "doctor"),
        ((tmp_path / "nobody.jpg",), "check the name"),
    ):
        result = nigaoe("convert", *arguments, "-o", tmp_path / "out")
        assert result.returncode == 2, (arguments, result.stderr)
        assert word in " ".join(result.stderr.split())
        assert "Traceback" not in result.stderr


def test_a_failure_is_json_with_a_code() -> None:
    """Programs read the code, people the sentence, and details come along."""
    report = failure_report("x.jpg", NoFace("No face here.", faces=[]))
    assert report == {"photo": "x.jpg", "error": {"code": "no_face", "message": "No face here.", "faces": []}}
