"""Reconstruction: real pictures are guessed and drawn again, and both networks learn from how they differ."""

from pathlib import Path

import pytest
import torch

from nigaoe_model.inversion.encoder.architecture import encoder_architecture
from nigaoe_model.inversion.encoder.checkpoint import start_encoder
from nigaoe_model.portrait.pair import load_generator
from nigaoe_model.stylegan2.checkpoint import load_checkpoint
from nigaoe_model.stylegan2.latent_statistics import measure_latents
from nigaoe_model.training.config import TrainingConfig
from nigaoe_model.training.dataset import PackedDataset
from nigaoe_model.training.distributed import Team
from nigaoe_model.training.networks import build_networks
from nigaoe_model.training.plan import GeneratorPlan
from nigaoe_model.training.reconstruction import REFRESH_STEPS
from nigaoe_model.training.run import train_generator
from nigaoe_model.training.run_inputs import Starts
from nigaoe_model.training.run_log import read_log
from nigaoe_model.training.run_state import load_state, save_state
from nigaoe_model.training.step import Aids
from nigaoe_model.training.trainer import GeneratorTrainer

ALONE = Team(0, 1, torch.device("cpu"))


def step_of(trainer: GeneratorTrainer) -> dict[str, float]:
    """Make one step; its losses."""
    trainer.step()
    return trainer.take_losses()


@pytest.fixture
def redrawing(tiny_config: TrainingConfig) -> TrainingConfig:
    """The tiny run with reconstruction, and no other aid."""
    return tiny_config.model_validate(tiny_config.model_dump() | {"reconstruction": {"weight": 3.0}})


def trainer_of(config: TrainingConfig, dataset: PackedDataset) -> GeneratorTrainer:
    networks = build_networks(config.architecture, Starts(), ALONE.device, seed=0)
    if not config.reconstruction.weight:
        return GeneratorTrainer(config, dataset, networks, ALONE)
    torch.manual_seed(0)
    encoder = start_encoder(encoder_architecture(config.architecture), measure_latents(networks.generator))
    return GeneratorTrainer(config, dataset, networks, ALONE, Aids(encoder=encoder))


def test_pictures_drawn_again_come_nearer_to_themselves(redrawing: TrainingConfig, tiny_dataset: PackedDataset) -> None:
    """After a hundred small steps the codes of real pictures draw something more like them."""
    trainer = trainer_of(redrawing, tiny_dataset)
    distances = [step_of(trainer)["distance"] for _ in range(100)]
    assert sum(distances[-10:]) < 0.9 * sum(distances[:10])


def test_it_teaches_the_encoder_and_the_synthesis_but_not_the_mapping(
    redrawing: TrainingConfig, tiny_dataset: PackedDataset
) -> None:
    """Codes come from the encoder; where styles lie is the adversary's business."""
    trainer = trainer_of(redrawing, tiny_dataset)
    assert trainer.body.reconstruction is not None
    trainer.images.prepare(0)
    real = trainer.body.real_batch()
    drawn = trainer.body.draw_batch(real)
    assert drawn.redrawn is not None
    trainer.body.reconstruction.loss(real, drawn.redrawn, drawn.fake)["reconstruction"].backward()
    generator = trainer.networks.generator
    assert not any(p.grad.any() for p in generator.mapping.parameters() if p.grad is not None)
    assert all(p.grad is not None for n, p in generator.synthesis.named_parameters() if "noise_strength" not in n)
    assert all(p.grad is not None for p in trainer.body.reconstruction.learner.network.heads.parameters())


@pytest.mark.parametrize(("in_w", "alike"), [(0.0, 0), (0.5, 1), (1.0, 2)])
def test_a_share_of_the_codes_has_one_style_for_all_layers(
    redrawing: TrainingConfig, tiny_dataset: PackedDataset, in_w: float, alike: int
) -> None:
    """They lie in W, where a plain sample is drawn from; the others lie beside it."""
    settings = redrawing.reconstruction.model_copy(update={"in_w": in_w})
    trainer = trainer_of(redrawing.model_copy(update={"reconstruction": settings}), tiny_dataset)
    assert trainer.body.reconstruction is not None
    torch.nn.init.normal_(trainer.body.reconstruction.learner.network.heads.weight)
    trainer.images.prepare(0)
    redrawn = trainer.body.draw_batch(trainer.body.real_batch()).redrawn
    assert redrawn is not None
    codes = redrawn.w_plus
    assert len(codes) == 2  # half of the batch of four
    assert int((codes == codes[:, :1]).all(dim=(1, 2)).sum()) == alike


def test_a_resumed_run_goes_on_in_every_bit(
    redrawing: TrainingConfig, tiny_dataset: PackedDataset, tmp_path: Path
) -> None:
    """Encoder, its average, its Adam and the priors come back, also across a new measurement of w."""
    whole = trainer_of(redrawing, tiny_dataset)
    whole.progress.steps = REFRESH_STEPS - 2
    for _ in range(4):
        step_of(whole)
    save_state(tmp_path, whole.progress, whole.tensors())
    expected = [step_of(whole) for _ in range(3)]
    resumed = trainer_of(redrawing, tiny_dataset)
    resumed.restore(*load_state(tmp_path))
    assert [step_of(resumed) for _ in range(3)] == expected
    for name, tensor in whole.tensors().items():
        assert torch.equal(tensor, resumed.tensors()[name]), name


def test_it_may_be_switched_on_later(
    tiny_config: TrainingConfig, redrawing: TrainingConfig, tiny_dataset: PackedDataset, tmp_path: Path
) -> None:
    """A run that had no encoder goes on with a new one."""
    plain = trainer_of(tiny_config, tiny_dataset)
    plain.step()
    save_state(tmp_path, plain.progress, plain.tensors())
    later = trainer_of(redrawing, tiny_dataset)
    later.restore(*load_state(tmp_path))
    assert later.progress.steps == 1
    assert step_of(later)["distance"] > 0


def test_a_run_leaves_the_encoder_beside_its_generator(
    redrawing: TrainingConfig, tiny_dataset: PackedDataset, tmp_path: Path
) -> None:
    """The file fits the generator it was written with, so that searches may start from it at once."""
    config = redrawing.model_copy(update={"total_images": 8})
    train_generator(GeneratorPlan(config=config, dataset=tiny_dataset.folder, folder=tmp_path))
    loaded = load_generator(tmp_path / "latest.safetensors", encoder=tmp_path / "latest-encoder.safetensors")
    assert loaded.encoder is not None
    assert loaded.encoder.card.name == "g_ori-encoder"
    assert "distance" in read_log(tmp_path)[0]


def test_a_style_draws_its_own_pictures_again_and_keeps_what_is_frozen(
    redrawing: TrainingConfig, tiny_dataset: PackedDataset, tmp_path: Path
) -> None:
    """A fine-tune's codes lie in its parent's latent space, and only its last blocks learn to draw them."""
    short = redrawing.model_copy(update={"total_images": 8})
    train_generator(GeneratorPlan(config=short, dataset=tiny_dataset.folder, folder=tmp_path / "base"))
    base = tmp_path / "base" / "latest.safetensors"
    config = redrawing.model_validate(
        redrawing.model_dump() | {"freeze": {"trainable_blocks": 1}, "architecture": None, "total_images": 16}
    )
    train_generator(GeneratorPlan(config=config, dataset=tiny_dataset.folder, folder=tmp_path / "style", parent=base))
    parent, child = load_checkpoint(base), load_checkpoint(tmp_path / "style" / "latest.safetensors")
    learned = {name for name, tensor in child.generator.items() if not torch.equal(tensor, parent.generator[name])}
    assert learned
    assert all(".b16." in name for name in learned)
    assert "distance" in read_log(tmp_path / "style")[0]
