"""Moves that leave a style as it is."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nigaoe_model.training.gans_n_roses.augmentation import augmented, inverse_moves
from nigaoe_model.training.gans_n_roses.config import AugmentationSettings

STILL = AugmentationSettings(degrees=0, scale=0, translation=0, shear=0, crop=0)
CPU = torch.device("cpu")


def only(**settings: float) -> AugmentationSettings:
    """One kind of move alone."""
    return STILL.model_copy(update=settings)


def gradient(side: int = 16) -> Tensor:
    """A picture in which every pixel tells where it was. # [1, 3, side, side]: x, y, 0."""
    line = (torch.arange(side) + 0.5) / side * 2 - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x, y, torch.zeros_like(x)])[None] / 2


def test_without_any_move_a_picture_is_itself_or_its_mirror_image() -> None:
    """Half of them each."""
    torch.manual_seed(0)
    picture = gradient()
    moved = augmented(picture.expand(200, -1, -1, -1), STILL)
    mirrored = torch.tensor([torch.allclose(m, picture[0].flip(2), atol=1e-5) for m in moved])
    same = torch.tensor([torch.allclose(m, picture[0], atol=1e-5) for m in moved])
    assert (mirrored ^ same).all()
    assert 70 < mirrored.sum() < 130


@pytest.mark.parametrize(
    ("settings", "largest", "of"),
    [
        (only(degrees=20), math.sin(math.radians(20)), lambda m: m[:, 0, 1].abs()),
        (only(scale=0.2), 1 / 0.8, lambda m: m[:, 1, 1]),
        (only(translation=0.1), 0.2, lambda m: m[:, 1, 2].abs()),
        (only(shear=0.15), 0.15, lambda m: m[:, 1, 0].abs()),
        (only(crop=0.125), 0.125 / 1.125, lambda m: m[:, 1, 2].abs()),
    ],
    ids=["degrees", "scale", "translation", "shear", "crop"],
)
def test_moves_reach_as_far_as_they_may(
    settings: AugmentationSettings, largest: float, of: Callable[[Tensor], Tensor]
) -> None:
    """In input coordinates, which span two units a picture: a shift of a tenth of the side is 0.2 of them."""
    torch.manual_seed(1)
    found = of(inverse_moves(2000, settings, CPU))
    assert found.max().item() == pytest.approx(largest, rel=0.02)
    assert found.max() <= largest + 1e-6


def test_pictures_of_a_batch_move_in_ways_of_their_own() -> None:
    """The seed decides, values stay in the range, and a crop never shows what lies outside."""
    torch.manual_seed(2)
    pictures = gradient().expand(4, -1, -1, -1)
    first = augmented(pictures, AugmentationSettings())
    torch.manual_seed(2)
    assert torch.equal(first, augmented(pictures, AugmentationSettings()))
    assert len({picture.sum().item() for picture in first.abs()}) == 4
    edges = augmented(torch.randn(4, 3, 16, 16).sign(), AugmentationSettings())
    assert edges.abs().max() <= 1
    inverse = inverse_moves(500, only(crop=0.25), CPU)
    corners = torch.tensor([[1.0, 1.0, 1.0], [-1.0, -1.0, 1.0]])
    assert (corners @ inverse.transpose(1, 2))[..., :2].abs().max() <= 1 + 1e-6
