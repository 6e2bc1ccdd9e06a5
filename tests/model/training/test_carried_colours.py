"""Drawings that keep who is darker and who is redder, whatever the style's palette is."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from nigaoe_core.errors import TrainingError
from nigaoe_model.stylegan2.checkpoint import Checkpoint
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.training.carried_colours import CarriedColours
from nigaoe_model.training.config import ColourSettings, TrainingConfig
from nigaoe_model.training.dataset import PackedDataset
from nigaoe_model.training.distributed import Team
from nigaoe_model.training.networks import build_child
from nigaoe_model.training.plan import GeneratorPlan
from nigaoe_model.training.run import train_generator
from nigaoe_model.training.run_inputs import Starts
from nigaoe_model.training.step import Aids
from nigaoe_model.training.trainer import GeneratorTrainer

ALONE = Team(0, 1, torch.device("cpu"))


def step_of(trainer: GeneratorTrainer) -> dict[str, float]:
    """Make one step; its losses."""
    trainer.step()
    return trainer.take_losses()


@pytest.fixture
def ws(tiny_generator: Generator) -> Tensor:
    """Latents of eight persons."""
    z = torch.randn(8, tiny_generator.architecture.z_dim, generator=torch.Generator().manual_seed(3))
    mapping = tiny_generator.mapping
    return mapping.broadcast(mapping(z)).detach()


def test_the_palette_does_not_matter_and_the_order_of_people_does(tiny_generator: Generator, ws: Tensor) -> None:
    """Paler drawings of the same people cost nothing, negatives everything, drawings of others about one."""
    colours = CarriedColours(tiny_generator, side=4)
    persons = tiny_generator.draw_image(ws).detach()
    assert colours.loss(ws, 0.5 * persons + 0.3) == pytest.approx(0.0, abs=0.05)
    assert colours.loss(ws, -persons) == pytest.approx(2.0, abs=0.05)
    assert 0.5 < colours.loss(ws, persons.roll(1, dims=0)) < 1.6


def test_only_the_drawing_learns(tiny_generator: Generator, ws: Tensor) -> None:
    """The person is what it is; gradients go to the drawing alone."""
    drawings = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(4)).requires_grad_()
    CarriedColours(tiny_generator, side=4).loss(ws, drawings).backward()
    assert drawings.grad is not None
    assert drawings.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in tiny_generator.parameters())


def test_a_fine_tune_learns_to_transfer_colours(
    tiny_config: TrainingConfig, tiny_dataset: PackedDataset, parent: Checkpoint
) -> None:
    """Drawings come to correlate with the persons, and what is frozen stays the parent's, bit by bit."""
    networks = build_child(parent, Starts(), ALONE.device, trainable_blocks=1, freeze_d=0, seed=1)
    changes = {
        "freeze": {"trainable_blocks": 1},
        "colours": {"weight": 50.0, "side": 4},
        "optimiser": {"generator_lr": 0.02},
    }
    config = type(tiny_config).model_validate(tiny_config.model_dump() | changes)
    person = parent.build_generator()
    with torch.no_grad():
        for name, weight in person.named_parameters():
            # Draws negatives, so that there is everything to learn; styles that turned, too, would cancel it.
            weight.mul_(-1.0 if "torgb" in name and "affine" not in name else 1.0)
    trainer = GeneratorTrainer(config, tiny_dataset, networks, ALONE, Aids(person=person))
    carried = [step_of(trainer)["colours"] for _ in range(40)]
    assert carried[0] > 1.5
    assert np.mean(carried[-5:]) < 0.8 * np.mean(carried[:5])
    state = networks.generator.state_dict()
    frozen = set(state) - set(networks.generator_parameters)
    assert all(torch.equal(state[name], parent.generator[name].float()) for name in frozen)


def test_a_base_run_has_nobody_to_take_colours_from(
    tiny_config: TrainingConfig, tiny_dataset: PackedDataset, tmp_path: Path
) -> None:
    """The message says which command the setting is for."""
    config = tiny_config.model_copy(update={"colours": ColourSettings(weight=1.0)})
    with pytest.raises(TrainingError, match="nigaoe finetune"):
        train_generator(GeneratorPlan(config=config, dataset=tiny_dataset.folder, folder=tmp_path / "run"))
