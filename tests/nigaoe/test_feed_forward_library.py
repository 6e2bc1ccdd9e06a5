"""Styles that draw in one pass, as a library's user meets them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner
from typer.testing import Result as Run

from nigaoe import Nigaoe
from nigaoe.cli import app
from nigaoe.photos import read_pixels
from nigaoe_core.errors import MethodMismatch, NigaoeError, NoFace, OptionNotTaken, UnsupportedFormat, UsageError
from nigaoe_model.inversion.settings import THESIS


@pytest.fixture(scope="module")
def nigaoe(method_weights: Path) -> Nigaoe:
    """A style of every method."""
    return Nigaoe(device="cpu", threads=1, weights=method_weights)


@pytest.fixture(scope="module")
def reference() -> Image.Image:
    """Something colourful to take a style from."""
    noise = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((96, 96), Image.Resampling.BICUBIC)


@pytest.fixture
def convert(
    sample_photo: Path, method_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Run]:
    """Run `nigaoe convert` in this process."""
    monkeypatch.setenv("NIGAOE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("NIGAOE_TORCH_THREADS", "1")
    monkeypatch.setenv("NIGAOE_WEIGHTS_DIR", str(method_weights))

    def run(*options: str) -> Run:
        return CliRunner().invoke(app, ["convert", str(sample_photo), "-o", str(tmp_path / "out"), *options])

    return run


def test_a_photo_is_drawn_in_one_pass(nigaoe: Nigaoe, sample_photo: Path) -> None:
    """Pictures and a report as of any style; there is no person and no latent, and the error says why."""
    result = nigaoe.convert(sample_photo, style="gans-n-roses", seed=7)
    assert result.picture.size == (128, 128)
    assert result.crop.size == (32, 32)
    assert result.comparison().height == 128
    assert result.pasted().size == tuple(read_pixels(sample_photo).shape[1::-1])
    report = json.loads(json.dumps(result.report))
    assert (report["method"], report["seed"], report["faces_found"]) == ("gans-n-roses", 7, 1)
    assert {"read", "detect", "align", "draw"} <= report["seconds"].keys()
    assert not result.is_searched
    for what in ("person", "latent"):
        with pytest.raises(UsageError, match="one pass"):
            getattr(result, what)
    with pytest.raises(UsageError, match="one pass"):
        nigaoe.restyle(result, "anime")


def test_seed_and_reference_say_which_style(nigaoe: Nigaoe, sample_photo: Path, reference: Image.Image) -> None:
    """Another seed or a reference draws otherwise; the same draws the same."""
    pictures = [
        nigaoe.convert(sample_photo, style=style, **options).picture.tobytes()  # type: ignore[arg-type]
        for style, options in (
            ("gans-n-roses", {}),
            ("gans-n-roses", {"seed": 1}),
            ("gans-n-roses", {"reference": reference}),
            ("swapping-autoencoder", {}),
            ("swapping-autoencoder", {"reference": reference}),
        )
    ]
    assert len(set(pictures)) == 5
    again = nigaoe.convert(sample_photo, style="gans-n-roses", reference=reference)
    assert again.picture.tobytes() == pictures[2]


def test_what_a_style_has_no_use_for_is_refused(nigaoe: Nigaoe, reference: Image.Image) -> None:
    """Before any photo is opened, with what it does take."""
    nobody = Path("nobody.jpg")
    for style, options in (
        ("gans-n-roses", {"steps": 5}),
        ("gans-n-roses", {"preset": THESIS}),
        ("gans-n-roses", {"colours": 0.5}),
        ("swapping-autoencoder", {"seed": 3}),
        ("anime", {"reference": reference}),
    ):
        with pytest.raises(OptionNotTaken, match=f"`{next(iter(options))}`"):
            nigaoe.convert_all([nobody], style=style, **options)  # type: ignore[arg-type]
    with pytest.raises(UnsupportedFormat):
        nigaoe.convert_all([nobody], style="gans-n-roses", reference=b"<svg/>")
    with pytest.raises(MethodMismatch, match="one pass"):
        nigaoe.sample(style="gans-n-roses")


def test_one_bad_photo_stops_nobody(nigaoe: Nigaoe, sample_photo: Path) -> None:
    """More photos than share a pass; those around the one without a face are drawn as they are alone."""
    alone = nigaoe.convert(sample_photo, style="swapping-autoencoder")
    sky = np.full((200, 200, 3), 120, dtype=np.uint8)
    failed: list[NigaoeError] = []
    results = list(
        nigaoe.convert_all(
            [sample_photo] * 5 + [sky] + [sample_photo] * 5,
            style="swapping-autoencoder",
            on_error=lambda _, error: failed.append(error),
        )
    )
    assert [type(error) for error in failed] == [NoFace]
    assert len(results) == 10
    for result in results:
        difference = np.abs(np.asarray(result.picture).astype(int) - np.asarray(alone.picture)).max()
        assert difference <= 1


def test_a_search_may_have_settings_of_its_own(nigaoe: Nigaoe, sample_photo: Path) -> None:
    """All of them in the place of a preset; options beside it still count."""
    result = nigaoe.convert(sample_photo, style="anime", preset=THESIS, steps=2)
    assert (result.report["steps"], result.report["start"]) == (2, "mean")


def test_the_command_draws_in_one_pass(convert: Callable[..., Run], reference: Image.Image, tmp_path: Path) -> None:
    """With a reference from a file; what needs a search is refused."""
    reference.save(tmp_path / "anime.png")
    done = convert("--style", "gans-n-roses", "--reference", str(tmp_path / "anime.png"), "--json")
    assert done.exit_code == 0
    report = json.loads(done.stdout)
    assert report["reference"] is True
    with Image.open(report["files"]["picture"]) as picture:
        assert picture.size == (128, 128)
    assert "one pass" in convert("--style", "swapping-autoencoder").stderr
    for option in ("--animation", "--keep-latent"):
        refused = convert("--style", "gans-n-roses", option).exception
        assert isinstance(refused, OptionNotTaken)
        assert option in refused.message
    assert isinstance(convert("--style", "all", "--reference", "anime.png").exception, OptionNotTaken)
