"""A found face as a file."""

from contextlib import suppress

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nigaoe_core.errors import BrokenCheckpoint, ParentMismatch
from nigaoe_model.portrait.pair import LoadedGenerator
from nigaoe_model.portrait.stored_latent import LatentCard, StoredLatent


def latent(digest: str = "a" * 64, *, with_noise: bool = True) -> StoredLatent:
    random = torch.Generator().manual_seed(0)
    noise = tuple(torch.randn(1, 4 * 2**i, 4 * 2**i, generator=random) for i in range(3)) if with_noise else None
    card = LatentCard(generator_sha256=digest, method="cross", style="anime", distance=0.25, steps=100)
    return StoredLatent(card, torch.randn(6, 8, generator=random), noise)


@pytest.mark.parametrize("with_noise", [True, False])
def test_writing_and_reading_is_the_identity(with_noise: bool) -> None:
    """Latent, noise maps in their order, and card."""
    original = latent(with_noise=with_noise)
    again = StoredLatent.from_bytes(original.to_bytes())
    assert again.card == original.card
    assert torch.equal(again.w_plus, original.w_plus)
    assert (again.noise is None) == (original.noise is None)
    for a, b in zip(again.noise or (), original.noise or (), strict=True):
        assert torch.equal(a, b)


@given(st.data())
def test_damage_is_told_and_never_crashes(data: st.DataObject) -> None:
    """Cut or flip bytes anywhere in the header: a latent, or one clear error."""
    whole = latent(with_noise=False).to_bytes()
    place = data.draw(st.integers(0, min(len(whole), 400) - 1))
    damaged = bytearray(whole[: data.draw(st.sampled_from([len(whole), place]))])
    if place < len(damaged):
        damaged[place] ^= data.draw(st.integers(1, 255))
    with suppress(BrokenCheckpoint):
        StoredLatent.from_bytes(bytes(damaged))


def test_a_latent_of_another_generator_is_refused(tiny_g_ori: LoadedGenerator) -> None:
    """After the weights were replaced, old latents mean other faces."""
    latent(tiny_g_ori.digest).check_generator(tiny_g_ori)
    with pytest.raises(ParentMismatch, match="convert the photo again"):
        latent().check_generator(tiny_g_ori)
