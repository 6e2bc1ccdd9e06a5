"""Measures that compare methods, on drawings whose answer is known."""

import numpy as np
import pytest
import torch
from torch import Tensor

from nigaoe_model.training.face_regions import skin_lightness
from nigaoe_model.training.method_measures import (
    StyleAxis,
    at_side,
    colours,
    dependence,
    distances_from_photos,
)

PHOTOS, SEEDS, FEATURES = 60, 20, 12


@pytest.fixture
def random() -> np.random.Generator:
    """A seeded generator of numbers."""
    return np.random.default_rng(0)


@pytest.fixture
def pictures() -> Tensor:
    """Eight pictures of 64 px: smooth noise in two colours each. # [8, 3, 64, 64] bytes."""
    noise = torch.rand(8, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return (torch.nn.functional.interpolate(noise, size=64, mode="bicubic").clamp(0, 1) * 255).round().byte()


def drawn(random: np.random.Generator, photo: float, seed: float, both: float) -> np.ndarray:
    """Numbers of drawings to which photo, seed and chance contribute with these standard deviations. # [P, K, F]."""
    return (
        photo * random.normal(size=(PHOTOS, 1, FEATURES))
        + seed * random.normal(size=(1, SEEDS, FEATURES))
        + both * random.normal(size=(PHOTOS, SEEDS, FEATURES))
        + 7
    )


def test_who_ignores_the_seed_draws_the_photo_alone(random: np.random.Generator) -> None:
    """And the other way round; nothing is left for what both do together."""
    photo_alone = dependence(drawn(random, 2, 0, 0))
    assert (photo_alone.photo, photo_alone.style, photo_alone.both) == pytest.approx((1, 0, 0), abs=1e-9)
    seed_alone = dependence(drawn(random, 0, 2, 0))
    assert (seed_alone.photo, seed_alone.style, seed_alone.both) == pytest.approx((0, 1, 0), abs=1e-9)


def test_noise_depends_on_neither(random: np.random.Generator) -> None:
    """Sums of squares would give the photo its share by chance; components of variance do not."""
    shares = dependence(drawn(random, 0, 0, 1))
    assert shares.photo < 0.01
    assert shares.style < 0.01
    assert shares.both > 0.98


def test_shares_are_those_of_the_variances(random: np.random.Generator) -> None:
    """Variances 4, 1 and 1 make shares of two thirds, a sixth and a sixth, however many photos and seeds there are."""
    whole = drawn(random, 2, 1, 1)
    for numbers in (whole, whole[:30, :10]):
        shares = dependence(numbers)
        assert shares.photo + shares.style + shares.both == pytest.approx(1)
        assert (shares.photo, shares.style, shares.both) == pytest.approx((2 / 3, 1 / 6, 1 / 6), abs=0.07)


def test_equal_drawings_depend_on_nothing() -> None:
    """A method that always draws the same face; and one seed alone says nothing."""
    always = dependence(np.ones((4, 3, 5)))
    assert (always.photo, always.style, always.both) == (0, 0, 0)
    with pytest.raises(ValueError, match="1 seeds"):
        dependence(np.ones((4, 1, 5)))


def test_photos_lie_at_zero_and_the_styles_data_at_one(random: np.random.Generator) -> None:
    """In the mean; mixtures lie between, and what differs across the axis moves nobody along it."""
    spread = np.diag([1, 1, 3, 0.2])
    photos, style = (random.normal(size=(400, 4)) @ spread + shift for shift in (0, [2, 0, 0, 0]))
    across = np.array([0, 0, 9, 0])
    axis = StyleAxis.between(photos, style)
    assert axis.positions(photos).mean() == pytest.approx(0, abs=1e-9)
    assert axis.positions(style).mean() == pytest.approx(1)
    assert axis.positions((photos + style) / 2).mean() == pytest.approx(0.5)
    assert axis.positions(photos + across).mean() == pytest.approx(0, abs=0.2)
    assert min((axis.positions(style) > 0.5).mean(), (axis.positions(photos) < 0.5).mean()) > 0.8


def test_the_photo_itself_is_not_far_from_the_photo(pictures: Tensor) -> None:
    """Distance 0; the style's own pictures are one unit away, and half a photo lies between, at any size."""
    style = pictures.flip(0)
    assert distances_from_photos(pictures, pictures, style) == pytest.approx(np.zeros(8), abs=1e-6)
    assert distances_from_photos(pictures, style, style).mean() == pytest.approx(1)
    mixed = (0.8 * pictures.float() + 0.2 * style.float()).round().byte()
    near = distances_from_photos(pictures, mixed, style)
    assert 0 < near.mean() < 0.9
    assert distances_from_photos(pictures, at_side(mixed, 256), style).mean() == pytest.approx(near.mean(), rel=0.1)


def test_colours_are_those_of_places(pictures: Tensor) -> None:
    """A lighter picture has the same chroma in every cell, and size does not matter."""
    flat = torch.full((2, 3, 16, 16), 100, dtype=torch.uint8)
    flat[1] = 150
    dark, light = colours(flat)
    assert light[:64] - dark[:64] == pytest.approx(100 / 255)
    assert light[64:] == pytest.approx(dark[64:])
    assert colours(at_side(pictures, 32)) == pytest.approx(colours(pictures), abs=0.06)


def test_the_skin_is_the_middle_of_the_face() -> None:
    """What changes around it changes nothing; black is 0 and white 1."""
    pictures = torch.zeros(2, 3, 50, 50, dtype=torch.uint8)
    pictures[0, :, 29:38, 16:34] = 255
    assert skin_lightness(pictures).tolist() == pytest.approx([1, 0])
