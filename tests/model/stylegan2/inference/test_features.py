"""Folding the batch normalisations changes nothing but the time."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nigaoe_model.features import shared_features
from nigaoe_model.stylegan2.inference.features import FrozenFeatures, frozen_features


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_features_are_the_networks(soft_pictures: Callable[..., Tensor], layout: torch.memory_format) -> None:
    """All five levels agree with the unfolded network."""
    image = soft_pictures(2, 64)
    frozen = FrozenFeatures(shared_features(), memory_format=layout)
    for level, expected in zip(frozen(image), shared_features()(image), strict=True):
        torch.testing.assert_close(level, expected, rtol=1e-3, atol=1e-3)


def test_the_network_itself_is_left_alone() -> None:
    """Folding works on a copy."""
    before = {name: tensor.clone() for name, tensor in shared_features().state_dict().items()}
    FrozenFeatures(shared_features())
    after = shared_features().state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_picture_alone_gives_the_same_bits(soft_pictures: Callable[..., Tensor]) -> None:
    """Features and input gradient of one picture are exactly its part of a batch's."""
    frozen = frozen_features(shared_features())

    def both(part: Tensor) -> list[Tensor]:
        leaf = part.clone().requires_grad_()
        levels = frozen(leaf)
        return [*levels, *torch.autograd.grad(sum(level.sin().sum() for level in levels), leaf)]  # type: ignore[arg-type]

    images = soft_pictures(5, 64)
    whole = both(images)
    for rows in (slice(0, 1), slice(3, 4), slice(1, 4)):
        for part, expected in zip(both(images[rows]), whole, strict=True):
            assert torch.equal(part, expected[rows])


def test_odd_sizes_are_refused() -> None:
    """A side that cannot be halved five times is an error that says so."""
    with pytest.raises(ValueError, match="multiples of 32"):
        frozen_features(shared_features())(torch.zeros(1, 3, 48, 48))


def test_one_copy_serves_all_engines() -> None:
    """Asking twice folds once."""
    assert frozen_features(shared_features()) is frozen_features(shared_features())
