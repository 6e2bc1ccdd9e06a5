"""Two data sets that go together, and photos that are never learned from."""

from pathlib import Path

import numpy as np
import pytest
import torch

from nigaoe_core.errors import TrainingError
from nigaoe_model.training.dataset import IMAGES, DatasetCard, PackedDataset, to_unit_range, write_card
from nigaoe_model.training.methods.domains import Domains

CPU = torch.device("cpu")


def few_photos(folder: Path, count: int) -> PackedDataset:
    """Grey pictures of 16 px."""
    folder.mkdir()
    (folder / IMAGES).write_bytes(bytes(count * 3 * 16 * 16))
    write_card(folder, DatasetCard(name=folder.name, resolution=16, count=count))
    return PackedDataset(folder)


def test_no_photo_that_is_held_out_is_ever_shown(domains: Domains) -> None:
    """Three epochs show the first 36 photos, each three times; the last four come in scores alone, in turns."""
    source = domains.photo_source(4, seed=0, device=CPU)
    shown = []
    for images_seen in range(0, 3 * domains.shown, 4):
        source.prepare(images_seen)
        shown.append(source.batch().clone())
    shown_pixels = torch.cat(shown).numpy()
    times = [(shown_pixels == picture).all(axis=(1, 2, 3)).sum() for picture in domains.photos.pixels]
    assert times == [3] * 36 + [0] * 4
    kept = to_unit_range(torch.from_numpy(np.array(domains.photos.pixels[-4:])))
    assert torch.equal(domains.held_out_photos(0, 10), kept.repeat(3, 1, 1, 1)[:10])


def test_other_photos_may_be_held_out(tiny_dataset: PackedDataset, domains: Domains, tmp_path: Path) -> None:
    """Then all photos are shown."""
    others = few_photos(tmp_path / "others", 3)
    named = Domains.opened(tiny_dataset.folder, domains.anime.folder, others.folder, 256)
    assert (named.shown, named.kept) == (40, 3)
    assert named.held_out_photos(2, 2).shape == (2, 3, 16, 16)
    assert named.names == ("gradients", "anime")


def test_photos_and_anime_come_in_orders_of_their_own(tiny_dataset: PackedDataset) -> None:
    """Were they the same, every photo would meet the same anime face in every epoch."""
    twice = Domains.of(tiny_dataset, tiny_dataset, tiny_dataset)
    sources = [source(40, 3, CPU) for source in (twice.photo_source, twice.anime_source)]
    for source in sources:
        source.prepare(0)
    first, second = (source.batch() for source in sources)
    assert not torch.equal(first, second)
    assert sorted(map(torch.sum, first)) == sorted(map(torch.sum, second))


def test_sizes_must_agree(domains: Domains, larger_dataset: PackedDataset, tmp_path: Path) -> None:
    """The message names both folders and the way out; so does the one of too few photos."""
    with pytest.raises(TrainingError, match=r"larger.* has 32 px and .*gradients.* 16 px"):
        Domains.of(domains.photos, larger_dataset, 4)
    with pytest.raises(TrainingError, match="--resolution"):
        Domains.of(domains.photos, domains.anime, larger_dataset)
    with pytest.raises(TrainingError, match="--held-out"):
        Domains.of(few_photos(tmp_path / "few", 9), domains.anime, 4)
