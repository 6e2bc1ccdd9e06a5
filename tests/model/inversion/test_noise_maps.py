"""Noise maps stay noise, sample by sample."""

import torch

from nigaoe_model.inversion.noise_maps import draw_noise_maps, noise_autocorrelation, normalised


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
