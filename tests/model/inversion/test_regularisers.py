"""What the priors call near and far; noise maps stay noise, sample by sample."""

import torch

from nigaoe_model.inversion.regularisers import LatentPrior, draw_noise_maps, noise_autocorrelation, normalised
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


def white(count: int, size: int) -> torch.Tensor:
    return torch.randn(count, 1, size, size, generator=torch.Generator().manual_seed(0))


def test_a_picture_in_the_noise_is_penalised() -> None:
    """White noise is nearly free, a smooth map is not, and neither changes the other's penalty."""
    ramp = torch.linspace(-1.7, 1.7, 32).expand(1, 1, 32, -1)
    penalties = noise_autocorrelation([torch.cat([white(1, 32), ramp])])
    assert penalties[0] < 0.1
    assert penalties[1] > 1
    torch.testing.assert_close(penalties[0], noise_autocorrelation([white(1, 32)])[0])


def test_coarse_structure_is_found_under_fine_noise() -> None:
    """A pattern of 8 x 8 cells hides at full size and shows once the map is averaged down."""
    cells = torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(2)).repeat_interleave(8, 2)
    hidden = normalised(2 * white(1, 32) + cells.repeat_interleave(8, 3))
    assert noise_autocorrelation([hidden]) > 10 * noise_autocorrelation([white(1, 32)])


def test_normalised_maps_have_mean_zero_and_variance_one() -> None:
    """Each sample for itself."""
    maps = normalised(white(3, 16) * torch.tensor([1.0, 5.0, 0.1]).reshape(3, 1, 1, 1) + 2)
    torch.testing.assert_close(maps.mean(dim=(1, 2, 3)), torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(maps.square().mean(dim=(1, 2, 3)), torch.ones(3))


def test_maps_come_from_the_seed() -> None:
    """The same seed draws the same maps of the asked shapes."""
    first, second = (draw_noise_maps([(4, 4), (8, 8)], torch.Generator().manual_seed(5)) for _ in range(2))
    assert [tuple(maps.shape) for maps in first] == [(1, 4, 4), (1, 8, 8)]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
