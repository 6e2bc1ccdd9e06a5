"""What is known of a latent before any photo is seen: where w lies, and that all layers share it.

W+ codes that over-fit a photo decode badly in another domain; both terms keep them where the generator was trained.
Zhu et al., "Improved StyleGAN Embedding: Where are the Good Latents?", 2020, section 3 (whitened distance from the
mean); Tov et al., "Designing an Encoder for StyleGAN Image Manipulation", 2021, section 4 (closeness to W).
"""

import torch
from torch import Tensor, nn

from nigaoe_model.stylegan2.inference.linear_maps import rows_times
from nigaoe_model.stylegan2.latent_statistics import LatentStatistics

VARIANCE_FLOOR = 1e-3


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
