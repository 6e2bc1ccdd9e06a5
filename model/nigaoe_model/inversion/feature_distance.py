"""Distance of pictures in the features of a frozen network, sample by sample.

Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", 2018, equation 1: unit-length
feature vectors, squared differences, averaged over positions and levels.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from operator import add

import torch.nn.functional as F
from torch import Tensor, nn

from nigaoe_model.features import unit_normalised
from nigaoe_model.stylegan2.inference.linear_maps import sample_sum

Extract = Callable[[Tensor], Sequence[Tensor]]


class FeatureNetwork(nn.Module):
    """Unit-length features of pictures [phi], and distances between them.

    Args:
        extract: Picture # [N, 3, S, S] in [-1, 1] to features, one # [N, C_l, H_l, W_l] a level.
        size: Side S to which pictures are resampled first; None: as they come.
    """

    def __init__(self, extract: Extract, *, size: int | None = None) -> None:
        super().__init__()
        self.extract = extract
        self.size = size

    def features(self, image: Tensor) -> list[Tensor]:
        """Return unit-length feature vectors, one # [N, C_l, H_l, W_l] a level."""
        return [unit_normalised(level) for level in self.extract(resampled(image, self.size))]

    def distance(self, first: Sequence[Tensor], second: Sequence[Tensor], region: Sequence[Tensor]) -> Tensor:
        """Return the distance of two lists of :meth:`features`: mean_l sum_p m_l(p) |a_l(p) - b_l(p)|^2.

        Args:
            first: One # [N, C_l, H_l, W_l] a level.
            second: The same shapes.
            region: Weight of every position, summing to 1 a sample. # [N, 1, H_l, W_l].

        Returns:
            # [N], 0..4.
        """
        levels = [
            sample_sum((a - b).square().sum(dim=1, keepdim=True) * weight)
            for a, b, weight in zip(first, second, region, strict=True)
        ]
        return reduce(add, levels) / len(levels)


def resampled(image: Tensor, size: int | None) -> Tensor:
    """Return the picture at ``size`` pixels: averaged where it shrinks, bilinear where it grows. # [N, 3, S, S]."""
    if size is None or image.shape[-1] == size:
        return image
    if image.shape[-1] % size == 0:
        return F.avg_pool2d(image, image.shape[-1] // size)
    return F.interpolate(image, size=(size, size), mode="bilinear", align_corners=False, antialias=True)


def pooled_region(region: Tensor, features: Sequence[Tensor]) -> list[Tensor]:
    """Average a region over the area of each feature position, normalised to sum 1. # [N, 1, H_l, W_l] a level."""
    pooled = [F.adaptive_avg_pool2d(region, (level.shape[-2], level.shape[-1])) for level in features]
    return [level / level.sum(dim=(1, 2, 3), keepdim=True) for level in pooled]
