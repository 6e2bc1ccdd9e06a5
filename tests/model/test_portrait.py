"""What one latent looks like under degree and truncation."""

import pytest
import torch

from core.errors import UsageError
from model.pair import Pair
from model.portrait import Look, draw_portraits
from model.upscale import Upscaler


@pytest.fixture
def w_plus(tiny_pair: Pair) -> torch.Tensor:
    mapping = tiny_pair.g_ori.generator.mapping
    return mapping.broadcast(mapping(torch.randn(2, 8, generator=torch.Generator().manual_seed(4))))


def test_degree_leads_from_the_person_to_the_drawing(tiny_pair: Pair, w_plus: torch.Tensor) -> None:
    """At degree 0 the drawing is the person, at 1 it is the style's."""
    as_person = draw_portraits(tiny_pair, w_plus, Look(degree=0.0), None)[0]
    as_style = draw_portraits(tiny_pair, w_plus, Look(), None)[0]
    assert torch.equal(as_person.drawing, as_person.person)
    assert torch.equal(as_style.person, as_person.person)
    assert torch.equal(as_style.drawing, tiny_pair.g_fin.generator.draw_image(w_plus)[0].clamp(-1, 1))


def test_no_truncation_left_means_the_mean_face_for_all(tiny_pair: Pair, w_plus: torch.Tensor) -> None:
    """psi 0 forgets who was asked for."""
    first, second = draw_portraits(tiny_pair, w_plus, Look(truncation_psi=0.0), None)
    torch.testing.assert_close(first.drawing, second.drawing)
    with pytest.raises(UsageError, match="truncation"):
        Look(truncation_psi=1.5)


def test_small_drawings_are_enlarged(tiny_pair: Pair, w_plus: torch.Tensor) -> None:
    """People get a picture four times as large, and all of it in range."""
    portrait = draw_portraits(tiny_pair, w_plus, Look(), Upscaler())[1]
    assert portrait.drawing.shape == (3, 16, 16)
    assert portrait.picture.shape == (3, 64, 64)
    assert portrait.picture.abs().max() <= 1


def test_own_noise_maps_are_drawn(tiny_pair: Pair, w_plus: torch.Tensor) -> None:
    """Maps that the search optimised replace the generator's own."""
    shapes = tiny_pair.g_ori.generator.synthesis.noise_shapes
    maps = [torch.zeros(1, 1, *shape) for shape in shapes]
    without = draw_portraits(tiny_pair, w_plus, Look(), None, maps)[0]
    assert not torch.equal(without.drawing, draw_portraits(tiny_pair, w_plus, Look(), None)[0].drawing)
