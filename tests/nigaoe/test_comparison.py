"""Photos beside what every method draws of them: columns, the figure, and its measures."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from feed_forward_styles import install_beside_the_bundled_pair, write_gans_n_roses
from PIL import Image
from typer.testing import CliRunner
from typer.testing import Result as Run

from nigaoe import Nigaoe
from nigaoe.cli import app
from nigaoe.commands.compare import METHODS
from nigaoe.comparison import ComparedPhoto, Comparison, Drawn, compare
from nigaoe.comparison_columns import COMPARED, Column, columns_of
from nigaoe.comparison_measures import measured
from nigaoe.photos import Photo
from nigaoe_core.errors import BrokenCheckpoint, MethodMismatch, NigaoeError, NoFace, UsageError
from nigaoe_core.manifest import StyleRow, edit_manifest
from nigaoe_faces.figure import Caption, figure
from nigaoe_faces.sheet import resized
from nigaoe_model.pixels import to_planes, to_rgb
from nigaoe_model.portrait.convert import redraw
from nigaoe_model.portrait.drawing import AS_FOUND, DEFAULT_LOOK
from nigaoe_model.portrait.feed_forward import OnePassDrawing

SIDE = 96
SKY = np.full((200, 200, 3), 120, dtype=np.uint8)


@pytest.fixture(scope="module")
def nigaoe(method_weights: Path) -> Nigaoe:
    """A style of every method."""
    return Nigaoe(device="cpu", threads=1, weights=method_weights)


@pytest.fixture
def samples(repository: Path) -> list[Photo]:
    """An astronaut and an admiral."""
    return sorted((repository / "samples").glob("*.jpg"))


def quick(columns: Sequence[Column]) -> list[Column]:
    """The same columns, with two steps for every search."""
    return [
        replace(column, options={**column.options, "steps": 2}) if column.style == "anime" else column
        for column in columns
    ]


def test_the_columns_are_those_of_the_thesis(nigaoe: Nigaoe) -> None:
    """In its order; a style may be named instead of its method, and nothing twice."""
    columns, left_out = columns_of(nigaoe, seed=4)
    assert tuple(column.name for column in columns) == COMPARED == tuple(METHODS.split(","))
    assert left_out == []
    assert [column.style for column in columns] == ["gans-n-roses", "swapping-autoencoder", "anime", "anime"]
    assert "seed 4" in columns[0].caption.detail
    for names, word in ((["cubism"], "swapping-autoencoder"), (["nigaoe", "nigaoe"], "twice")):
        with pytest.raises(UsageError, match=word):
            columns_of(nigaoe, names)
    with pytest.raises(MethodMismatch):
        columns_of(nigaoe, style="gans-n-roses")


def test_what_is_not_installed_is_left_out_with_the_way_to_get_it() -> None:
    """With the weights that come with Nigaoe, or with one of their styles alone."""
    bundled = Nigaoe(device="cpu", threads=1)
    installed = {style.method for style in bundled.styles}
    columns, left_out = columns_of(bundled)
    assert {column.name for column in columns} | {one.name for one in left_out} == set(COMPARED)
    assert {one.name for one in left_out}.isdisjoint(installed)
    for one in left_out:
        assert f"nigaoe train --method {one.name}" in one.message
        assert "nigaoe weights import" in one.message


def test_damaged_weights_are_no_missing_ones(sample_photo: Path, tmp_path: Path) -> None:
    """What is wrong is said; a sound style of the same method is taken instead."""
    folder = install_beside_the_bundled_pair(tmp_path / "weights")
    (folder / "roses.safetensors").write_bytes(b"half a download")
    damaged = Nigaoe(device="cpu", threads=1, weights=folder)
    columns, left_out = columns_of(damaged, ["gans-n-roses"])
    assert left_out == []
    with pytest.raises(BrokenCheckpoint, match="roses"):
        compare(damaged, [sample_photo], columns)
    write_gans_n_roses(folder / "more-roses.safetensors")
    second = StyleRow(file="more-roses.safetensors", method="gans-n-roses", upscaler="lanczos")
    edit_manifest(folder, lambda old: old.model_copy(update={"styles": old.styles | {"second": second}}))
    ((column,), _) = columns_of(Nigaoe(device="cpu", threads=1, weights=folder), ["gans-n-roses"])
    assert (column.name, column.style) == ("gans-n-roses", "second")


def test_plain_is_what_the_thesis_does(nigaoe: Nigaoe, sample_photo: Path) -> None:
    """From the mean face, drawn as it was found; Nigaoe's own column is what people get who ask for nothing."""
    columns = quick(columns_of(nigaoe, ["thesis", "nigaoe"])[0])
    (photo,) = compare(nigaoe, [sample_photo], columns).photos
    thesis, ours = (photo.drawn[name].result for name in ("thesis", "nigaoe"))
    assert (thesis.report["start"], thesis.report["method"]) == ("mean", "cross")
    pair, upscaler = nigaoe.pipeline.pair("anime"), nigaoe.pipeline.upscaler
    for result, look in ((thesis, AS_FOUND), (ours, DEFAULT_LOOK)):
        expected = to_rgb(redraw(pair, result.latent, look, upscaler).picture)
        assert np.abs(np.asarray(result.picture).astype(int) - expected).max() <= 1
    assert ours.picture.tobytes() == nigaoe.convert(sample_photo, steps=2).picture.tobytes()


def test_the_figure_shows_every_drawing_below_its_caption(nigaoe: Nigaoe, samples: list[Photo]) -> None:
    """Photos to the left, then the reference where there is one, then the methods."""
    reference = nigaoe.convert(samples[1], style="swapping-autoencoder").picture
    columns = quick(columns_of(nigaoe, reference=reference)[0])
    heard: list[tuple[str, float]] = []
    comparison = compare(nigaoe, samples, columns, on_progress=lambda column, done: heard.append((column.name, done)))
    sheet = np.asarray(comparison.picture(SIDE))
    assert sheet.shape == figure([Caption("Title", "Detail")] * 6, [[None] * 6] * 2, side=SIDE).shape
    for photo in comparison.photos:
        for picture in (photo.face.framed_at(SIDE), *(np.asarray(one.result.picture) for one in photo.drawn.values())):
            assert contains(sheet, resized(picture, SIDE))
    assert [photo.drawn.keys() for photo in comparison.photos] == [set(COMPARED)] * 2
    assert {name: max(done for n, done in heard if n == name) for name, _ in heard} == dict.fromkeys(COMPARED, 2)


def contains(sheet: np.ndarray, picture: np.ndarray) -> bool:
    """Whether a picture is found in a sheet; its corners are cut, so its middle row is looked for."""
    row = picture[SIDE // 2]
    windows = np.lib.stride_tricks.sliding_window_view(sheet, SIDE, axis=1)  # [H, W - SIDE + 1, 3, SIDE]
    return bool((windows == row.T).all(axis=(2, 3)).any())


def test_a_photo_without_a_face_stops_nobody(nigaoe: Nigaoe, sample_photo: Path) -> None:
    """Its row is missing, and every method reports it; without a listener the first failure is raised."""
    columns, _ = columns_of(nigaoe, ["gans-n-roses", "swapping-autoencoder"])
    failed: list[tuple[str, type[NigaoeError]]] = []
    comparison = compare(
        nigaoe,
        [SKY, sample_photo],
        columns,
        on_error=lambda _, column, error: failed.append((column.name, type(error))),
    )
    assert failed == [("gans-n-roses", NoFace), ("swapping-autoencoder", NoFace)]
    assert [photo.face.source for photo in comparison.photos] == [sample_photo]
    with pytest.raises(NoFace):
        compare(nigaoe, [SKY], columns)
    nothing = compare(nigaoe, [SKY], columns, on_error=lambda *_: None)
    with pytest.raises(UsageError, match="nothing to compare"):
        nothing.picture()
    with pytest.raises(UsageError, match="no method"):
        compare(nigaoe, [sample_photo], [])


def test_a_drawing_that_is_the_photo_keeps_everything(nigaoe: Nigaoe, samples: list[Photo]) -> None:
    """Identity and rank one, no distance, the photo's own skin and hair; another person's photo is another person."""
    columns, _ = columns_of(nigaoe, ["gans-n-roses", "swapping-autoencoder"])
    drawn = compare(nigaoe, samples, columns).photos
    photos = [photo.face.framed_at(256) for photo in drawn]
    copies = [
        ComparedPhoto(
            photo.face,
            {
                "gans-n-roses": showing(photo.drawn["gans-n-roses"], photos[number]),
                "swapping-autoencoder": showing(photo.drawn["swapping-autoencoder"], photos[1 - number]),
            },
        )
        for number, photo in enumerate(drawn)
    ]
    for line in measured(nigaoe, Comparison(columns, copies)):
        assert json.loads(json.dumps(line)) == line
        own, other = (method["measures"] for method in line["methods"])
        assert own["identity"] > 0.95
        assert (own["same_person"], own["rank"]) == (True, 1)
        assert own["distance"] < 0.15
        assert (own["skin"], own["hair"]) == pytest.approx((line["skin"], line["hair"]), abs=0.02)
        assert other["identity"] < 0.5
        assert (other["same_person"], other["rank"]) == (False, 2)
        assert other["distance"] > 3 * own["distance"]


def test_one_photo_has_no_rank_and_measures_of_its_own(nigaoe: Nigaoe, samples: list[Photo]) -> None:
    """What is measured of a photo does not depend on those beside it; a column in which it failed is missing."""
    columns, _ = columns_of(nigaoe, ["gans-n-roses", "swapping-autoencoder"])
    both = compare(nigaoe, samples, columns)
    (alone,) = measured(nigaoe, Comparison(columns, both.photos[:1]))
    first, _ = measured(nigaoe, both)
    for method, beside in zip(alone["methods"], first["methods"], strict=True):
        assert method["measures"].pop("rank") is None
        assert beside["measures"].pop("rank") in (1, 2)
        assert method["measures"] == pytest.approx(beside["measures"], abs=1e-3)
    half = replace(both.photos[1], drawn={"gans-n-roses": both.photos[1].drawn["gans-n-roses"]})
    lines = list(measured(nigaoe, Comparison(columns, [both.photos[0], half])))
    assert [[method["name"] for method in line["methods"]] for line in lines] == [
        ["gans-n-roses", "swapping-autoencoder"],
        ["gans-n-roses"],
    ]


def showing(drawn: Drawn, picture: np.ndarray) -> Drawn:
    """The same drawing, but for its picture."""
    one = drawn.result.conversion
    assert isinstance(one, OnePassDrawing)
    planes = to_planes(picture)
    return replace(
        drawn, result=replace(drawn.result, conversion=OnePassDrawing(torch.clone(planes), planes, one.report))
    )


@pytest.fixture
def command(method_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """Run `nigaoe compare` in this process, by the methods that need no search."""
    monkeypatch.setenv("NIGAOE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("NIGAOE_TORCH_THREADS", "1")
    monkeypatch.setenv("NIGAOE_WEIGHTS_DIR", str(method_weights))

    def run(*arguments: str | Path, methods: str = "gans-n-roses, swapping-autoencoder") -> Run:
        whole = ["compare", *map(str, arguments), "--methods", methods, "-o", str(tmp_path / "sheets" / "one.png")]
        return CliRunner().invoke(app, whole)

    return run


def test_the_command_writes_the_figure_and_the_measures(
    command: Callable[..., Run], sample_photo: Path, tmp_path: Path
) -> None:
    """A line a photo; what is wrong with a photo is reported once, and decides the exit code."""
    Image.fromarray(SKY).save(tmp_path / "sky.png")
    run = command(sample_photo, tmp_path / "sky.png", "--json", "--side", "128")
    assert run.exit_code == 4
    failure, line = (json.loads(text) for text in run.stdout.splitlines())
    assert (failure["photo"], failure["error"]["code"]) == (str(tmp_path / "sky.png"), "no_face")
    assert run.stderr.count("no_face") == 1
    assert (line["photo"], line["left_out"]) == (str(sample_photo), [])
    assert [method["name"] for method in line["methods"]] == ["gans-n-roses", "swapping-autoencoder"]
    with Image.open(line["sheet"]) as sheet:
        assert sheet.width > 3 * 128
        assert "compositeWithTrainedAlgorithmicMedia" in sheet.text["XML:com.adobe.xmp"]


def test_the_command_refuses_what_it_cannot_do(command: Callable[..., Run], sample_photo: Path, tmp_path: Path) -> None:
    """Unknown methods, nothing to draw, a reference that is no picture, a place that cannot be written."""
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty").mkdir()
    for run, word in (
        (command(sample_photo, methods="cubism"), "choose among"),
        (command(tmp_path / "empty"), "photos"),
        (command(sample_photo, "--reference", str(tmp_path / "text.png")), "format"),
        (command(sample_photo, methods=""), "no method"),
    ):
        assert isinstance(run.exception, NigaoeError), word
        assert word in run.exception.message
    (tmp_path / "sheets").write_text("in the way")
    blocked = command(sample_photo).exception
    assert isinstance(blocked, UsageError)
    assert "-o" in blocked.message
