"""Feature-moment matching."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from nigaoe_model.features import EfficientNetFeatures
from nigaoe_model.training.moment_matching import LEVELS, MomentMatching, faded_weight


@pytest.fixture(scope="module")
def features() -> EfficientNetFeatures:
    return EfficientNetFeatures(strides=LEVELS)


def test_the_loss_is_the_moving_average_times_the_difference(features: EfficientNetFeatures) -> None:
    """After one batch: v = 0.05 delta, loss = mean over levels of mean(2 v delta), by hand in float64."""
    torch.manual_seed(0)
    data, fake = torch.rand(12, 3, 32, 32) * 2 - 1, torch.rand(4, 3, 32, 32) - 1
    matching = MomentMatching(features)
    matching.measure(data.split(5))
    expected = 0.0
    for of_data, of_fake in zip(features(data), features(fake), strict=True):
        terms = []
        for power in (1, 2):
            real, drawn = of_data.double() ** power, of_fake.double() ** power
            delta = (real.mean(dim=0) - drawn.mean(dim=0)) / (real.std(dim=0, unbiased=False) + 0.01)
            terms.append((2 * 0.05 * delta * delta).mean())
        expected += float(sum(terms)) / 2 / len(LEVELS)
    assert matching(fake).item() == pytest.approx(expected, rel=1e-3)


def test_descending_it_brings_pictures_to_the_data(features: EfficientNetFeatures) -> None:
    """A few steps on the pixels make the moments agree better."""
    torch.manual_seed(1)
    matching = MomentMatching(features, momentum=0.5)
    matching.measure([torch.rand(16, 3, 32, 32)])
    fake = (-torch.rand(4, 3, 32, 32)).requires_grad_(True)
    adam = torch.optim.Adam([fake], lr=0.05)
    losses = []
    for _ in range(12):
        adam.zero_grad()
        loss = matching(fake)
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * max(losses)


def test_all_processes_keep_one_average() -> None:
    """The average follows the mean over the team, and the gradient is that of this process's own pictures."""
    first, second = (torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    alone = [MomentMatching(lambda image: [image]) for _ in range(2)]
    together = MomentMatching(lambda image: [image])
    for matching in (*alone, together):
        matching.measure([torch.zeros(4, 3, 8, 8)])
    for matching, fake in zip(alone, (first, second), strict=True):
        matching(fake)

    def mean_over_team(mine: Sequence[Tensor]) -> list[Tensor]:
        """What the other process would bring: its difference is its average over 1 - momentum."""
        return [(delta + alone[1].get_buffer("average0") / 0.05) / 2 for delta in mine]

    together(first, mean_over_team)
    expected = (alone[0].get_buffer("average0") + alone[1].get_buffer("average0")) / 2
    torch.testing.assert_close(together.get_buffer("average0"), expected)


@pytest.mark.parametrize(("images", "weight"), [(0, 10), (100, 10), (150, 6), (200, 2), (900, 2)])
def test_the_weight_fades_linearly(images: int, weight: float) -> None:
    """From 10 at 100 images to a fifth of it at 200."""
    assert faded_weight(10, images, fade_from=100, fade_images=100, fade_to=0.2) == pytest.approx(weight)
