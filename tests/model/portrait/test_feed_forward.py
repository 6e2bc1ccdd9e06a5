"""Drawings in one pass: what they depend on, that photos of one pass do not meet, and what is refused."""

from pathlib import Path

import pytest
import torch
from feed_forward_files import SIDE, write_feed_forward_styles
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nigaoe_core.errors import BrokenCheckpoint, MethodMismatch, OptionNotTaken, ReferenceNeeded, WrongSize
from nigaoe_core.registry import Registry
from nigaoe_model.portrait.feed_forward import FeedForwardStyle, OnePassRequest, draw_in_one_pass, load_feed_forward
from nigaoe_model.portrait.upscale import Upscaler


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four styles of tiny random networks, see `feed_forward_files`."""
    return write_feed_forward_styles(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def styles(folder: Path) -> dict[str, FeedForwardStyle]:
    """All of them, loaded."""
    registry = Registry.load(folder)
    return {style.name: load_feed_forward(registry.feed_forward(style.name)) for style in registry.styles()}


def picture(number: int) -> Tensor:
    return torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(number)) * 2 - 1


def drawn(style: FeedForwardStyle, *requests: OnePassRequest) -> list[Tensor]:
    return [drawing.drawing for drawing in draw_in_one_pass(style, requests, None)]


def differ(one: Tensor, other: Tensor) -> bool:
    return bool((one - other).abs().max() > 1e-3)


REQUESTS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 3), st.none() | st.integers(10, 13)), min_size=1, max_size=6
)


@pytest.mark.parametrize("name", ["roses", "swap"])
@given(asked=REQUESTS)
@settings(max_examples=15)
def test_batching_never_changes_an_answer(
    styles: dict[str, FeedForwardStyle], name: str, asked: list[tuple[int, int, int | None]]
) -> None:
    """Each photo of a pass, with a reference or without, is drawn as if it were alone."""
    requests = [OnePassRequest(picture(p), seed, None if r is None else picture(r)) for p, seed, r in asked]
    for request, together in zip(requests, drawn(styles[name], *requests), strict=True):
        torch.testing.assert_close(together, drawn(styles[name], request)[0], atol=1e-4, rtol=0)


def test_roses_draw_photo_and_seed_or_reference(styles: dict[str, FeedForwardStyle]) -> None:
    """A seed gives the style; where there is a reference it gives the style instead, whatever the seed."""
    photo, anime = picture(0), picture(9)
    first, again, seed, other, reference, same = drawn(
        styles["roses"],
        OnePassRequest(photo),
        OnePassRequest(photo),
        OnePassRequest(photo, seed=1),
        OnePassRequest(picture(1)),
        OnePassRequest(photo, reference=anime),
        OnePassRequest(photo, seed=1, reference=anime),
    )
    torch.testing.assert_close(first, again)
    torch.testing.assert_close(reference, same)
    assert all(differ(first, drawing) for drawing in (seed, other, reference))


def test_a_swap_draws_with_the_mean_texture_or_a_references(styles: dict[str, FeedForwardStyle]) -> None:
    """No seed changes anything; a reference does."""
    photo = picture(0)
    mean, seed, reference = drawn(
        styles["swap"],
        OnePassRequest(photo),
        OnePassRequest(photo, seed=5),
        OnePassRequest(photo, reference=picture(9)),
    )
    torch.testing.assert_close(mean, seed)
    assert differ(mean, reference)
    torch.testing.assert_close(reference, drawn(styles["bare-swap"], OnePassRequest(photo, reference=picture(9)))[0])


@pytest.mark.parametrize(
    ("name", "request_", "seed", "has_reference"),
    [
        ("roses", OnePassRequest(picture(0), seed=4), 4, False),
        ("roses", OnePassRequest(picture(0), seed=4, reference=picture(1)), None, True),
        ("swap", OnePassRequest(picture(0)), None, False),
    ],
)
def test_the_report_says_how_it_came_about(
    styles: dict[str, FeedForwardStyle], name: str, request_: OnePassRequest, seed: int | None, has_reference: bool
) -> None:
    """Method, the seed that was used if one was, whether a reference was, the seconds and the network."""
    style = styles[name]
    (drawing,) = draw_in_one_pass(style, [request_], None)
    report = drawing.report
    assert report["seconds"].pop("draw") > 0
    assert report == {
        "style": name,
        "method": style.method,
        "seed": seed,
        "reference": has_reference,
        "seconds": {},
        "models": {style.method: style.model_id},
    }


def test_small_drawings_are_enlarged_as_the_style_says(styles: dict[str, FeedForwardStyle]) -> None:
    """Four times, like those of every other style; without an upscaler they stay as they are."""
    (large,) = draw_in_one_pass(styles["roses"], [OnePassRequest(picture(0))], Upscaler())
    assert (large.drawing.shape, large.picture.shape) == ((3, SIDE, SIDE), (3, 4 * SIDE, 4 * SIDE))
    (small,) = draw_in_one_pass(styles["roses"], [OnePassRequest(picture(0))], None)
    assert torch.equal(small.picture, small.drawing)


@pytest.mark.parametrize(
    ("name", "request_", "error", "hint"),
    [
        ("roses", OnePassRequest(torch.zeros(3, 16, 16)), WrongSize, "photo"),
        ("swap", OnePassRequest(torch.zeros(3, 64, 64)), WrongSize, "photo"),
        ("swap", OnePassRequest(picture(0), reference=torch.zeros(3, 32, 16)), WrongSize, "reference"),
        ("blind-roses", OnePassRequest(picture(0), reference=picture(1)), OptionNotTaken, "cannot read"),
        ("bare-swap", OnePassRequest(picture(0)), ReferenceNeeded, "reference"),
    ],
)
def test_what_cannot_be_drawn_has_its_own_error(
    styles: dict[str, FeedForwardStyle], name: str, request_: OnePassRequest, error: type[Exception], hint: str
) -> None:
    """Before anything is computed."""
    with pytest.raises(error, match=hint):
        draw_in_one_pass(styles[name], [request_], None)


def test_a_file_of_another_method_is_told_from_a_damaged_one(folder: Path, tmp_path: Path) -> None:
    """The entry says one method and the file another: each way round, and a file with nothing in it."""
    rows = {"roses": "swapping-autoencoder", "swap": "gans-n-roses"}
    manifest = [f'[styles.{name}]\nfile = "{name}.safetensors"\nmethod = "{method}"' for name, method in rows.items()]
    (tmp_path / "manifest.toml").write_text("\n".join(manifest))
    for name in rows:
        (tmp_path / f"{name}.safetensors").write_bytes((folder / f"{name}.safetensors").read_bytes())
    registry = Registry.load(tmp_path)
    assert not any(style.is_usable for style in registry.styles())
    for name in rows:
        with pytest.raises(MethodMismatch, match="import the file again"):
            registry.feed_forward(name)
        with pytest.raises(MethodMismatch):
            load_feed_forward(registry.style(name))
    (tmp_path / "roses.safetensors").write_bytes(b"")
    with pytest.raises(BrokenCheckpoint):
        load_feed_forward(Registry.load(tmp_path).style("roses"))
