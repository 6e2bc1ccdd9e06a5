"""Latents move until their drawings have the colours that are asked for."""

import pytest
import torch
from torch import Tensor

from nigaoe_model.portrait.colour_transfer import free_styles, transfer_colours
from nigaoe_model.portrait.palette import SIDE, Palette, colour_grid, measure_palette
from nigaoe_model.stylegan2.architecture import Architecture, demo_architecture
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.stylegan2.latent_statistics import measure_latents, principal_axes

COUNT = 3


@pytest.fixture
def palette(tiny_generator: Generator) -> Palette:
    return measure_palette(tiny_generator, tiny_generator, samples=64)


@pytest.fixture
def ws(tiny_generator: Generator) -> Tensor:
    mapping = tiny_generator.mapping
    return mapping.broadcast(mapping(torch.randn(2 * COUNT, 8, generator=torch.Generator().manual_seed(4))))


def carried(generator: Generator, palette: Palette, ws: Tensor, colours: Tensor) -> Tensor:
    styles, axes = free_styles(generator.architecture, None), principal_axes(measure_latents(generator, samples=500))
    return transfer_colours(generator, ws, colours, palette, styles=styles, axes=axes)


def missed(generator: Generator, palette: Palette, ws: Tensor, colours: Tensor) -> Tensor:
    difference = colour_grid(generator.draw_image(ws), SIDE) - colours
    return (difference / palette.drawing_spread).square().mean(dim=(1, 2, 3))


def test_drawings_come_nearer_to_the_colours(tiny_generator: Generator, palette: Palette, ws: Tensor) -> None:
    """Each of several is drawn more in the colours of somebody else, with gradients turned off around it, too."""
    own, others = ws[:COUNT], colour_grid(tiny_generator.draw_image(ws[COUNT:]), SIDE)
    with torch.no_grad():
        moved = carried(tiny_generator, palette, own, others)
    before = missed(tiny_generator, palette, own, others)
    after = missed(tiny_generator, palette, moved, others)
    assert (after < 0.95 * before).all()


def test_colours_that_are_there_change_nothing(tiny_generator: Generator, palette: Palette, ws: Tensor) -> None:
    """Who has the colours already stays about where he is."""
    own = colour_grid(tiny_generator.draw_image(ws), SIDE)
    moved = carried(tiny_generator, palette, ws, own)
    assert missed(tiny_generator, palette, moved, own).max() < 0.01


def test_the_coarse_styles_stay(tiny_generator: Generator, palette: Palette, ws: Tensor) -> None:
    """What says where things are, and all that a shared trunk reads, is the same to the bit."""
    first = free_styles(tiny_generator.architecture, None).start
    moved = carried(tiny_generator, palette, ws, colour_grid(tiny_generator.draw_image(ws.flip(0)), SIDE))
    assert torch.equal(moved[:, :first], ws[:, :first])
    assert not torch.equal(moved[:, first:], ws[:, first:])


def test_neighbours_change_nothing(tiny_generator: Generator, palette: Palette, ws: Tensor) -> None:
    """A latent alone moves to the same place as among others, to the bit."""
    colours = colour_grid(tiny_generator.draw_image(ws.flip(0)), SIDE)
    together = carried(tiny_generator, palette, ws, colours)
    for index in range(len(ws)):
        row = slice(index, index + 1)
        assert torch.equal(carried(tiny_generator, palette, ws[row], colours[row]), together[row])


@pytest.mark.parametrize(("trunk", "first"), [(None, 4), (4, 4), (8, 4), (16, 6), (32, 8), (64, 10)])
def test_styles_that_the_trunk_reads_do_not_move(trunk: int | None, first: int) -> None:
    """At every freeze depth; a block's first style is also the ToRGB's before it, which belongs to the trunk."""
    architecture: Architecture = demo_architecture()
    styles = free_styles(architecture, trunk)
    assert styles == range(first, 10)
    shared = [r for r in architecture.resolutions if trunk is not None and r <= trunk]
    assert all(index not in architecture.layer_range(r) for r in shared for index in styles)
