"""What the priors call near and far."""

import torch

from nigaoe_model.inversion.prior import LatentPrior
from nigaoe_model.stylegan2.latent_statistics import LatentStatistics


def skewed() -> LatentStatistics:
    """Eight dimensions whose axes are turned and of very different lengths, around a mean far from zero."""
    random = torch.Generator().manual_seed(0)
    turn, _ = torch.linalg.qr(torch.randn(8, 8, generator=random))
    covariance = turn @ torch.diag(torch.logspace(-1, 1, 8)) @ turn.t()
    mean = torch.randn(8, generator=random).expand(6, -1)
    return LatentStatistics(mean=mean, std=covariance.diagonal().sqrt().expand(6, -1), covariance=covariance)


def drawn(statistics: LatentStatistics, count: int) -> torch.Tensor:
    """Latents in W with just these statistics. # [count, 6, 8]."""
    random = torch.Generator().manual_seed(1)
    root = torch.linalg.cholesky(statistics.covariance)
    w = torch.randn(count, 8, generator=random) @ root.t()
    return statistics.mean + w[:, None]


def test_a_typical_latent_is_at_distance_one() -> None:
    """Whatever the axes, latents with the training's own statistics are at 1 on average, the mean at 0."""
    statistics = skewed()
    prior = LatentPrior(statistics)
    distances = prior.mahalanobis(drawn(statistics, 2000))
    torch.testing.assert_close(distances.mean(), torch.tensor(1.0), rtol=0.05, atol=0)
    assert prior.mahalanobis(statistics.mean[None]).item() == 0


def test_the_same_step_is_farther_along_a_short_axis() -> None:
    """A step of one length costs more where w hardly varies, by the ratio of the variances."""
    statistics = skewed()
    variances, axes = torch.linalg.eigh(statistics.covariance)
    steps = torch.stack([axes[:, 0], axes[:, -1]])[:, None]  # [2, 1, 8]
    short, long = LatentPrior(statistics).mahalanobis(statistics.mean + steps)
    torch.testing.assert_close(short / long, variances[-1] / variances[0], rtol=1e-3, atol=0)


def test_an_axis_without_variance_stays_finite() -> None:
    """A dead dimension of w cannot make the distance infinite."""
    covariance = torch.diag(torch.tensor([1.0, 1.0, 0.0]))
    prior = LatentPrior(LatentStatistics(torch.zeros(4, 3), torch.ones(4, 3), covariance))
    assert torch.isfinite(prior.mahalanobis(torch.ones(1, 4, 3))).all()


def test_codes_in_w_have_no_layer_spread() -> None:
    """Equal layers cost nothing; layers drawn independently cost about the variance of one against their mean."""
    statistics = skewed()
    prior = LatentPrior(statistics)
    in_w = drawn(statistics, 300)
    torch.testing.assert_close(prior.layer_spread(in_w - statistics.mean), torch.zeros(300))
    independent = drawn(statistics, 1800).reshape(300, 6, 6, 8)[:, :, 0]
    torch.testing.assert_close(prior.layer_spread(independent).mean(), torch.tensor(5 / 6), rtol=0.1, atol=0)
