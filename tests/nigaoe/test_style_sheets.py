"""`--style all`: what one search has found, in every style of its generator, and one sheet that shows them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from nigaoe.cli import app
from nigaoe.results import SHEET_SIDE
from nigaoe_core.bundled import BUNDLED_WEIGHTS
from nigaoe_core.errors import BrokenCheckpoint, ParentMismatch, UnknownStyle, UsageError
from nigaoe_core.manifest import GeneratorRow, Manifest, StyleRow, edit_manifest
from nigaoe_faces.sheet import GAP, TITLE_HEIGHT, resized

Convert = Callable[..., Result]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A generator with two styles and one that is not its child, and a style of another generator."""
    folder = tmp_path / "weights"
    folder.mkdir()
    for name, source in (("people", "g_ori"), ("others", "g_ori"), ("ink", "anime"), ("stray", "g_ori")):
        shutil.copy(BUNDLED_WEIGHTS / f"{source}.safetensors", folder / f"{name}.safetensors")
    generators = {name: GeneratorRow(file=f"{name}.safetensors") for name in ("people", "others")}
    styles = {
        "ink": StyleRow(file="ink.safetensors", parent="people", title="Ink", upscaler="lanczos"),
        "stray": StyleRow(file="stray.safetensors", parent="people"),
        "wash": StyleRow(file="ink.safetensors", parent="people", title="似顔絵", upscaler="lanczos"),
        "elsewhere": StyleRow(file="ink.safetensors", parent="others", upscaler="lanczos"),
    }
    edit_manifest(folder, lambda _: Manifest(generators=generators, styles=styles))
    return folder


@pytest.fixture
def convert(sample_photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Convert:
    """Run `nigaoe convert` in this process: two steps for one photo, with the weights of a folder alone."""
    monkeypatch.setenv("NIGAOE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("NIGAOE_TORCH_THREADS", "1")

    def run(weights: Path, *options: str) -> Result:
        monkeypatch.setenv("NIGAOE_WEIGHTS_DIR", str(weights))
        arguments = ["convert", str(sample_photo), "-o", str(tmp_path / "out"), "--steps", "2", "--json", *options]
        return CliRunner().invoke(app, arguments)

    return run


def test_every_style_is_drawn_from_one_search_and_shown_in_order(
    convert: Convert, weights: Path, tmp_path: Path
) -> None:
    """A file a style, the latent once, a sheet of those files for each generator; what does not fit is reported."""
    result = convert(weights, "--style", "all", "--keep-latent")
    assert result.exit_code == 5  # A style of another generator.
    assert ParentMismatch.code in result.stderr
    report, elsewhere = (json.loads(line) for line in result.stdout.splitlines())
    assert (report["style"], elsewhere["style"]) == ("all", "all-others")
    assert list(report["files"]) == ["sheet", "picture-ink", "latent", "picture-wash"]
    assert list(elsewhere["files"]) == ["sheet", "picture-elsewhere", "latent"]
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        "astronaut-all.png",
        "astronaut-ink.png",
        "astronaut-ink-latent.safetensors",
        "astronaut-wash.png",
        "astronaut-all-others.png",
        "astronaut-elsewhere.png",
        "astronaut-elsewhere-latent.safetensors",
    }
    sheet = np.asarray(Image.open(report["files"]["sheet"]))
    step = SHEET_SIDE + GAP
    assert sheet.shape == (TITLE_HEIGHT + SHEET_SIDE, 4 * step - GAP, 3)
    for place, style in ((2, "ink"), (3, "wash")):
        shown = sheet[TITLE_HEIGHT:, place * step : place * step + SHEET_SIDE]
        drawn = np.asarray(Image.open(report["files"][f"picture-{style}"]))
        assert np.array_equal(shown, resized(drawn, SHEET_SIDE))


def test_one_style_is_one_file(convert: Convert, weights: Path, tmp_path: Path) -> None:
    """Nothing else is drawn, and one that does not fit or is unknown ends the command."""
    assert convert(weights, "--style", "ink").exit_code == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["astronaut-ink.png"]
    assert isinstance(convert(weights, "--style", "stray").exception, ParentMismatch)
    unknown = convert(weights, "--style", "cubism").exception
    assert isinstance(unknown, UnknownStyle)
    assert "ink" in unknown.message


def test_what_cannot_be_drawn_in_all_styles_is_said_first(convert: Convert, tmp_path: Path) -> None:
    """Methods that search in each style; an installation without styles, or with damaged ones alone."""
    weights = tmp_path / "none"
    weights.mkdir()
    (weights / "manifest.toml").write_text("format_version = 1\n")
    wrong_method = convert(weights, "--style", "all", "--method", "best").exception
    assert isinstance(wrong_method, UsageError)
    assert "best" in wrong_method.message
    nothing = convert(weights, "--style", "all").exception
    assert isinstance(nothing, UnknownStyle)
    assert "weights import" in nothing.message
    shutil.copy(BUNDLED_WEIGHTS / "g_ori.safetensors", weights)
    shutil.copy(BUNDLED_WEIGHTS / "anime.safetensors", weights)
    row = StyleRow(file="anime.safetensors", parent="g_ori", upscaler="realesrgan-x4plus-anime")
    (weights / "realesrgan-x4plus-anime.safetensors").write_bytes(b"half a download")
    generators = {"g_ori": GeneratorRow(file="g_ori.safetensors")}
    edit_manifest(weights, lambda _: Manifest(generators=generators, styles={"anime": row}))
    damaged = convert(weights, "--style", "all").exception
    assert isinstance(damaged, BrokenCheckpoint)
    assert "upscaler" in damaged.message
