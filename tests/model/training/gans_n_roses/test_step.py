"""The step of GANs N' Roses: reproducible, resumable, and both sides learn."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from processors import needs_bf16
from tape import TapeRecorder
from torch import Tensor

from nigaoe_core.errors import TrainingError
from nigaoe_model.compared.gans_n_roses_checkpoint import load_gans_n_roses
from nigaoe_model.compared.gans_n_roses_losses import discriminator_terms, draw_chance, generator_terms, translate
from nigaoe_model.inversion.graphs import Recorder
from nigaoe_model.stylegan2.checkpoint import tensor_digest
from nigaoe_model.training.config import change_config
from nigaoe_model.training.gans_n_roses.config import GansNRosesConfig, OptimiserSettings
from nigaoe_model.training.gans_n_roses.step import GENERATOR_LOSSES, GansNRosesStep, feature_distance, learning_rate_at
from nigaoe_model.training.methods.domains import Domains
from nigaoe_model.training.methods.trainer import MethodTrainer
from nigaoe_model.training.run_state import Progress, load_state, save_state

CPU = torch.device("cpu")
Make = Callable[..., tuple[MethodTrainer, GansNRosesStep]]


@pytest.fixture
def made(gans_n_roses_config: GansNRosesConfig, domains: Domains) -> Make:
    """A function that makes a trainer with its step, with some settings changed."""

    def make(recorder: Recorder | None = None, **changes: object) -> tuple[MethodTrainer, GansNRosesStep]:
        config = change_config(gans_n_roses_config, {name.replace("__", "."): v for name, v in changes.items()})
        torch.manual_seed(config.compute.seed)
        body = GansNRosesStep(config, domains, CPU)
        return MethodTrainer("gans-n-roses", config, domains, body, CPU, recorder=recorder), body

    return make


def step_of(trainer: MethodTrainer) -> dict[str, float]:
    """Make one step; its losses."""
    trainer.step()
    return trainer.take_losses()


def test_a_resumed_run_makes_the_same_steps(made: Make, tmp_path: Path) -> None:
    """Four steps at once, or two, a state on disk, and two more by somebody else: the same in every bit."""
    (through, _), (first, _), (second, _) = made(), made(), made()
    losses = [step_of(through) for _ in range(4)]
    assert [step_of(first) for _ in range(2)] == losses[:2]
    save_state(tmp_path, first.progress, first.tensors())
    saved = load_state(tmp_path)
    assert saved is not None
    second.restore(*saved)
    assert [step_of(second) for _ in range(2)] == losses[2:]
    assert tensor_digest(second.tensors()) == tensor_digest(through.tensors())
    assert (second.progress.images_seen, second.progress.steps) == (16, 4)


def test_every_third_step_flattens_the_discriminators(made: Make) -> None:
    """As the config says; with a weight of 0 never, and then the decays need no correction."""
    trainer, _ = made()
    assert [sorted({"r1"} & step_of(trainer).keys()) for _ in range(4)] == [["r1"], [], [], ["r1"]]
    without, body = made(regularisation__r1_gamma=0)
    assert "r1" not in step_of(without)
    (corrected,), (plain,) = (b.discriminators._adam.param_groups for b in (made()[1], body))
    assert plain["betas"] == (0.0, 0.99)
    assert corrected["betas"] == (0.0, pytest.approx(0.99 ** (3 / 4)))


def test_a_batch_is_one_picture_in_several_augmentations(made: Make) -> None:
    """Without augmentation but mirroring all of them are one of the batch's own pictures; the others differ."""
    still = {f"augmentation__{name}": 0 for name in ("degrees", "scale", "translation", "shear", "crop")}
    _, body = made(**still)
    trainer = made(**still)[0]
    body.begin(trainer.progress)
    torch.manual_seed(0)
    batch = body.batch()
    for one, several in ((batch.one_photo, batch.photos), (batch.one_anime, batch.anime)):
        assert len({_fingerprint(picture) for picture in one}) == 1
        assert len({_fingerprint(picture) for picture in several}) == 4
        assert _fingerprint(one[0]) in {_fingerprint(picture) for picture in several}


def _fingerprint(picture: Tensor) -> float:
    """A number that a picture shares with its mirror image alone."""
    return round(min((shown * torch.arange(1, 17)).sum().item() for shown in (picture, picture.flip(2))), 1)


@pytest.mark.slow
def test_both_sides_learn(made: Make) -> None:
    """Forty steps of a toy: on the same batches pictures come back nearer, in pixels and in features, augmentations
    share a style more, and the discriminators tell more."""
    trainer, body = made()
    before = examined(body)
    for _ in range(40):
        trainer.step()
    after = examined(body)
    assert after["cycle"] < 0.7 * before["cycle"]
    assert after["feature_distance"] < 0.9 * before["feature_distance"]
    assert after["style_consistency"] < 0.7 * before["style_consistency"]
    assert after["d_loss"] < 0.85 * before["d_loss"]


@torch.no_grad()
def examined(body: GansNRosesStep) -> dict[str, float]:
    """Terms on three batches, always the same."""
    sums: dict[str, float] = dict.fromkeys(("d_loss", *GENERATOR_LOSSES), 0.0)
    for number in range(3):
        body.begin(Progress(images_seen=4 * number))
        torch.manual_seed(number)
        batch, chance = body.batch(), draw_chance(4, 8)
        made = translate(body.networks, batch, chance)
        terms = generator_terms(body.networks, batch, chance, made, feature_distance(16, CPU))
        sums["d_loss"] += discriminator_terms(body.networks, batch, chance, made).item()
        for name in GENERATOR_LOSSES:
            sums[name] += getattr(terms, name).item()
    return sums


def test_replayed_steps_are_eager_ones(made: Make) -> None:
    """Six steps from a tape, of both kinds, while the rate halves: equal in every bit."""
    halving = {"optimiser__halve_images": 12}
    (eager, _), (recorded, _) = made(**halving), made(recorder=TapeRecorder(), **halving)
    losses = [[step_of(trainer) for _ in range(6)] for trainer in (eager, recorded)]
    assert losses[0] == losses[1]
    assert recorded.recordings.records
    assert tensor_digest(eager.tensors()) == tensor_digest(recorded.tensors())


@needs_bf16
def test_a_step_may_compute_in_sixteen_bits(made: Make) -> None:
    """The losses of the first step stay close, and weights and styles stay in full precision."""
    (exact, _), (short, body) = (made(compute__precision=name) for name in ("fp32", "bf16"))
    losses = [step_of(trainer) for trainer in (exact, short)]
    assert losses[1]["cycle"] == pytest.approx(losses[0]["cycle"], rel=0.05)
    assert losses[1] != losses[0]
    assert {tensor.dtype for tensor in body.tensors().values()} == {torch.float32}


def test_the_drawings_are_those_of_the_moving_average(made: Make, domains: Domains, tmp_path: Path) -> None:
    """Scores, sheets and the file agree; a seed draws a style, a reference gives its own."""
    trainer, body = made()
    trainer.step()
    photos, anime = domains.held_out_photos(0, 3), domains.references(0, 3)
    rows = body.sheet(photos, anime)
    assert rows.shape == (3, 6, 3, 16, 16)
    assert torch.equal(rows[:, 0], photos)
    assert torch.equal(rows[:, 5], anime)
    assert torch.equal(rows[:, 2], body.draw(photos, anime, [1, 1, 1]))
    assert not torch.equal(rows[:, 1], rows[:, 2])
    trainer.export(tmp_path, "latest")
    stored = load_gans_n_roses(tmp_path / "latest.safetensors")
    assert stored.card.training.datasets == ("gradients", "anime")
    assert stored.card.training.images_seen == 4
    assert stored.card.source == "nigaoe train --method gans-n-roses"
    drawn = stored.build().draw(photos, [1, anime[1], 1])
    torch.testing.assert_close(drawn[0], rows[0, 2], atol=0.02, rtol=0)
    torch.testing.assert_close(drawn[1], rows[1, 4], atol=0.02, rtol=0)


def test_a_state_of_other_networks_is_refused(made: Make) -> None:
    """The shapes must agree."""
    trainer, _ = made()
    tensors = trainer.tensors()
    tensors["generators.photo_to_anime.decoder.conv.bias"] = torch.zeros(3)
    with pytest.raises(TrainingError, match="another network"):
        trainer.restore(trainer.progress, tensors)


def test_the_rate_halves_by_steps() -> None:
    """After as many photos each time; never where nothing is said."""
    settings = OptimiserSettings(learning_rate=1.0, halve_images=100)
    assert [learning_rate_at(settings, seen) for seen in (0, 99, 100, 250)] == [1, 1, 0.5, 0.25]
    assert learning_rate_at(settings.model_copy(update={"halve_images": 0}), 10**9) == 1
