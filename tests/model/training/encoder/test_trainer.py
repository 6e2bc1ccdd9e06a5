"""The encoder's step: reproducible, resumable, and it learns what it is taught."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from processors import needs_bf16

from core.errors import TrainingError
from model.checkpoint import tensor_digest
from model.training.encoder.config import ComputeSettings, OptimiserSettings
from model.training.encoder.trainer import EncoderTrainer, learning_rate_at
from model.training.run_state import load_state, save_state

Make = Callable[..., EncoderTrainer]


def test_a_resumed_run_makes_the_same_steps(trainer_for: Make, tmp_path: Path) -> None:
    """Four steps at once, or two, a state on disk, and two more by somebody else: the same in every bit."""
    through, first, second = trainer_for(), trainer_for(), trainer_for()
    losses = [through.step() for _ in range(4)]
    assert [first.step() for _ in range(2)] == losses[:2]
    save_state(tmp_path, first.progress, first.tensors())
    saved = load_state(tmp_path)
    assert saved is not None
    second.restore(*saved)
    assert [second.step() for _ in range(2)] == losses[2:]
    assert tensor_digest(second.tensors()) == tensor_digest(through.tensors())
    assert second.progress.images_seen == 32


@pytest.mark.slow
def test_photos_teach_through_the_generator(trainer_for: Make) -> None:
    """Without any known latent the pictures come nearer."""
    trainer = trainer_for(photo_share=1.0)
    losses = [trainer.step() for _ in range(60)]
    assert "code" not in losses[0]
    assert sum(line["distance"] for line in losses[-10:]) < 0.97 * sum(line["distance"] for line in losses[:10])


@needs_bf16
def test_a_step_may_compute_in_sixteen_bits(trainer_for: Make) -> None:
    """The losses of the first step stay close, and the weights stay in full precision."""
    exact, short = (
        trainer_for(compute=ComputeSettings(device="cpu", threads=1, precision=name)) for name in ("fp32", "bf16")
    )
    losses = [trainer.step() for trainer in (exact, short)]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
    assert losses[1] != losses[0]
    assert {parameter.dtype for parameter in short.network.parameters()} == {torch.float32}


def test_the_average_follows_the_network(trainer_for: Make) -> None:
    """It moves, and lags behind."""
    trainer = trainer_for(photos=False)
    start = {name: p.clone() for name, p in trainer.average.named_parameters()}
    for _ in range(5):
        trainer.step()
    moved = dict(trainer.average.named_parameters())["heads.weight"]
    network = dict(trainer.network.named_parameters())["heads.weight"]
    assert not torch.equal(moved, start["heads.weight"])
    assert not torch.equal(moved, network)


def test_a_broken_loss_ends_the_run(trainer_for: Make) -> None:
    """Not a number is told before Adam's moments take it in."""
    trainer = trainer_for(photos=False)
    trainer.network.stem.bias.data.fill_(float("nan"))
    with pytest.raises(TrainingError, match="learning_rate"):
        trainer.step()


def test_a_state_of_another_network_is_refused(trainer_for: Make) -> None:
    """The shapes must agree."""
    trainer = trainer_for()
    tensors = trainer.tensors()
    tensors["encoder.stem.bias"] = torch.zeros(3)
    with pytest.raises(TrainingError, match="another network"):
        trainer.restore(trainer.progress, tensors)


def test_the_rate_warms_up_and_runs_out() -> None:
    """Linear up, cosine down; constant stays."""
    cosine = OptimiserSettings(learning_rate=1.0, warm_up_images=100)
    assert learning_rate_at(cosine, 49, 1000) == pytest.approx(0.5, abs=0.01)
    assert learning_rate_at(cosine, 500, 1000) == pytest.approx(0.5)
    assert learning_rate_at(cosine, 1000, 1000) == pytest.approx(0)
    constant = OptimiserSettings(learning_rate=1.0, warm_up_images=0, schedule="constant")
    assert {learning_rate_at(constant, seen, 1000) for seen in (0, 500, 2000)} == {1.0}
