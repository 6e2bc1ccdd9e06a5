"""Whole runs of a Swapping Autoencoder: what they leave, and what a failure leaves."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nigaoe_core.errors import TrainingError
from nigaoe_model.compared.swapping_autoencoder_checkpoint import load_swapping_autoencoder
from nigaoe_model.training.config import change_config
from nigaoe_model.training.methods.domains import Domains
from nigaoe_model.training.methods.run import train_method
from nigaoe_model.training.methods.trainer import MethodTrainer
from nigaoe_model.training.plan import STATE, SwappingAutoencoderPlan
from nigaoe_model.training.run_log import read_log
from nigaoe_model.training.run_state import Progress, load_state
from nigaoe_model.training.swapping_autoencoder.config import SwappingAutoencoderConfig
from nigaoe_model.training.swapping_autoencoder.step import SwappingAutoencoderStep

Make = Callable[..., tuple[MethodTrainer, SwappingAutoencoderStep]]


@pytest.fixture
def short(brisk: SwappingAutoencoderConfig, domains: Domains, tmp_path: Path) -> SwappingAutoencoderPlan:
    """A run of six steps."""
    config = change_config(brisk, {"total_images": 48, "held_out": domains.kept})
    return SwappingAutoencoderPlan(
        config=config, dataset=domains.photos.folder, anime=domains.anime.folder, folder=tmp_path / "run"
    )


def changed(plan: SwappingAutoencoderPlan, **changes: object) -> SwappingAutoencoderPlan:
    """The plan with some settings changed."""
    named = {name.replace("__", "."): value for name, value in changes.items()}
    return plan.model_copy(update={"config": change_config(plan.config, named)})


def test_a_run_leaves_what_people_need(short: SwappingAutoencoderPlan) -> None:
    """Config, log, sheets, the best and the latest weights; going on with a finished run changes nothing."""
    plan = changed(short, cadence__grid_images=24, cadence__score_images=48)
    train_method(plan)
    assert SwappingAutoencoderPlan.read(plan.folder).config == plan.config
    assert sorted(path.name for path in (plan.folder / "grids").iterdir()) == ["000000024.png", "000000048.png"]
    lines = read_log(plan.folder)
    assert {"g_reconstruction", "g_mix", "g_patches", "d_real", "d_patches"} <= lines[0].keys()
    score = next(line["fd_effnet"] for line in lines if "fd_effnet" in line)
    best = load_swapping_autoencoder(plan.folder / "best.safetensors").card.training.metrics["FD-effnet"]
    assert best == pytest.approx(score, rel=1e-4)
    weights = (plan.folder / "latest.safetensors").read_bytes()
    assert train_method(SwappingAutoencoderPlan.read(plan.folder)).images_seen == 48
    again = load_swapping_autoencoder(plan.folder / "latest.safetensors")
    (plan.folder / "before.safetensors").write_bytes(weights)
    assert again.digest == load_swapping_autoencoder(plan.folder / "before.safetensors").digest


def test_a_step_that_fails_leaves_the_last_state_and_weights(short: SwappingAutoencoderPlan) -> None:
    """What was saved stays in every byte, and the run goes on from it once the fault is mended."""
    train_method(short)
    kept = {name: (short.folder / name).read_bytes() for name in (STATE, "latest.safetensors")}
    longer = changed(SwappingAutoencoderPlan.read(short.folder), total_images=80)

    def fail(progress: Progress) -> None:
        if progress.steps == 8:
            raise MemoryError("no memory is left")

    with pytest.raises(MemoryError):
        train_method(longer, watch=fail)
    assert {name: (short.folder / name).read_bytes() for name in kept} == kept
    assert train_method(longer).images_seen == 80


@pytest.mark.parametrize("side", ["autoencoder", "judges"])
def test_numbers_that_are_not_finite_end_the_run(short: SwappingAutoencoderPlan, made: Make, side: str) -> None:
    """Adam leaves such steps out, and the run says so."""
    train_method(short)
    trainer, body = made(total_images=80)
    saved = load_state(short.folder)
    assert saved is not None
    trainer.restore(*saved)
    bias = {"autoencoder": body.networks.generator.to_rgb.bias, "judges": body.networks.discriminator.out.bias}[side]
    assert bias is not None
    bias.data.fill_(float("nan"))
    moments = {name: tensor.clone() for name, tensor in trainer.tensors().items() if ".adam." in name}
    assert moments
    for _ in range(2):
        trainer.step()
    with pytest.raises(TrainingError, match="infinite"):
        trainer.take_losses()
    after = trainer.tensors()
    assert [name for name, tensor in moments.items() if not torch.equal(tensor, after[name])] == []
