"""What an examination says of an encoder that knows nothing, and of one that learned."""

from collections.abc import Callable

import pytest
import torch

from nigaoe_model.stylegan2.checkpoint import tensor_digest
from nigaoe_model.training.dataset import PackedDataset
from nigaoe_model.training.encoder.config import OwnFaceSettings
from nigaoe_model.training.encoder.examination import EncoderExaminer
from nigaoe_model.training.encoder.trainer import EncoderTrainer


def examiner_of(trainer: EncoderTrainer, photos: torch.Tensor | None) -> EncoderExaminer:
    return EncoderExaminer(trainer.loaded, trainer.objective, 20, photos, trainer.region)


def test_knowing_nothing_is_the_mean_face(
    trainer_for: Callable[..., EncoderTrainer], tiny_dataset: PackedDataset
) -> None:
    """The same distance, nobody nearer, latents a whole variance away."""
    trainer = trainer_for()
    score = examiner_of(trainer, tiny_dataset.pictures(torch.arange(4).numpy())).examine(trainer.learner.average)
    numbers = score.numbers
    for name in ("own", "photo"):
        assert numbers[f"{name}_start"] == pytest.approx(numbers[f"{name}_mean_face"], rel=1e-4)
        assert numbers[f"{name}_mahalanobis"] == pytest.approx(0, abs=1e-5)
    assert 0.4 < numbers["own_code"] < 2.5  # 1 over many faces
    assert score.verdict == numbers["photo_start"]


@pytest.mark.slow
def test_learning_shows(trainer_for: Callable[..., EncoderTrainer]) -> None:
    """After some own faces, guesses are nearer than the mean, and g_ori is what it was; own faces decide."""
    trainer = trainer_for(photos=False, own_faces=OwnFaceSettings(redrawn=0, jitter=0, style_mixing=0))
    examiner = examiner_of(trainer, None)
    before = examiner.examine(trainer.learner.average)
    digest = tensor_digest(trainer.loaded.generator.state_dict())
    for _ in range(250):
        trainer.step()
    after = examiner.examine(trainer.learner.average)
    assert after.numbers["own_code"] < 0.75 * before.numbers["own_code"]
    assert tensor_digest(trainer.loaded.generator.state_dict()) == digest
    assert after.numbers["own_start"] < after.numbers["own_mean_face"]
    assert after.numbers["own_nearer"] > 0.5
    assert after.verdict == after.numbers["own_start"]
