"""Instant portraits: photos of one pass do not meet, and what is refused."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from nigaoe_core.errors import NoEncoder, WrongSize
from nigaoe_model.portrait.drawing import Look
from nigaoe_model.portrait.instant import InstantRequest, draw_guesses
from nigaoe_model.portrait.pair import Pair, load_generator, load_pair
from nigaoe_model.portrait.upscale import Upscaler


@pytest.fixture
def pair(tiny_files: tuple[Path, Path], encoder_file: Path) -> Pair:
    """The tiny style, with an encoder."""
    return load_pair("toy", load_generator(tiny_files[0], encoder=encoder_file), tiny_files[1])


def photo(number: int) -> Tensor:
    return torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(number)) * 2 - 1


def test_batching_never_changes_an_answer(pair: Pair) -> None:
    """Each of a pass has the latent and the picture that it would have alone, and they are all different."""
    look = Look(truncation_psi=0.8)
    together = draw_guesses(pair, look, [InstantRequest(photo(number)) for number in range(5)], Upscaler())
    for number, conversion in enumerate(together):
        (alone,) = draw_guesses(pair, look, [InstantRequest(photo(number))], Upscaler())
        torch.testing.assert_close(conversion.latent.w_plus, alone.latent.w_plus, atol=1e-5, rtol=0)
        torch.testing.assert_close(conversion.portrait.picture, alone.portrait.picture, atol=2e-4, rtol=0)
    assert len({conversion.latent.w_plus.numpy().tobytes() for conversion in together}) == 5


def test_what_cannot_be_drawn_has_its_own_error(pair: Pair, tiny_files: tuple[Path, Path]) -> None:
    """Before anything is computed."""
    with pytest.raises(WrongSize):
        draw_guesses(pair, Look(), [InstantRequest(torch.zeros(3, 8, 8))], None)
    plain = load_pair("toy", load_generator(tiny_files[0]), tiny_files[1])
    with pytest.raises(NoEncoder, match="tiny"):
        draw_guesses(plain, Look(), [InstantRequest(photo(0))], None)
