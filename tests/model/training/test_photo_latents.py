"""Latents of photos: dealt as conversions meet them, stored without loss, refused elsewhere, drawn by a fine-tune."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nigaoe_core.errors import BrokenCheckpoint, ParentMismatch, TrainingError
from nigaoe_model.inversion.settings import InversionSettings
from nigaoe_model.portrait.pair import load_generator
from nigaoe_model.stylegan2.checkpoint import Checkpoint, save_checkpoint
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.training.config import TrainingConfig
from nigaoe_model.training.dataset import PackedDataset
from nigaoe_model.training.distributed import Team
from nigaoe_model.training.networks import build_child
from nigaoe_model.training.photo_latents import PhotoLatents, PhotoLatentsCard, find_photo_latents
from nigaoe_model.training.run_inputs import Starts
from nigaoe_model.training.scoring import Examiner
from nigaoe_model.training.step import Aids
from nigaoe_model.training.trainer import GeneratorTrainer

NUM_WS, W_DIM = 6, 8
ALONE = Team(0, 1, torch.device("cpu"))


def latents_of(generator_sha256: str = "a" * 64, *, count: int = 5) -> PhotoLatents:
    """Latents whose every layer says from which photo it comes: photo 3 is all threes."""
    w_plus = torch.arange(1.0, count + 1)[:, None, None].expand(count, NUM_WS, W_DIM).clone()
    card = PhotoLatentsCard(generator_sha256=generator_sha256, dataset="photos", steps=30)
    return PhotoLatents(card, w_plus, torch.zeros(NUM_WS, W_DIM))


def test_without_mixing_and_truncation_photos_are_dealt_as_found() -> None:
    """Every latent is one photo's, and in the long run all photos come."""
    torch.manual_seed(0)
    dealt = latents_of().deal(200, style_mixing=0.0, least_psi=1.0)
    assert dealt.shape == (200, NUM_WS, W_DIM)
    assert torch.equal(dealt, dealt[:, :1, :1].expand_as(dealt))
    assert set(dealt[:, 0, 0].tolist()) == {1.0, 2.0, 3.0, 4.0, 5.0}


def test_a_mixed_latent_has_coarse_layers_of_one_photo_and_fine_ones_of_another() -> None:
    """There is one seam at most, and it is never before the first layer."""
    torch.manual_seed(0)
    dealt = latents_of().deal(200, style_mixing=1.0, least_psi=1.0)[:, :, 0]
    seams = (dealt.diff(dim=1) != 0).sum(dim=1)
    assert seams.max() == 1
    assert (seams == 1).float().mean() > 0.5


@given(least_psi=st.floats(0, 1, allow_subnormal=False), seed=st.integers(0, 2**20))
def test_truncation_stays_between_its_bounds(least_psi: float, seed: int) -> None:
    """A latent lies between the mean face and the photo's own, no nearer to the mean than asked for."""
    torch.manual_seed(seed)
    latents = latents_of(count=1)
    psi = latents.deal(16, style_mixing=0.5, least_psi=least_psi)  # The only photo is all ones, the mean all zeros.
    assert psi.min() >= least_psi - 1e-6
    assert psi.max() <= 1 + 1e-6


def test_a_file_gives_back_what_was_found(parent: Checkpoint, tmp_path: Path) -> None:
    """Small whole numbers survive half precision exactly."""
    latents = latents_of(parent.digest)
    latents.save(tmp_path / "latents.safetensors")
    back = PhotoLatents.load(tmp_path / "latents.safetensors", parent)
    assert back.card == latents.card
    assert torch.equal(back.w_plus, latents.w_plus)
    assert torch.equal(back.mean, latents.mean)


def test_latents_of_another_generator_are_refused(parent: Checkpoint, tmp_path: Path) -> None:
    """They would mean other people here."""
    latents_of().save(tmp_path / "latents.safetensors")
    with pytest.raises(ParentMismatch, match="search the photos again"):
        PhotoLatents.load(tmp_path / "latents.safetensors", parent)


def test_a_file_of_something_else_is_refused(parent: Checkpoint, tmp_path: Path) -> None:
    """A generator's checkpoint is no bank of latents, and the message says how to make one."""
    save_checkpoint(parent, tmp_path / "g_ori.safetensors")
    with pytest.raises(BrokenCheckpoint, match="nigaoe data latents"):
        PhotoLatents.load(tmp_path / "g_ori.safetensors", parent)


def test_fixed_latents_are_the_same_each_time() -> None:
    """Two scores see the same drawings, and training's chance does not notice that somebody looked."""
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = latents_of().fixed(20, least_psi=0.5)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first, latents_of().fixed(20, least_psi=0.5))


def test_photos_decide_which_checkpoint_is_the_best(tiny_dataset: PackedDataset, tiny_generator: Generator) -> None:
    """Their drawings have a distance of their own, and the one of z stays what it was without them."""
    alone = Examiner(tiny_dataset, 16, ALONE).examine(tiny_generator)
    card = PhotoLatentsCard(generator_sha256="a" * 64, dataset="photos", steps=30)
    mean = tiny_generator.mapping.broadcast(tiny_generator.mapping.w_avg[None])[0]
    latents = PhotoLatents(card, mean + torch.randn(5, *mean.shape, generator=torch.Generator().manual_seed(0)), mean)
    score = Examiner(tiny_dataset, 16, ALONE, latents, least_psi=0.7).examine(tiny_generator)
    assert score.numbers["fd_effnet"] == pytest.approx(alone.numbers["fd_effnet"])
    assert score.verdict == score.numbers["fd_photos"] != score.numbers["fd_effnet"]
    assert alone.verdict == alone.numbers["fd_effnet"]
    assert "fd_photos" not in alone.numbers


def test_a_fine_tune_draws_them_and_keeps_what_is_frozen(
    tiny_config: TrainingConfig,
    tiny_dataset: PackedDataset,
    parent: Checkpoint,
) -> None:
    """Half of every batch is photos' latents; the trunk and the mapping network stay the parent's, bit by bit."""
    networks = build_child(parent, Starts(), ALONE.device, trainable_blocks=1, freeze_d=0, seed=1)
    config = type(tiny_config).model_validate(tiny_config.model_dump() | {"freeze": {"trainable_blocks": 1}})
    latents = latents_of(parent.digest)
    trainer = GeneratorTrainer(config, tiny_dataset, networks, ALONE, Aids(photo_latents=latents))
    shown = trainer.body.shown_styles()
    of_photos = torch.isin((shown / shown[:, :1, :1])[:, :, 0].sum(dim=1).round(decimals=4), torch.tensor([6.0]))
    assert len(shown) == config.batch
    assert of_photos[config.batch // 2 :].any()
    for _ in range(4):
        trainer.step()
    state = networks.generator.state_dict()
    frozen = set(state) - set(networks.generator_parameters)
    assert all(torch.equal(state[name], parent.generator[name].float()) for name in frozen)
    assert not torch.equal(
        state["synthesis.blocks.b16.conv1.conv.weight"], parent.generator["synthesis.blocks.b16.conv1.conv.weight"]
    )


def test_photos_are_found_where_the_generator_draws_them_best(
    tiny_dataset: PackedDataset,
    parent: Checkpoint,
    tmp_path: Path,
) -> None:
    """One latent a photo, tied to the generator, and progress for each; how many are searched at once changes none."""
    save_checkpoint(parent, tmp_path / "g_ori.safetensors")
    loaded = load_generator(tmp_path / "g_ori.safetensors")
    done: list[int] = []
    found = find_photo_latents(loaded, tiny_dataset, InversionSettings(steps=2), count=9, report=done.append)
    assert found.w_plus.shape == (9, loaded.card.architecture.num_ws, loaded.card.architecture.w_dim)
    assert done == list(range(1, 10))
    assert found.card.generator_sha256 == parent.digest
    assert len(torch.unique(found.w_plus.flatten(1), dim=0)) == 9
    one_by_one = find_photo_latents(loaded, tiny_dataset, InversionSettings(steps=2), count=9, width=1)
    torch.testing.assert_close(one_by_one.w_plus, found.w_plus)


def test_a_search_that_is_stopped_keeps_what_it_found(
    parent: Checkpoint, tiny_dataset: PackedDataset, tmp_path: Path
) -> None:
    """No further photo is begun; those under way are finished and are the first of what a whole search finds."""
    save_checkpoint(parent, tmp_path / "g_ori.safetensors")
    loaded, settings = load_generator(tmp_path / "g_ori.safetensors"), InversionSettings(steps=2)
    done: list[int] = []
    few = find_photo_latents(
        loaded, tiny_dataset, settings, count=9, width=2, report=done.append, stop=lambda: len(done) >= 2
    )
    assert 2 <= len(few) < 9
    whole = find_photo_latents(loaded, tiny_dataset, settings, count=9, width=2)
    torch.testing.assert_close(few.w_plus, whole.w_plus[: len(few)])
    with pytest.raises(TrainingError, match="more time"):
        find_photo_latents(loaded, tiny_dataset, settings, count=9, stop=lambda: True)
