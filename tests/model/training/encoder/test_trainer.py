"""The encoder's step: reproducible, resumable, and it learns what it is taught."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from processors import needs_bf16
from tape import TapeRecorder

from nigaoe_core.errors import TrainingError
from nigaoe_model.stylegan2.checkpoint import tensor_digest
from nigaoe_model.training.encoder.config import ComputeSettings, OptimiserSettings
from nigaoe_model.training.encoder.trainer import EncoderTrainer, learning_rate_at
from nigaoe_model.training.run_state import load_state, save_state

Make = Callable[..., EncoderTrainer]


def step_of(trainer: EncoderTrainer) -> dict[str, float]:
    """Make one step; its losses."""
    trainer.step()
    return trainer.take_losses()


def test_a_resumed_run_makes_the_same_steps(trainer_for: Make, tmp_path: Path) -> None:
    """Four steps at once, or two, a state on disk, and two more by somebody else: the same in every bit."""
    through, first, second = trainer_for(), trainer_for(), trainer_for()
    losses = [step_of(through) for _ in range(4)]
    assert [step_of(first) for _ in range(2)] == losses[:2]
    save_state(tmp_path, first.progress, first.tensors())
    saved = load_state(tmp_path)
    assert saved is not None
    second.restore(*saved)
    assert [step_of(second) for _ in range(2)] == losses[2:]
    assert tensor_digest(second.tensors()) == tensor_digest(through.tensors())
    assert second.progress.images_seen == 32


@pytest.mark.slow
def test_photos_teach_through_the_generator(trainer_for: Make) -> None:
    """Without any known latent the pictures come nearer."""
    trainer = trainer_for(photo_share=1.0)
    losses = [step_of(trainer) for _ in range(60)]
    assert "code" not in losses[0]
    assert sum(line["distance"] for line in losses[-10:]) < 0.97 * sum(line["distance"] for line in losses[:10])


@needs_bf16
def test_a_step_may_compute_in_sixteen_bits(trainer_for: Make) -> None:
    """The losses of the first step stay close, and the weights stay in full precision."""
    exact, short = (
        trainer_for(compute=ComputeSettings(device="cpu", threads=1, precision=name)) for name in ("fp32", "bf16")
    )
    losses = [step_of(trainer) for trainer in (exact, short)]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
    assert losses[1] != losses[0]
    assert {parameter.dtype for parameter in short.learner.network.parameters()} == {torch.float32}


def test_the_average_follows_the_network(trainer_for: Make) -> None:
    """It moves, and lags behind."""
    trainer = trainer_for(photos=False)
    start = {name: p.clone() for name, p in trainer.learner.average.named_parameters()}
    for _ in range(5):
        trainer.step()
    moved = dict(trainer.learner.average.named_parameters())["heads.weight"]
    network = dict(trainer.learner.network.named_parameters())["heads.weight"]
    assert not torch.equal(moved, start["heads.weight"])
    assert not torch.equal(moved, network)


def test_a_broken_loss_ends_the_run(trainer_for: Make) -> None:
    """Not a number is never taken in by Adam, and told with the next losses."""
    trainer = trainer_for(photos=False)
    trainer.step()
    before = {name: tensor.clone() for name, tensor in trainer.tensors().items() if name.startswith("adam.")}
    trainer.learner.network.stem.bias.data.fill_(float("nan"))
    trainer.step()
    with pytest.raises(TrainingError, match="learning_rate"):
        trainer.take_losses()
    after = trainer.tensors()
    assert [name for name, tensor in before.items() if not torch.equal(tensor, after[name])] == []


def test_replayed_steps_are_eager_ones(trainer_for: Make) -> None:
    """A dozen steps from a tape, while the rate falls and the average's decay ramps up: equal in every bit."""
    changes = {
        "optimiser": OptimiserSettings(learning_rate=5e-3, warm_up_images=40, schedule="cosine"),
        "variation": 0.5,
        "total_images": 200,
    }
    eager, recorded = trainer_for(**changes), trainer_for(recorder=TapeRecorder(), **changes)
    losses = [[step_of(trainer) for _ in range(12)] for trainer in (eager, recorded)]
    assert losses[0] == losses[1]
    assert recorded.recordings.records
    assert tensor_digest(eager.tensors()) == tensor_digest(recorded.tensors())


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
