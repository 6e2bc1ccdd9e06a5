"""A clip is drawn frame by frame with what its first frame says, and steadily."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from nigaoe_core.errors import UsageError
from nigaoe_model.portrait.clip import ClipDrawer, FaceFrame
from nigaoe_model.portrait.drawing import Look
from nigaoe_model.portrait.pair import Pair, load_generator, load_pair
from nigaoe_model.portrait.upscale import Upscaler

PLAIN = Look(truncation_psi=0.7)


@pytest.fixture
def guessed_pair(tiny_files: tuple[Path, Path], encoder_file: Path) -> Pair:
    """A style of the tiny generator with an encoder."""
    return load_pair("tiny-anime", load_generator(tiny_files[0], encoder=encoder_file), tiny_files[1])


def frames(count: int, *, starts: Sequence[int] = (0,), noise: float = 20.0, side: float = 8.0) -> list[FaceFrame]:
    """A noisy film of a still picture of 16 px."""
    random = np.random.default_rng(0)
    still = random.uniform(40, 215, (16, 16, 3))
    pictures = [np.clip(still + random.normal(0, noise, still.shape), 0, 255).astype(np.uint8) for _ in range(count)]
    return [FaceFrame(picture, i / 25, i in starts, side) for i, picture in enumerate(pictures)]


def change(pictures: Sequence[Tensor]) -> float:
    return float(torch.stack([(b - a).abs().mean() for a, b in pairwise(pictures)]).mean())


def test_a_noisy_film_is_drawn_more_steadily(guessed_pair: Pair) -> None:
    """Smoothed latents change far less than guesses, and the first frame is the same."""
    film = frames(8)
    smooth = ClipDrawer(guessed_pair, PLAIN, None).draw(film)
    single = ClipDrawer(guessed_pair, PLAIN, None, smoothing=None).draw(film)
    torch.testing.assert_close(smooth[0], single[0])
    assert change(smooth) < 0.6 * change(single)


def test_batches_do_not_show(guessed_pair: Pair) -> None:
    """The film in one pass or in passes of two: the same drawings."""
    film = frames(6)
    whole = ClipDrawer(guessed_pair, PLAIN, None).draw(film)
    drawer = ClipDrawer(guessed_pair, PLAIN, None)
    parts = [picture for start in range(0, 6, 2) for picture in drawer.draw(film[start : start + 2])]
    torch.testing.assert_close(torch.stack(parts), torch.stack(whole), atol=1e-4, rtol=0)


def test_a_new_shot_remembers_nothing(guessed_pair: Pair) -> None:
    """Its frames are drawn as if the film began there."""
    film = frames(6, starts=(0, 3))
    cut = ClipDrawer(guessed_pair, PLAIN, None).draw(film)
    alone = ClipDrawer(guessed_pair, PLAIN, None).draw(film[3:])
    torch.testing.assert_close(torch.stack(cut[3:]), torch.stack(alone), atol=1e-4, rtol=0)


def test_what_a_search_adds_is_carried_along_the_shot(guessed_pair: Pair) -> None:
    """One search a shot; the film of one picture is drawn as the search has found it throughout."""
    found = torch.randn(guessed_pair.g_ori.statistics.mean.shape, generator=torch.Generator().manual_seed(1))
    asked = []

    def search(crop: np.ndarray) -> Tensor:
        asked.append(crop)
        return found

    drawn = ClipDrawer(guessed_pair, Look(), None, search=search).draw(frames(5, starts=(0, 3), noise=0))
    expected = guessed_pair.g_fin.generator.draw_image(found[None]).clamp(-1, 1)[0]
    assert len(asked) == 2
    for picture in drawn:
        torch.testing.assert_close(picture, expected, atol=1e-4, rtol=0)


def test_only_large_faces_are_enlarged(guessed_pair: Pair) -> None:
    """A face that fills no more pixels of the frame than the drawing has gains nothing; one look a shot."""
    pair = replace(guessed_pair, upscaler="lanczos")
    near = [replace(frame, side=300.0) for frame in frames(2)]
    assert [picture.shape[-1] for picture in ClipDrawer(pair, PLAIN, Upscaler()).draw(near)] == [64, 64]
    assert [picture.shape[-1] for picture in ClipDrawer(pair, PLAIN, Upscaler()).draw(frames(2))] == [16, 16]
    assert [picture.shape[-1] for picture in ClipDrawer(pair, PLAIN, None).draw(near)] == [16, 16]


def test_without_an_encoder_there_is_no_film(tiny_pair: Pair) -> None:
    """The sentence says how to get one."""
    with pytest.raises(UsageError, match="train encoder"):
        ClipDrawer(tiny_pair, PLAIN, None)
