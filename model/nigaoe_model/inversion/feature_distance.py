"""A frozen network as an eye: how far two pictures are apart in its features, sample by sample.

Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", 2018, equation 1: unit-length
feature vectors, squared differences, weighted a channel, averaged over positions, levels joined.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from operator import add

import torch.nn.functional as F
from torch import Tensor, nn

from nigaoe_model.features import unit_normalised
from nigaoe_model.stylegan2.inference.linear_maps import sample_sum

Taps = Callable[[Tensor], Sequence[Tensor]]


class FeatureEye(nn.Module):
    """Features of pictures and distances between them.

    Args:
        taps: Picture # [N, 3, S, S] in [-1, 1] to features, one # [N, C_l, H_l, W_l] a level.
        size: Side S at which the network looks; pictures of another size are resampled. None: as they come.
        channel_weights: LPIPS's linear weights, one # [C_l] a level; None: all 1.
        average_levels: Divide by the number of levels (LPIPS sums).
    """

    def __init__(
        self,
        taps: Taps,
        *,
        size: int | None = None,
        channel_weights: Sequence[Tensor] | None = None,
        average_levels: bool = True,
    ) -> None:
        super().__init__()
        self.taps = taps
        self.size = size
        self.average_levels = average_levels
        self._scaled_levels = 0 if channel_weights is None else len(channel_weights)
        for level, weights in enumerate(channel_weights or []):
            self.register_buffer(f"channel_scale{level}", weights.clamp_min(0).sqrt(), persistent=False)

    def features(self, image: Tensor) -> list[Tensor]:
        """Return what is compared: unit-length feature vectors, scaled by the roots of the channel weights."""
        levels = [unit_normalised(level) for level in self.taps(resampled(image, self.size))]
        if not self._scaled_levels:
            return levels
        return [f * s.to(f)[:, None, None] for f, s in zip(levels, self._channel_scales, strict=True)]

    def distance(self, first: Sequence[Tensor], second: Sequence[Tensor], region: Sequence[Tensor]) -> Tensor:
        """Return the distance of two lists of :meth:`features`.

        Args:
            first: One # [N, C_l, H_l, W_l] a level.
            second: The same shapes.
            region: Weight of every position, summing to 1 a sample. # [N, 1, H_l, W_l].

        Returns:
            # [N]; 0..4 without channel weights.
        """
        levels = [
            sample_sum((a - b).square().sum(dim=1, keepdim=True) * weight)
            for a, b, weight in zip(first, second, region, strict=True)
        ]
        total = reduce(add, levels)
        return total / len(levels) if self.average_levels else total

    @property
    def _channel_scales(self) -> list[Tensor]:
        return [self.get_buffer(f"channel_scale{level}") for level in range(self._scaled_levels)]


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
