"""`--style all`: what one search has found, in every style of its generator, and one sheet that shows them."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nigaoe.conversion_run import ConversionOrder, ConversionRun, Listener
from nigaoe.outputs import SHEET_SIDE, Extras
from nigaoe.style_sheets import orders_of
from nigaoe_core.bundled import BUNDLED_WEIGHTS
from nigaoe_core.errors import BrokenCheckpoint, ParentMismatch, UnknownStyle, UsageError
from nigaoe_core.jobs import Method
from nigaoe_core.manifest import GeneratorRow, Manifest, StyleRow, edit_manifest
from nigaoe_core.registry import Registry
from nigaoe_faces.sheet import GAP, TITLE_HEIGHT
from nigaoe_model.inversion.settings import InversionSettings
from nigaoe_model.portrait.drawing import DEFAULT_LOOK
from nigaoe_model.portrait.pipeline import Pipeline


@pytest.fixture
def order(sample_photo: Path, tmp_path: Path) -> ConversionOrder:
    """Two steps for one photo, in all styles."""
    return ConversionOrder(
        photos=[sample_photo],
        folder=tmp_path / "out",
        style="all",
        method=Method.CROSS,
        settings=InversionSettings(steps=2),
        look=DEFAULT_LOOK,
        seed=0,
        faces="largest",
        extras=Extras(latent=True),
    )


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


def convert(order: ConversionOrder, pipeline: Pipeline) -> list[dict[str, Any]]:
    """Run an order and return its reports."""
    reports: list[dict[str, Any]] = []
    failures = ConversionRun(order, pipeline, Listener(_ignore, _ignore, reports.append, _ignore)).run()
    assert failures == []
    return reports


def _ignore(*_: object) -> None:
    """Hear of something and do nothing."""


def test_every_style_is_drawn_from_one_search_and_shown_in_order(
    order: ConversionOrder, weights: Path, tmp_path: Path
) -> None:
    """A file a style, the latent once, and a sheet whose pictures are those files; what does not fit is told."""
    pipeline = Pipeline(Registry.load(weights))
    orders, failures = orders_of(order, pipeline)
    assert [type(error) for error in failures] == [ParentMismatch]
    assert [(one.style, list(one.sheet.titles.items()) if one.sheet else []) for one in orders] == [
        ("ink", [("ink", "Ink"), ("wash", "wash")]),
        ("elsewhere", [("elsewhere", "elsewhere")]),
    ]
    (report,) = convert(orders[0], pipeline)
    assert report["style"] == "all"
    assert list(report["files"]) == ["sheet", "picture-ink", "latent", "picture-wash"]
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        "astronaut-all.png",
        "astronaut-ink.png",
        "astronaut-ink-latent.safetensors",
        "astronaut-wash.png",
    }
    sheet = np.asarray(Image.open(report["files"]["sheet"]))
    step = SHEET_SIDE + GAP
    assert sheet.shape == (TITLE_HEIGHT + SHEET_SIDE, 4 * step - GAP, 3)
    for place, style in ((2, "ink"), (3, "wash")):
        shown = sheet[TITLE_HEIGHT:, place * step : place * step + SHEET_SIDE]
        assert np.array_equal(shown, np.asarray(Image.open(report["files"][f"picture-{style}"])))
    assert orders[1].sheet is not None
    assert orders[1].sheet.name == "all-others"


def test_one_style_is_one_order(order: ConversionOrder, weights: Path) -> None:
    """Nothing else is drawn, and one that does not fit or is unknown ends the command."""
    pipeline = Pipeline(Registry.load(weights))
    ink = replace(order, style="ink")
    assert orders_of(ink, pipeline) == ([ink], [])
    with pytest.raises(ParentMismatch):
        orders_of(replace(order, style="stray"), pipeline)
    with pytest.raises(UnknownStyle, match="ink"):
        orders_of(replace(order, style="cubism"), pipeline)


def test_what_cannot_be_drawn_in_all_styles_is_said_first(order: ConversionOrder, tmp_path: Path) -> None:
    """Methods that search in each style; an installation without styles, or with damaged ones alone."""
    pipeline = Pipeline(Registry.load(tmp_path))
    with pytest.raises(UsageError, match="best"):
        orders_of(replace(order, method=Method.BEST), pipeline)
    with pytest.raises(UnknownStyle, match="weights import"):
        orders_of(order, pipeline)
    shutil.copy(BUNDLED_WEIGHTS / "g_ori.safetensors", tmp_path)
    shutil.copy(BUNDLED_WEIGHTS / "anime.safetensors", tmp_path)
    row = StyleRow(file="anime.safetensors", parent="g_ori", upscaler="realesrgan-x4plus-anime")
    (tmp_path / "realesrgan-x4plus-anime.safetensors").write_bytes(b"half a download")
    generators = {"g_ori": GeneratorRow(file="g_ori.safetensors")}
    edit_manifest(tmp_path, lambda _: Manifest(generators=generators, styles={"anime": row}))
    with pytest.raises(BrokenCheckpoint, match="upscaler"):
        orders_of(order, Pipeline(Registry.load(tmp_path)))
