"""Noise maps that are optimised with the latent: how they begin and what keeps them noise.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020, appendix D: the maps may not carry the
picture, so their autocorrelation at distance one is pushed to zero on every scale, and they are normalised after
every step. Here everything is per sample: no statistic ever looks at a neighbour in the batch.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from nigaoe_model.stylegan2.inference.linear_maps import sample_mean

SMALLEST_PENALISED = 8


def draw_noise_maps(shapes: Sequence[tuple[int, int]], random: torch.Generator) -> list[Tensor]:
    """Return one normal map # [1, H, W] a shape, on the CPU, from the slot's own generator."""
    return [torch.randn(1, height, width, generator=random) for height, width in shapes]


def noise_autocorrelation(maps: Sequence[Tensor]) -> Tensor:
    """Return the summed squared autocorrelation at distance one, over both axes and all scales.

    Args:
        maps: One # [N, 1, R, R] a convolution, R a power of two.

    Returns:
        # [N]; white noise is near zero.
    """
    total = maps[0].new_zeros(maps[0].shape[0])
    for noise in maps:
        scale = noise
        while True:
            for axis in (2, 3):
                total = total + sample_mean(scale * scale.roll(1, dims=axis)).square()
            if scale.shape[-1] <= SMALLEST_PENALISED:
                break
            scale = F.avg_pool2d(scale, 2) * 2  # The mean of four has half the deviation.
    return total


def normalised(noise: Tensor) -> Tensor:
    """Return every map with mean 0 and variance 1. # [N, 1, R, R]."""
    centred = noise - sample_mean(noise)[:, None, None, None]
    variance = sample_mean(centred.square())[:, None, None, None]
    return centred * variance.clamp_min(1e-12).rsqrt()
