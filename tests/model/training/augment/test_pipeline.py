"""Augmentations: nothing at p = 0, exact where a move can be checked by hand, differentiable everywhere."""

import math

import pytest
import pywt
import torch
from torch import Tensor

from nigaoe_model.training.augment import build_augmentation, colour, geometry
from nigaoe_model.training.augment.pipeline import FULL, AdaptiveAugmentation, blit, updated_p
from nigaoe_model.training.augment.wavelets import SYM2, SYM6, low_pass, octave_bands


@pytest.fixture
def pictures() -> Tensor:
    """Six smooth pictures of 32 px."""
    torch.manual_seed(0)
    coarse = torch.rand(6, 3, 5, 5) * 2 - 1
    return torch.nn.functional.interpolate(coarse, size=32, mode="bicubic", align_corners=False)


def test_filters_are_the_published_symlets() -> None:
    """The numbers in the source are those of a wavelet library."""
    assert pywt.Wavelet("sym6").dec_lo == pytest.approx(SYM6)
    assert pywt.Wavelet("sym2").dec_lo == pytest.approx(SYM2)


def test_octaves_add_up_to_the_identity() -> None:
    """Gains of one change nothing."""
    total = octave_bands().sum(dim=0)
    unit = torch.zeros_like(total)
    unit[len(total) // 2] = 1
    assert torch.allclose(total, unit, atol=1e-6)


def test_nothing_happens_at_p_zero(pictures: Tensor) -> None:
    """Every move is neutral: what is left is the resampling of the warp and of the filter, which lose nothing inside.

    (A trainer leaves the whole pipeline out while p is 0.)
    """
    calm = AdaptiveAugmentation(FULL)(pictures, torch.zeros(()))
    assert torch.allclose(calm[:, :, 6:-6, 6:-6], pictures[:, :, 6:-6, 6:-6], atol=1e-5)


def test_the_strength_is_read_anew(pictures: Tensor) -> None:
    """p lies at one place of the memory; what is written there decides, after the same random numbers."""
    p, augmentation = torch.zeros(()), AdaptiveAugmentation()
    shown = []
    for strength in (0.0, 1.0, 0.0):
        p.fill_(strength)
        torch.manual_seed(2)
        shown.append(augmentation(pictures, p))
    assert torch.equal(shown[0], shown[2])
    assert not torch.allclose(shown[0], shown[1], atol=0.1)


@pytest.mark.parametrize("group", FULL)
def test_every_group_changes_pictures_and_passes_gradients(pictures: Tensor, group: str) -> None:
    """At p = 1 each group does something, keeps the shape, and a gradient reaches the generator."""
    torch.manual_seed(1)
    image = pictures.clone().requires_grad_(True)
    augmented = AdaptiveAugmentation((group,))(image, torch.ones(()))
    assert augmented.shape == pictures.shape
    assert not torch.allclose(augmented, pictures)
    augmented.square().sum().backward()
    assert image.grad.abs().sum() > 0


def test_blitting_only_moves_pixels() -> None:
    """Far from the mirrored border the values are a permutation: mirroring and turning lose nothing."""
    torch.manual_seed(3)
    marked = torch.zeros(8, 3, 32, 32)
    marked[:, :, 16, 15] = 1.0
    moved = blit(marked, torch.ones(()))
    assert set(moved.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(moved.sum(dim=(1, 2, 3)), torch.full((8,), 3.0))


def test_the_identity_warp_changes_nothing_inside(pictures: Tensor) -> None:
    """Up, sample, down is perfect reconstruction away from the borders."""
    warped = geometry.warp(pictures, geometry.identity(6, pictures.device), geometry.Resampling.of(32, low_pass(SYM6)))
    assert torch.allclose(warped[:, :, 6:-6, 6:-6], pictures[:, :, 6:-6, 6:-6], atol=1e-5)


def test_a_translation_moves_by_whole_pixels(pictures: Tensor) -> None:
    """Four pixels to the right are 2 * 4 / 32 of the half width."""
    right = torch.full((6,), 2 * 4 / 32)
    moved = geometry.warp(
        pictures, geometry.inverse_translation(right, torch.zeros(6)), geometry.Resampling.of(32, low_pass(SYM6))
    )
    assert torch.allclose(moved[:, :, 8:-8, 12:-8], pictures[:, :, 8:-8, 8:-12], atol=1e-5)


@pytest.mark.parametrize("side", [16, 32])
def test_a_warp_by_matrices_is_the_warp_by_filters(side: int) -> None:
    """For any move, its gradient included, in float64."""
    random = torch.Generator().manual_seed(6)
    taps = low_pass(SYM6).double()
    image = torch.randn(3, 3, side, side, dtype=torch.float64, generator=random).requires_grad_()
    moves = torch.eye(3, dtype=torch.float64) + 0.3 * torch.randn(3, 3, 3, dtype=torch.float64, generator=random)
    moves[:, 2] = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    cotangent = torch.randn(image.shape, dtype=torch.float64, generator=random)
    by_matrices = geometry.warp(image, moves, geometry.Resampling.of(side, taps))
    by_filters = geometry.warp_reference(image, moves, taps)
    found = [[moved, *torch.autograd.grad(moved, image, cotangent)] for moved in (by_matrices, by_filters)]
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-11, rtol=1e-11)


def test_colour_moves_do_what_they_say() -> None:
    """Brightness adds, contrast multiplies, a full hue turn is the identity, no saturation is grey."""
    image = torch.rand(2, 3, 4, 4)
    two = torch.full((2,), 2.0)
    assert torch.allclose(colour.apply(image, colour.brightness(two)), image + 2, atol=1e-6)
    assert torch.allclose(colour.apply(image, colour.contrast(two)), image * 2, atol=1e-6)
    assert torch.allclose(colour.apply(image, colour.hue(two * math.pi)), image, atol=1e-5)
    grey = colour.apply(image, colour.saturation(torch.zeros(2)))
    assert torch.allclose(grey, image.mean(dim=1, keepdim=True).expand_as(image), atol=1e-6)
    flipped = colour.apply(image, colour.luma_flip(torch.ones(2)))
    assert torch.allclose(flipped.mean(dim=1), -image.mean(dim=1), atol=1e-6)


def test_diff_augment_changes_every_picture_and_passes_gradients(pictures: Tensor) -> None:
    """Colour, translation and cutout, always."""
    torch.manual_seed(4)
    image = pictures.clone().requires_grad_(True)
    augmented = build_augmentation("diffaugment")(image, torch.zeros(()))
    assert augmented.shape == pictures.shape
    assert ((augmented - pictures).abs().amax(dim=(1, 2, 3)) > 0.05).all()
    augmented.sum().backward()
    assert image.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("p", "statistic", "expected"),
    [
        (0.2, 0.9, 0.2 + 64 / 500_000),  # Overfits: more.
        (0.2, 0.1, 0.2 - 64 / 500_000),  # Does not: less.
        (0.2, 0.6, 0.2),  # On target.
        (0.0, -1.0, 0.0),  # Never below nothing.
        (1.0, 1.0, 1.0),  # Never above always.
    ],
)
def test_p_moves_by_the_images_since_the_last_update(p: float, statistic: float, expected: float) -> None:
    """p goes from 0 to 1 in `speed_images` at most, by the sign of r_t - target."""
    before, seen, images = (torch.tensor(value, dtype=torch.float64) for value in (p, statistic, 64.0))
    after = updated_p(before, seen, target=0.6, images=images, speed_images=500_000)
    assert float(after) == pytest.approx(expected, abs=1e-15)
