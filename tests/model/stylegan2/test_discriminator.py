"""The discriminator's logits and features, and which samples they depend on."""

import pytest
import torch

from nigaoe_model.stylegan2.architecture import Architecture, published_architecture
from nigaoe_model.stylegan2.discriminator import Discriminator, minibatch_standard_deviation


def test_one_logit_a_picture_at_any_resolution() -> None:
    """Resolutions differ, the answer does not."""
    for resolution in (16, 64, 256):
        architecture = published_architecture(resolution, channel_base=resolution * 4, channel_max=16)
        assert Discriminator(architecture)(torch.randn(4, 3, resolution, resolution)).shape == (4, 1)


def test_minibatch_statistic_by_hand() -> None:
    """Two samples that differ by two everywhere deviate by one."""
    x = torch.stack([torch.zeros(3, 4, 4), torch.full((3, 4, 4), 2.0)])
    y = minibatch_standard_deviation(x, group=2)
    assert y.shape == (2, 4, 4, 4)
    torch.testing.assert_close(y[:, 3], torch.ones(2, 4, 4))


def test_groups_do_not_mix() -> None:
    """With groups of two, sample i is compared with sample i + N / 2 only, as in the published layout."""
    x = torch.zeros(4, 1, 2, 2)
    x[0] = 2.0
    statistic = minibatch_standard_deviation(x, group=2)[:, 1, 0, 0]
    torch.testing.assert_close(statistic, torch.tensor([1.0, 1e-4, 1.0, 1e-4]))
    with pytest.raises(ValueError, match="groups of 3"):
        minibatch_standard_deviation(x, group=3)


def test_features_of_one_picture_ignore_its_neighbours(tiny: Architecture) -> None:
    """Feature taps leave the minibatch statistic out, so they can serve as a distance."""
    discriminator = Discriminator(tiny)
    pictures = torch.randn(3, 3, 16, 16)
    together = discriminator.features(pictures)
    alone = discriminator.features(pictures[1:2])
    assert [t.shape[-1] for t in together] == [16, 8, 4]
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a[1:2], b)
