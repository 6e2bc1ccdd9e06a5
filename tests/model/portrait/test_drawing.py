"""What one latent looks like under degree and truncation, and what is drawn only once."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nigaoe_core.errors import UsageError
from nigaoe_core.manifest import UpscalerName
from nigaoe_model.portrait.drawing import Look, draw_from_trunk, draw_portraits, enlarge
from nigaoe_model.portrait.pair import LoadedGenerator, Pair, load_pair
from nigaoe_model.portrait.palette import measure_palette
from nigaoe_model.portrait.upscale import Upscaler
from nigaoe_model.stylegan2.checkpoint import Checkpoint, save_checkpoint


@pytest.fixture
def w_plus(tiny_pair: Pair) -> torch.Tensor:
    mapping = tiny_pair.g_ori.generator.mapping
    return mapping.broadcast(mapping(torch.randn(2, 8, generator=torch.Generator().manual_seed(4))))


def test_the_shared_trunk_changes_no_picture(tiny_pair: Pair, w_plus: torch.Tensor) -> None:
    """Drawing the coarse blocks once gives exactly what both generators draw alone."""
    g_ori, g_fin = tiny_pair.g_ori.generator, tiny_pair.g_fin.generator
    canvases = g_ori.synthesis.draw(w_plus, noise="fixed")
    drawing = draw_from_trunk(tiny_pair, g_fin, w_plus, canvases=canvases)
    assert torch.equal(canvases[-1].image, g_ori.draw_image(w_plus))
    assert torch.equal(drawing, g_fin.draw_image(w_plus))
    assert not torch.allclose(canvases[-1].image, drawing)


def test_styles_of_different_depth_share_what_they_can(
    tmp_path: Path,
    tiny_checkpoint: Checkpoint,
    tiny_g_ori: LoadedGenerator,
    tiny_pair: Pair,
    w_plus: torch.Tensor,
    child_of: Callable[..., Checkpoint],
) -> None:
    """Each style starts from the canvas at which its own training began."""
    pairs = [tiny_pair]
    for depth in (0, 1, 3):
        path = tmp_path / f"{depth}.safetensors"
        save_checkpoint(child_of(tiny_checkpoint, trainable_blocks=depth), path)
        pairs.append(load_pair(f"depth-{depth}", tiny_g_ori, path))
    assert [pair.trunk_resolution for pair in pairs] == [4, 16, 8, None]
    canvases = tiny_g_ori.generator.synthesis.draw(w_plus, noise="fixed")
    for pair in pairs:
        drawing = draw_from_trunk(pair, pair.g_fin.generator, w_plus, canvases=canvases)
        assert torch.equal(drawing, pair.g_fin.generator.draw_image(w_plus)), pair.style


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


@pytest.fixture
def painted_pair(tiny_pair: Pair) -> Pair:
    """The pair with its palette."""
    palette = measure_palette(tiny_pair.g_ori.generator, tiny_pair.g_fin.generator, samples=64)
    return replace(tiny_pair, g_fin=replace(tiny_pair.g_fin, palette=palette))


def test_a_drawing_takes_over_the_persons_colours(painted_pair: Pair, w_plus: torch.Tensor) -> None:
    """The more the more is asked for, and the person stays the same."""
    own, half, whole = (draw_portraits(painted_pair, w_plus, Look(colours=share), None) for share in (0.0, 0.5, 1.0))
    for plain, some, all_of_it in zip(own, half, whole, strict=True):
        assert torch.equal(plain.person, all_of_it.person)
        changes = [(portrait.drawing - plain.drawing).square().mean() for portrait in (some, all_of_it)]
        assert 0 < changes[0] < changes[1]


def test_colours_stay_the_styles_where_there_is_nothing_to_take_over(
    tiny_pair: Pair, painted_pair: Pair, w_plus: torch.Tensor
) -> None:
    """Without a palette nobody knows what to ask for; at degree 0 the drawing is the person already."""
    with pytest.raises(UsageError, match="colours"):
        Look(colours=1.5)
    for pair, degree in ((tiny_pair, 1.0), (painted_pair, 0.0)):
        plain = draw_portraits(pair, w_plus, Look(degree), None)
        coloured = draw_portraits(pair, w_plus, Look(degree, colours=1.0), None)
        assert torch.equal(plain[0].drawing, coloured[0].drawing)


def test_small_drawings_are_enlarged_as_the_style_says(tiny_pair: Pair, w_plus: torch.Tensor) -> None:
    """People get a picture four times as large, all of it in range, by the way that the style's entry names."""
    upscaler = Upscaler()
    names: tuple[UpscalerName, ...] = ("realesr-animevideov3", "lanczos")
    pictures = []
    for name in names:
        portrait = draw_portraits(replace(tiny_pair, upscaler=name), w_plus, Look(), upscaler)[1]
        assert portrait.drawing.shape == (3, 16, 16)
        assert portrait.picture.shape == (3, 64, 64)
        assert portrait.picture.abs().max() <= 1
        torch.testing.assert_close(portrait.picture, upscaler(portrait.drawing[None], name)[0], atol=1e-5, rtol=0)
        pictures.append(portrait.picture)
    assert not torch.equal(*pictures)


def test_large_drawings_stay_as_they_are() -> None:
    """A generator of 256 pixels needs nobody's help."""
    drawing = torch.zeros(1, 3, 256, 256)
    assert enlarge(drawing, Upscaler(), "lanczos") is drawing


def test_own_noise_maps_are_drawn(tiny_pair: Pair, w_plus: torch.Tensor) -> None:
    """Maps that the search optimised replace the generator's own."""
    shapes = tiny_pair.g_ori.generator.synthesis.noise_shapes
    maps = [torch.zeros(1, 1, *shape) for shape in shapes]
    without = draw_portraits(tiny_pair, w_plus, Look(), None, maps)[0]
    assert not torch.equal(without.drawing, draw_portraits(tiny_pair, w_plus, Look(), None)[0].drawing)


def test_the_person_is_shown_as_found(tiny_pair: Pair, w_plus: torch.Tensor) -> None:
    """However much of the drawing is truncated; a person who was drawn before is taken as he is."""
    found = tiny_pair.g_ori.generator.draw_image(w_plus).clamp(-1, 1)
    for psi in (1.0, 0.4):
        portraits = draw_portraits(tiny_pair, w_plus, Look(truncation_psi=psi), None)
        again = draw_portraits(tiny_pair, w_plus, Look(truncation_psi=psi), None, persons=found)
        for portrait, second, person in zip(portraits, again, found, strict=True):
            assert torch.equal(portrait.person, person)
            assert torch.equal(second.drawing, portrait.drawing)
