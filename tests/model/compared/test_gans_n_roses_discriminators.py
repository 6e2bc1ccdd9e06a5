"""The discriminators of GANs N' Roses: what they return, and what of it depends on the batch."""

import torch

from nigaoe_model.compared.gans_n_roses_architecture import GansNRosesArchitecture
from nigaoe_model.compared.gans_n_roses_discriminators import (
    GansNRosesDiscriminator,
    StyleDiscriminator,
    batch_deviation,
)

ARCHITECTURE = GansNRosesArchitecture(
    size=32, num_down=2, channels={4: 12, 8: 12, 16: 10, 32: 8}, latent_dim=4, local_size=16
)


def test_equal_rows_deviate_by_nothing() -> None:
    """Only the root of the epsilon is left; rows that differ deviate by what numpy would say."""
    rows = torch.randn(1, 6).expand(4, 6)
    torch.testing.assert_close(batch_deviation(rows), torch.full((1, 6), 1e-4))
    rows = torch.tensor([[1.0], [3.0]])
    torch.testing.assert_close(batch_deviation(rows), torch.ones(1, 1))


def test_the_discriminator_has_three_outputs() -> None:
    """Patches, coarser patches, and one number for the whole batch."""
    torch.manual_seed(2)
    photos = torch.rand(4, 3, 32, 32) * 2 - 1
    local, overall, deviation = GansNRosesDiscriminator(ARCHITECTURE)(photos)
    assert (local.shape, overall.shape, deviation.shape) == ((4, 1, 16, 16), (4, 1, 8, 8), (4, 1))
    assert deviation.unique().numel() == 1


def test_towers_may_compute_in_another_type() -> None:
    """Logits keep the pictures' own; a deviation is never computed in less than 32 bits, where it would round to 0."""
    torch.manual_seed(2)
    discriminator, photos = GansNRosesDiscriminator(ARCHITECTURE), torch.rand(4, 3, 32, 32) * 2 - 1
    exact = discriminator(photos)
    discriminator.reduced_dtype = torch.float64
    found = discriminator(photos)
    assert {output.dtype for output in found} == {torch.float32}
    torch.testing.assert_close(found, exact, atol=1e-4, rtol=1e-3)
    rows = torch.randn(4, 6).bfloat16()
    torch.testing.assert_close(batch_deviation(rows), batch_deviation(rows.float()))
    assert batch_deviation(rows[:1].expand(4, -1)).dtype == torch.float32


def test_only_the_deviation_looks_at_the_batch() -> None:
    """Equal pictures are judged otherwise than different ones, and patches do not know their neighbours."""
    torch.manual_seed(2)
    discriminator, photos = GansNRosesDiscriminator(ARCHITECTURE), torch.rand(4, 3, 32, 32) * 2 - 1
    mixed, equal = discriminator(photos), discriminator(photos[:1].expand(4, -1, -1, -1))
    for output in (0, 1):
        torch.testing.assert_close(mixed[output][0], equal[output][0], atol=1e-5, rtol=1e-5)
    assert (mixed[2] - equal[2]).abs().max() > 1e-3
    torch.testing.assert_close(equal[2], discriminator(photos[1:2].expand(4, -1, -1, -1))[2])


def test_the_style_discriminator_knows_a_batch_without_variety() -> None:
    """A code is judged otherwise among equal codes than among different ones."""
    torch.manual_seed(3)
    discriminator, codes = StyleDiscriminator(8), torch.randn(4, 8)
    logits = discriminator(codes)
    assert logits.shape == (4, 1)
    assert (logits[0] - discriminator(codes[:1].expand(4, -1))[0]).abs() > 1e-3
