"""Resampling neither aliases nor shifts nor invents dark borders."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nigaoe_faces.warp import Outside, warp

Picture = NDArray[np.uint8]


def similarity(scale: float, degrees: float = 0.0, x: float = 0.0, y: float = 0.0) -> NDArray[np.float64]:
    angle = np.radians(degrees)
    a, b = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[a, -b, x], [b, a, y]])


def about(scale: float, degrees: float, source: tuple[float, float], target: float) -> NDArray[np.float64]:
    """Bring ``source`` to the middle of a square of side ``target``."""
    matrix = similarity(scale, degrees)
    matrix[:, 2] = target / 2 - matrix[:, :2] @ source
    return matrix


def grey(picture: NDArray[np.floating]) -> Picture:
    return np.repeat(np.rint(picture).astype(np.uint8)[..., None], 3, axis=2)


def disc(side: int, centre: tuple[float, float], radius: float) -> NDArray[np.float64]:
    """Draw a disc whose edge pixels are as bright as their covered share; 0..255, [side, side]."""
    points = np.arange(side) + 0.5
    distance = np.hypot(points[None, :] - centre[0], points[:, None] - centre[1])
    return np.clip(radius - distance + 0.5, 0.0, 1.0) * 255


def test_the_identity_changes_nothing(astronaut: Picture) -> None:
    """Not even by rounding."""
    assert np.array_equal(warp(astronaut, similarity(1.0), (512, 512), Outside.MIRROR), astronaut)


def test_a_whole_shift_moves_pixels(astronaut: Picture) -> None:
    """Continuous coordinates: a crop at (100, 50) begins with the pixel in that column and row."""
    crop = warp(astronaut, similarity(1.0, x=-100, y=-50), (64, 32), Outside.EDGE)
    assert np.array_equal(crop, astronaut[50:82, 100:164])


@pytest.mark.parametrize("outside", Outside)
def test_a_quarter_turn_turns_pixels(astronaut: Picture, outside: Outside) -> None:
    """The axes keep their meaning."""
    turned = warp(astronaut, similarity(1.0, 90.0, x=512), (512, 512), outside)
    assert np.abs(turned.astype(int) - np.rot90(astronaut, -1)).max() <= 1


@pytest.mark.parametrize("degrees", [0, 7, 45])
@pytest.mark.parametrize("side", [700, 3000])
def test_a_fine_checkerboard_becomes_grey(side: int, degrees: float) -> None:
    """One-pixel squares of a large photo must not turn into stripes in a 64-pixel crop."""
    board = grey(255.0 * (np.indices((side, side)).sum(axis=0) % 2))
    crop = warp(board, about(64 / (side * 0.6), degrees, (side / 2, side / 2), 64), (64, 64), Outside.MIRROR)
    assert np.abs(crop.astype(int) - 127).max() <= 4


@pytest.mark.parametrize("degrees", [0, 30])
@pytest.mark.parametrize(("radius", "side"), [(700, 3000), (130, 560), (45, 200)])
def test_a_disc_has_soft_edges_in_the_right_place(radius: float, side: int, degrees: float) -> None:
    """Each pixel of the small disc is as bright as its share of the large one, within a filter's ringing."""
    centre = (side * 0.52, side * 0.47)
    crop = warp(grey(disc(side, centre, radius)), about(24 / radius, degrees, centre, 64), (64, 64), Outside.MIRROR)
    error = np.abs(crop[..., 0] - disc(64, (32, 32), 24))
    assert error.max() < 50
    assert error.mean() < 1.5


def test_enlarging_keeps_the_place_of_things() -> None:
    """A disc enlarged four times has its centre where it should be, and sixteen times the area."""
    crop = warp(grey(disc(64, (30, 34), 12)), about(4.0, 20.0, (30, 34), 128), (128, 128), Outside.MIRROR)
    brightness = crop[..., 0] / 255
    points = np.arange(128) + 0.5
    centre = (brightness.sum(axis=0) @ points, brightness.sum(axis=1) @ points) / brightness.sum()
    assert centre == pytest.approx([64, 64], abs=0.05)
    assert brightness.sum() == pytest.approx(np.pi * 48**2, rel=0.01)


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.floats(0.02, 8),
    st.floats(-180, 180, allow_subnormal=False),
    st.floats(-30, 70, allow_subnormal=False),
    st.sampled_from(Outside),
)
def test_one_colour_stays_that_colour_everywhere(
    width: int, height: int, scale: float, degrees: float, place: float, outside: Outside
) -> None:
    """Inside and outside the photo: no black corner, no dark seam, whatever the size and place."""
    source = np.full((height, width, 3), (200, 120, 40), np.uint8)
    crop = warp(source, about(scale, degrees, (place, place / 2), 24), (24, 24), outside)
    assert crop.shape == (24, 24, 3)
    assert np.abs(crop.astype(int) - (200, 120, 40)).max() <= 1


def test_beyond_the_edge_stands_a_fading_mirror_image(astronaut: Picture) -> None:
    """Near the edge it continues the photo; far away all detail is gone."""
    crop = warp(astronaut, similarity(1.0, x=128), (256, 256), Outside.MIRROR).astype(int)
    mirrored = np.concatenate([astronaut[:256, 127::-1], astronaut[:256, :128]], axis=1).astype(int)
    assert np.array_equal(crop[:, 128:], mirrored[:, 128:])
    assert np.abs(crop[:, 126:128] - mirrored[:, 126:128]).mean() < 5
    assert crop[:, :20].std(axis=0).mean() < mirrored[:, :20].std(axis=0).mean() / 2


def test_beyond_the_edge_a_picture_repeats_its_border(quarters: Picture) -> None:
    """A drawing that is pasted back must not darken at its rim."""
    crop = warp(quarters, similarity(1.0, x=10, y=10), (84, 68), Outside.EDGE)
    assert (crop[:10, 10:42] == quarters[0, 0]).all()
    assert (crop[58:, 60:] == quarters[-1, -1]).all()
