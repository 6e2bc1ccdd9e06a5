"""Which pictures stand beside each other."""

import numpy as np
import torch
from torch import Tensor

from nigaoe_model.training.config import change_config
from nigaoe_model.training.dataset import PackedDataset, to_unit_range
from nigaoe_model.training.methods.domains import Domains
from nigaoe_model.training.swapping_autoencoder.config import SwappingAutoencoderConfig
from nigaoe_model.training.swapping_autoencoder.pairs import PairedPictures

CPU = torch.device("cpu")


def numbers(pictures: Tensor, dataset: PackedDataset) -> list[int]:
    """Number of each picture in a data set; -1 where it is of none."""
    known = to_unit_range(torch.from_numpy(np.array(dataset.pixels)))
    same = (pictures[:, None] == known[None]).flatten(2).all(dim=2)
    return [int(row.nonzero()[0]) if row.any() else -1 for row in same]


def test_every_other_pair_has_an_anime_face(brisk: SwappingAutoencoderConfig, domains: Domains) -> None:
    """Photo, photo; photo, anime; and over an epoch every photo that is not held out comes once."""
    pairs = PairedPictures(change_config(brisk, {"pairs.x_flip": False}), domains, CPU)
    photos: list[int] = []
    for step in range(6):
        pairs.prepare(step)
        batch = pairs.batch()
        of_photos, of_anime = numbers(batch, domains.photos), numbers(batch, domains.anime)
        assert [number >= 0 for number in of_anime] == [False, False, False, True] * 2
        assert [number >= 0 for number in of_photos] == [True, True, True, False] * 2
        photos += [number for number in of_photos if number >= 0]
    assert sorted(photos) == list(range(domains.shown))


def test_half_of_the_pictures_are_mirrored(brisk: SwappingAutoencoderConfig, domains: Domains) -> None:
    """Each by its own chance, which the step's seed decides."""
    straight = PairedPictures(change_config(brisk, {"pairs.x_flip": False}), domains, CPU)
    mirrored = PairedPictures(brisk, domains, CPU)
    torch.manual_seed(0)
    turned = 0
    for step in range(20):
        for pairs in (straight, mirrored):
            pairs.prepare(step)
        plain, shown = straight.batch(), mirrored.batch()
        for before, after in zip(plain, shown, strict=True):
            turned += torch.equal(after, before.flip(2))
            assert torch.equal(after, before) or torch.equal(after, before.flip(2))
    assert 50 < turned < 110


def test_a_run_that_goes_on_shows_what_it_would_have_shown(brisk: SwappingAutoencoderConfig, domains: Domains) -> None:
    """The step alone says which pictures come."""
    config = change_config(brisk, {"pairs.x_flip": False})
    through, later = PairedPictures(config, domains, CPU), PairedPictures(config, domains, CPU)
    for step in range(8):
        through.prepare(step)
    later.prepare(7)
    assert torch.equal(through.batch(), later.batch())
