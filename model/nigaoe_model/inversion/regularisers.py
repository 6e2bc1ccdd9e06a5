"""Regularisers of reverse generation: where latents lie, that layers share a style, and that noise stays noise.

W+ codes that over-fit a photo decode badly in another domain; the priors keep them where the generator was trained.
Zhu et al., "Improved StyleGAN Embedding: Where are the Good Latents?", 2020, section 3 (whitened distance from the
mean); Tov et al., "Designing an Encoder for StyleGAN Image Manipulation", 2021, section 4 (closeness to W); Zhu et al.,
"In-Domain GAN Inversion for Real Image Editing", 2020, equation 4. Noise maps may not carry the picture: Karras et al.,
"Analyzing and Improving the Image Quality of StyleGAN", 2020, appendix D, pushes their autocorrelation at distance one
to zero on every scale and normalises them after every step. Everything is per sample.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nigaoe_model.inversion.batch import Iterate
from nigaoe_model.inversion.encoder.network import Encoder
from nigaoe_model.stylegan2.inference.linear_maps import rows_times, sample_mean
from nigaoe_model.stylegan2.latent_statistics import LatentStatistics

VARIANCE_FLOOR = 1e-3
SMALLEST_PENALISED = 8
"""Side of the coarsest noise map whose autocorrelation counts."""


class LatentPrior(nn.Module):
    """Distances of w_plus from the mean face and from W, in units of w's own statistics.

    Args:
        statistics: Moments of w. Axes along which w hardly varies are floored at ``VARIANCE_FLOOR`` times the mean
            variance, so that they cannot dominate the distance.

    Attributes:
        mean: Mean of each layer's style. # [num_ws, w_dim].
        spread: Root of the mean squared distance of w from its mean.
        variance: Mean variance of a coordinate of w. # [].
        unit: Root of ``variance``: the unit in which learning rates are given.
    """

    mean: Tensor
    whitening: Tensor
    variance: Tensor

    def __init__(self, statistics: LatentStatistics) -> None:
        super().__init__()
        self.register_buffer("mean", torch.empty_like(statistics.mean, dtype=torch.float32))  # [num_ws, w_dim]
        self.register_buffer("whitening", torch.empty_like(statistics.covariance, dtype=torch.float32))
        self.register_buffer("variance", torch.empty(()))
        self.spread = self.unit = 0.0
        self.adopt(statistics)

    def adopt(self, statistics: LatentStatistics) -> None:
        """Measure distances by other statistics from now on, whose tensors take the old ones' places."""
        variances, axes = torch.linalg.eigh(statistics.covariance.double())
        variances = variances.clamp_min(VARIANCE_FLOOR * float(variances.mean()))
        variance = max(float(variances.mean()), 1e-12)
        self.spread, self.unit = statistics.spread, variance**0.5
        self.mean.copy_(statistics.mean)
        self.whitening.copy_(axes * variances.rsqrt())  # [w_dim, w_dim]
        self.variance.fill_(variance)

    def mahalanobis(self, w_plus: Tensor) -> Tensor:
        """Return the squared Mahalanobis distance from the mean a dimension, averaged over layers: 1 in W. # [N]."""
        whitened = rows_times(w_plus - self.mean, self.whitening)  # [N, num_ws, w_dim]
        return whitened.square().mean(dim=(1, 2))

    def layer_spread(self, w_plus: Tensor) -> Tensor:
        """Return the mean squared distance of the layers from their mean, in units of w's variance. # [N]."""
        return (w_plus - w_plus.mean(dim=1, keepdim=True)).square().mean(dim=(1, 2)) / self.variance


def in_domain_distance(encoder: Encoder, iterate: Iterate) -> Tensor:
    """Return the mean squared distance of latents from what an encoder guesses of their pictures. # [N]."""
    guessed = encoder.each(iterate.image)
    return (iterate.w_plus - guessed).square().mean(dim=(1, 2))


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
