"""The Swapping Autoencoder's step: sides take turns, runs go on exactly, and swaps become better."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from processors import needs_bf16
from tape import TapeRecorder
from torch import Tensor

from nigaoe_core.errors import TrainingError
from nigaoe_model.compared.swapping_autoencoder_checkpoint import load_swapping_autoencoder
from nigaoe_model.stylegan2.checkpoint import tensor_digest
from nigaoe_model.training.methods.domains import Domains
from nigaoe_model.training.methods.trainer import MethodTrainer
from nigaoe_model.training.run_state import load_state, save_state
from nigaoe_model.training.swapping_autoencoder.step import SwappingAutoencoderStep

Make = Callable[..., tuple[MethodTrainer, SwappingAutoencoderStep]]


def step_of(trainer: MethodTrainer) -> dict[str, float]:
    """Make one step; its losses."""
    trainer.step()
    return trainer.take_losses()


def digests(body: SwappingAutoencoderStep) -> dict[str, str]:
    """Identities of what a step may move."""
    parts: Mapping[str, Mapping[str, Tensor]] = {
        "autoencoder": body.autoencoder.networks["autoencoder"].state_dict(),
        "average": body.average.state_dict(),
        "discriminator": body.networks.discriminator.state_dict(),
        "patch_discriminator": body.networks.patch_discriminator.state_dict(),
    }
    return {name: tensor_digest(state) for name, state in parts.items()}


def test_the_sides_take_turns(made: Make) -> None:
    """A step moves both discriminators, the next one encoder and generator with their average, and never all."""
    trainer, body = made()
    moved = []
    for _ in range(4):
        before = digests(body)
        step_of(trainer)
        moved.append({name for name, digest in digests(body).items() if digest != before[name]})
    judges, autoencoder = {"discriminator", "patch_discriminator"}, {"autoencoder", "average"}
    assert moved == [judges, autoencoder, judges, autoencoder]


def test_penalties_have_their_turn(made: Make) -> None:
    """In every second of the discriminators' steps; with weights of 0 never, and then Adam needs no correction."""
    trainer, body = made()
    lines = [step_of(trainer) for _ in range(9)]
    assert [{"r1", "patch_r1"} <= line.keys() for line in lines] == [*[True, *[False] * 3] * 2, True]
    without, plain = made(weights__r1_gamma=0, weights__patch_r1_gamma=0)
    assert "r1" not in step_of(without)
    for judges, factor in ((body.judges, 2 / 3), (plain.judges, 1.0)):
        (group,) = judges._adam.param_groups
        assert float(group["lr"]) == pytest.approx(2e-3 * factor)
        assert group["betas"] == (0.0, pytest.approx(0.99**factor))
    (group,) = body.autoencoder._adam.param_groups
    assert float(group["lr"]) == pytest.approx(2e-3)
    assert group["betas"] == (0.0, 0.99)


def test_published_rates(made: Make) -> None:
    """Sixteen of seventeen for R1 every 16th step; the average keeps 0.5^(32 / 10,000) in two turns of 16 pictures."""
    trainer, body = made(weights__r1_every=16, batch=16, average__halflife_images=10_000, average__rampup=0)
    (group,) = body.judges._adam.param_groups
    assert float(group["lr"]) == pytest.approx(2e-3 * 16 / 17)
    assert group["betas"][1] == pytest.approx(0.99 ** (16 / 17))
    trainer.step()
    before = {name: parameter.clone() for name, parameter in body.average.named_parameters()}
    trainer.step()
    network = dict(body.autoencoder.networks["autoencoder"].named_parameters())
    decay = 0.5 ** (32 / 10_000)
    for name, mean in body.average.named_parameters():
        torch.testing.assert_close(mean, decay * before[name] + (1 - decay) * network[name], rtol=1e-4, atol=1e-7)


def test_nobody_learns_from_the_other_sides_loss(made: Make) -> None:
    """The discriminators judge in the autoencoder's step and get no gradients there, and the other way round."""
    trainer, body = made()
    trainer.step()
    assert all(p.grad is None for p in body.autoencoder.networks["autoencoder"].parameters())
    body.drop_gradients()
    trainer.step()
    for judge in (body.networks.discriminator, body.networks.patch_discriminator):
        assert all(parameter.grad is None for parameter in judge.parameters())
    assert all(parameter.grad is not None for parameter in body.networks.encoder.parameters())


def test_a_resumed_run_makes_the_same_steps(made: Make, tmp_path: Path) -> None:
    """Six steps at once, or three, a state on disk, and three more by somebody else: the same in every bit."""
    (through, _), (first, _), (second, _) = made(), made(), made()
    losses = [step_of(through) for _ in range(6)]
    assert [step_of(first) for _ in range(3)] == losses[:3]
    save_state(tmp_path, first.progress, first.tensors())
    saved = load_state(tmp_path)
    assert saved is not None
    second.restore(*saved)
    assert [step_of(second) for _ in range(3)] == losses[3:]
    assert tensor_digest(second.tensors()) == tensor_digest(through.tensors())
    assert (second.progress.images_seen, second.progress.steps) == (48, 6)


def test_replayed_steps_are_eager_ones(made: Make) -> None:
    """A dozen steps from a tape, of all three kinds, while the average's decay ramps up: equal in every bit."""
    (eager, _), (recorded, _) = made(), made(recorder=TapeRecorder())
    losses = [[step_of(trainer) for _ in range(12)] for trainer in (eager, recorded)]
    assert losses[0] == losses[1]
    assert recorded.recordings.records
    assert tensor_digest(eager.tensors()) == tensor_digest(recorded.tensors())


@needs_bf16
def test_a_step_may_compute_in_sixteen_bits(made: Make) -> None:
    """The losses of the first steps stay close, and the weights stay in full precision."""
    (exact, _), (short, body) = (made(compute__precision=name) for name in ("fp32", "bf16"))
    losses = [step_of(trainer) | step_of(trainer) for trainer in (exact, short)]
    assert losses[1] == pytest.approx(losses[0], rel=0.1)
    assert losses[1] != losses[0]
    assert {tensor.dtype for tensor in body.tensors().values()} == {torch.float32}


@pytest.mark.slow
def test_pictures_are_drawn_again_and_take_over_textures(made: Make, domains: Domains) -> None:
    """Some hundred steps of a toy: reconstructions come nearer, and swaps of unseen photos have the anime's colours."""
    trainer, body = made(optimiser__generator_lr=5e-3)
    first = [step_of(trainer) | step_of(trainer) for _ in range(5)]
    for _ in range(240):
        trainer.step()
    trainer.take_losses()
    last = [step_of(trainer) | step_of(trainer) for _ in range(5)]
    mean = [sum(line["g_reconstruction"] for line in part) / 5 for part in (first, last)]
    assert mean[1] < 0.7 * mean[0]
    photos, anime = domains.held_out_photos(0, 4), domains.references(0, 4)
    with torch.no_grad():
        again, swapped = body.draw(photos, photos, range(4)), body.draw(photos, anime, range(4))

    def distance(drawn: Tensor) -> float:
        return (drawn.mean(dim=(2, 3)) - anime.mean(dim=(2, 3))).abs().mean().item()

    assert distance(swapped) < 0.75 * distance(again)


def test_a_sheet_shows_what_is_scored_and_shipped(made: Make, domains: Domains, tmp_path: Path) -> None:
    """A row of anime faces; below, each photo with their textures and the mean texture, as the file draws them."""
    trainer, body = made()
    for _ in range(2):
        trainer.step()
    photos, anime = domains.held_out_photos(0, 3), domains.references(0, 3)
    rows = body.sheet(photos, anime)
    assert rows.shape == (4, 6, 3, 16, 16)
    assert torch.equal(rows[0, 2:5], anime)
    assert torch.equal(rows[1:, 0], photos)
    torch.testing.assert_close(rows[1:, 1], body.draw(photos, photos, range(3)))
    drawn = torch.stack([body.draw(photos, face.expand_as(photos), range(3)) for face in anime], dim=1)
    torch.testing.assert_close(rows[1:, 2:5], drawn)
    trainer.export(tmp_path, "latest")
    stored = load_swapping_autoencoder(tmp_path / "latest.safetensors")
    assert stored.card.training.datasets == ("gradients", "anime")
    assert stored.card.training.images_seen == 16
    assert stored.mean_texture is not None
    assert float(stored.mean_texture.norm()) == pytest.approx(1.0, abs=1e-4)
    network = stored.build()
    torch.testing.assert_close(network.swap(photos, anime[:1]), rows[1:, 2], atol=0.02, rtol=0)
    torch.testing.assert_close(network.draw(photos, stored.mean_texture[None]), rows[1:, 5], atol=0.02, rtol=0)


def test_a_state_of_other_networks_is_refused(made: Make) -> None:
    """The shapes must agree."""
    trainer, _ = made()
    tensors = trainer.tensors()
    tensors["judges.discriminator.out.bias"] = torch.zeros(3)
    with pytest.raises(TrainingError, match="another network"):
        trainer.restore(trainer.progress, tensors)
