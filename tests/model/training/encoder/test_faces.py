"""What an encoder is shown: faces whose latents are known, and photos of which some are kept back."""

import pytest
import torch

from nigaoe_core.errors import TrainingError
from nigaoe_model.portrait.pair import LoadedGenerator
from nigaoe_model.training.dataset import PackedDataset
from nigaoe_model.training.encoder.config import OwnFaceSettings
from nigaoe_model.training.encoder.faces import Photos, check_framing, draw_known_faces, varied


def test_known_faces_are_what_their_latents_draw(tiny_g_ori: LoadedGenerator) -> None:
    """Up to the noise, which is another for every face."""
    for conv in (c for b in tiny_g_ori.generator.synthesis.blocks.values() for c in b.convs):
        conv.noise_strength.zero_()
    torch.manual_seed(0)
    faces = draw_known_faces(tiny_g_ori, 6, OwnFaceSettings())
    redrawn = tiny_g_ori.generator.draw_image(faces.w_plus).clamp(-1, 1)
    torch.testing.assert_close(faces.image, redrawn, atol=1e-5, rtol=1e-5)
    assert faces.image.shape == (6, 3, 16, 16)


def test_latents_lie_in_w_or_near_it(tiny_g_ori: LoadedGenerator) -> None:
    """Without mixing and jitter all layers share a style; mixing gives two; jitter moves each layer on its own."""
    styles = {}
    for mixing, jitter in ((0, 0), (1, 0), (0, 0.3)):
        torch.manual_seed(0)
        w_plus = draw_known_faces(tiny_g_ori, 4, OwnFaceSettings(style_mixing=mixing, jitter=jitter)).w_plus
        styles[mixing, jitter] = [len(row.unique(dim=0)) for row in w_plus]
    assert styles[0, 0] == [1] * 4
    assert styles[1, 0] == [2] * 4
    assert styles[0, 0.3] == [tiny_g_ori.card.architecture.num_ws] * 4


def shown_at(photos: Photos, photos_seen: int) -> torch.Tensor:
    """The twelve photos that follow."""
    photos.prepare(photos_seen, 12)
    return photos.batch()


def test_kept_photos_are_never_shown(tiny_g_ori: LoadedGenerator, tiny_dataset: PackedDataset) -> None:
    """At most a tenth is kept; over some epochs every other photo appears, as it is or mirrored."""
    photos = Photos(tiny_dataset, tiny_g_ori, held_out=64, seed=0)
    assert photos.shown == 36
    torch.manual_seed(0)
    shown = torch.cat([shown_at(photos, seen) for seen in range(0, 72, 12)])
    everything = tiny_dataset.pictures(torch.arange(40).numpy())
    matches = [
        bool(((shown == p).flatten(1).all(dim=1) | (shown == p.flip(2)).flatten(1).all(dim=1)).any())
        for p in everything
    ]
    assert matches == [True] * 36 + [False] * 4


def test_varied_photos_stay_photos() -> None:
    """Without an amount nothing changes; with one every photo changes in a way of its own, within a photo's range."""
    photos = torch.rand(4, 3, 16, 16) * 2 - 1
    torch.testing.assert_close(varied(photos, 0), photos, atol=1e-5, rtol=0)
    flat = varied(torch.zeros(4, 3, 16, 16), 1)
    assert flat.abs().max() <= 0.2
    assert len({tuple(row) for row in flat.mean(dim=(2, 3)).tolist()}) == 4
    changed = varied(photos, 1)
    assert changed.shape == photos.shape
    assert changed.abs().max() <= 1
    assert (changed - photos).abs().mean() > 0.05


def test_half_of_the_photos_are_varied(tiny_g_ori: LoadedGenerator, tiny_dataset: PackedDataset) -> None:
    """The others are shown as they are, or mirrored."""
    photos = Photos(tiny_dataset, tiny_g_ori, held_out=0, seed=0, variation=1)
    torch.manual_seed(0)
    shown = torch.cat([shown_at(photos, seen) for seen in range(0, 60, 12)])
    known = tiny_dataset.pictures(torch.arange(40).numpy())
    known = torch.cat([known, known.flip(3)])
    as_they_are = sum(bool((known == picture).flatten(1).all(dim=1).any()) for picture in shown)
    assert 15 < as_they_are < 45


def test_other_sizes_and_framings_are_refused(tiny_g_ori: LoadedGenerator, tiny_dataset: PackedDataset) -> None:
    """A generator's encoder must see photos as the service frames them."""
    check_framing(tiny_dataset, tiny_g_ori)
    card = tiny_dataset.card
    for change, word in (
        ({"resolution": 32}, "--resolution 16"),
        ({"alignment": card.alignment and card.alignment.model_copy(update={"zoom": 1.0})}, "alignment"),
    ):
        other = PackedDataset(tiny_dataset.folder)
        other.card = card.model_copy(update=change)
        with pytest.raises(TrainingError, match=word):
            check_framing(other, tiny_g_ori)
