"""The training step: reproducible, resumable, and unable to thaw what is frozen."""

import copy
from pathlib import Path

import pytest
import torch
from processors import needs_bf16
from torch import Tensor

from nigaoe_core.errors import CheckpointMismatch, TrainingError
from nigaoe_model.stylegan2.architecture import Architecture
from nigaoe_model.stylegan2.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from nigaoe_model.stylegan2.discriminator import Discriminator
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.training import trainer as trainer_module
from nigaoe_model.training.augment.pipeline import AdaptiveAugmentation
from nigaoe_model.training.config import TrainingConfig, change_config, load_config
from nigaoe_model.training.dataset import PackedDataset
from nigaoe_model.training.distributed import Team
from nigaoe_model.training.export import describe_run, slim_generator
from nigaoe_model.training.losses import r1_penalty
from nigaoe_model.training.networks import build_child, build_networks
from nigaoe_model.training.run_inputs import Starts
from nigaoe_model.training.run_state import Progress, load_state, save_state
from nigaoe_model.training.trainer import GeneratorTrainer

ALONE = Team(0, 1, torch.device("cpu"))


def base_trainer(config: TrainingConfig, dataset: PackedDataset, *, seed: int = 0) -> GeneratorTrainer:
    config = config.model_copy(update={"compute": config.compute.model_copy(update={"seed": seed})})
    return GeneratorTrainer(
        config, dataset, build_networks(config.architecture, Starts(), ALONE.device, seed=seed), ALONE
    )


def step_of(trainer: GeneratorTrainer) -> dict[str, float]:
    """Make one step; its losses."""
    trainer.step()
    return trainer.take_losses()


@pytest.mark.parametrize("seed", [0, 5])
def test_a_seed_gives_the_same_first_ten_steps_twice(
    tiny_config: TrainingConfig, tiny_dataset: PackedDataset, seed: int
) -> None:
    """Losses and weights agree in every bit."""
    first, second = (base_trainer(tiny_config, tiny_dataset, seed=seed) for _ in range(2))
    assert [step_of(first) for _ in range(10)] == [step_of(second) for _ in range(10)]
    for name, tensor in first.tensors().items():
        assert torch.equal(tensor, second.tensors()[name]), name


def test_two_seeds_differ(tiny_config: TrainingConfig, tiny_dataset: PackedDataset) -> None:
    """The seed is no ornament."""
    first, second = (base_trainer(tiny_config, tiny_dataset, seed=seed) for seed in (0, 5))
    assert step_of(first) != step_of(second)


@pytest.mark.parametrize("kind", ["none", "ada"])
def test_a_resumed_run_makes_the_steps_of_an_uninterrupted_one(
    tiny_config: TrainingConfig, tiny_dataset: PackedDataset, tmp_path: Path, kind: str
) -> None:
    """State saved after four steps, restored into new networks: steps five to eight agree in every bit.

    ADA moves p at every third step, so that one sign statistic is waiting when the state is saved.
    """
    ada = {"augmentation.kind": kind, "augmentation.initial_p": 0.5, "augmentation.ada_every": 3}
    tiny_config = change_config(tiny_config, ada | {"augmentation.ada_speed_images": 100})
    whole = base_trainer(tiny_config, tiny_dataset)
    for _ in range(4):
        step_of(whole)
    save_state(tmp_path, whole.progress, whole.tensors())
    expected = [step_of(whole) for _ in range(4)]
    resumed = base_trainer(tiny_config, tiny_dataset, seed=0)
    resumed.restore(*load_state(tmp_path))
    assert [step_of(resumed) for _ in range(4)] == expected
    for name, tensor in whole.tensors().items():
        assert torch.equal(tensor, resumed.tensors()[name]), name
    assert resumed.progress == whole.progress
    assert float(whole.body.state.sign_count) == (2 if kind == "ada" else 0)


def test_a_state_of_an_earlier_version_goes_on(tiny_config: TrainingConfig, tiny_dataset: PackedDataset) -> None:
    """It has no tensors of the step; the augmentation's strength and path length's mean are taken from its numbers."""
    ada = {"augmentation.kind": "ada", "augmentation.initial_p": 0.5}
    earlier = base_trainer(change_config(tiny_config, ada), tiny_dataset)
    earlier.step()
    tensors = {name: tensor for name, tensor in earlier.tensors().items() if not name.startswith("step.")}
    progress = Progress(images_seen=4, steps=1, mean_path_length=earlier.progress.mean_path_length, augment_p=0.5)
    later = base_trainer(change_config(tiny_config, ada | {"augmentation.initial_p": 0.0}), tiny_dataset)
    later.restore(progress, tensors)
    assert float(later.body.state.augment_p) == 0.5
    assert float(later.body.state.mean_path_length) == earlier.progress.mean_path_length
    assert later.kind_of_step().augmented
    later.step()
    assert float(later.body.state.path_length_steps) == 1


def test_pictures_are_left_alone_while_the_strength_is_zero(
    tiny_config: TrainingConfig, tiny_dataset: PackedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ADA at p = 0 costs nothing, until the host reads p again and finds that it has moved."""
    shown: list[float] = []
    forward = AdaptiveAugmentation.forward

    def counted(self: AdaptiveAugmentation, image: Tensor, p: Tensor) -> Tensor:
        shown.append(float(p))
        return forward(self, image, p)

    monkeypatch.setattr(AdaptiveAugmentation, "forward", counted)
    monkeypatch.setattr(trainer_module, "AUGMENTATION_CHECK_STEPS", 4)
    trainer = base_trainer(change_config(tiny_config, {"augmentation.kind": "ada"}), tiny_dataset)
    for _ in range(2):
        trainer.step()
    trainer.body.state.augment_p.fill_(0.25)
    for _ in range(2):
        trainer.step()
    assert shown == []
    trainer.step()
    assert shown
    assert min(shown) > 0


def test_everything_of_a_base_run_learns(tiny_config: TrainingConfig, tiny_dataset: PackedDataset) -> None:
    """After a few steps no parameter of either network is what it was."""
    trainer = base_trainer(tiny_config, tiny_dataset)
    before = copy.deepcopy(trainer.tensors())
    for _ in range(3):
        trainer.step()
    same = [n for n, _ in trainer.networks.generator.named_parameters() if _unmoved(trainer, before, "generator.", n)]
    same += [
        n
        for n, _ in trainer.networks.discriminator.named_parameters()
        if _unmoved(trainer, before, "discriminator.", n)
    ]
    assert same == []


def _unmoved(trainer: GeneratorTrainer, before: dict[str, Tensor], prefix: str, name: str) -> bool:
    return torch.equal(trainer.tensors()[prefix + name], before[prefix + name])


@pytest.mark.parametrize("trainable_blocks", [1, 2, 3])
@pytest.mark.parametrize("freeze_d", [0, 2])
def test_frozen_tensors_keep_every_bit(
    tiny_config: TrainingConfig,
    tiny_dataset: PackedDataset,
    parent: Checkpoint,
    tmp_path: Path,
    trainable_blocks: int,
    freeze_d: int,
) -> None:
    """Whatever the depth, tensors outside the last blocks equal the parent's, in memory and on disk."""
    networks = build_child(parent, Starts(), ALONE.device, trainable_blocks=trainable_blocks, freeze_d=freeze_d, seed=1)
    frozen_d = {
        n: p.clone() for n, p in networks.discriminator.named_parameters() if n not in networks.discriminator_parameters
    }
    freeze = {"freeze": {"trainable_blocks": trainable_blocks, "freeze_d": freeze_d}}
    config = type(tiny_config).model_validate(tiny_config.model_dump() | freeze)
    trainer = GeneratorTrainer(config, tiny_dataset, networks, ALONE)
    for _ in range(7):
        trainer.step()
    card = describe_run(config, tiny_dataset, networks.average, images_seen=28, metrics={}, parent=parent)
    save_checkpoint(slim_generator(card, networks, parent), tmp_path / "child.safetensors")
    child = load_checkpoint(tmp_path / "child.safetensors")

    learning = {f"b{r}" for r in parent.card.architecture.trainable_resolutions(trainable_blocks)}
    for name, tensor in parent.generator.items():
        learns = name.startswith("synthesis.") and name.split(".")[2] in learning and "noise_const" not in name
        for state in (networks.generator.state_dict(), networks.average.state_dict()):
            assert torch.equal(state[name], tensor.float()) is not learns, name
        assert torch.equal(child.generator[name], tensor) is not learns, name
    for name, tensor in frozen_d.items():
        assert torch.equal(dict(networks.discriminator.named_parameters())[name], tensor), name
    assert bool(frozen_d) is bool(freeze_d)
    assert child.card.parent_sha256 == parent.digest
    assert child.card.trainable_blocks == trainable_blocks


def test_a_fine_tune_in_which_nothing_learns_is_refused(parent: Checkpoint) -> None:
    """0 blocks end in a sentence, in the networks and in the settings, before an optimiser complains."""
    with pytest.raises(CheckpointMismatch, match="at least the last"):
        build_child(parent, Starts(), ALONE.device, trainable_blocks=0, freeze_d=0, seed=0)
    with pytest.raises(TrainingError, match=r"freeze\.trainable_blocks"):
        load_config(TrainingConfig, "anime64", {"freeze.trainable_blocks": 0})


def test_a_child_may_take_its_last_blocks_from_another(
    parent: Checkpoint, tiny_architecture: Architecture, tmp_path: Path
) -> None:
    """Only what learns comes from the start; the trunk is the parent's."""
    torch.manual_seed(11)
    other = Checkpoint(parent.card, {n: t.half() for n, t in Generator(tiny_architecture).state_dict().items()})
    save_checkpoint(other, tmp_path / "other.safetensors")
    networks = build_child(
        parent, Starts(init=tmp_path / "other.safetensors"), ALONE.device, trainable_blocks=1, freeze_d=0, seed=0
    )
    state = networks.generator.state_dict()
    last, frozen = "synthesis.blocks.b16.conv1.conv.weight", "synthesis.blocks.b8.conv1.conv.weight"
    assert torch.equal(state[last], other.generator[last].float())
    assert torch.equal(state[frozen], parent.generator[frozen].float())


def test_the_r1_step_descends_half_gamma_times_the_interval(
    tiny_config: TrainingConfig, tiny_dataset: PackedDataset
) -> None:
    """The gradient of the lazy step is that of gamma / 2 * R1 * r1_every, computed here in float64."""
    trainer = base_trainer(tiny_config, tiny_dataset)
    real = tiny_dataset.pictures(trainer.order.indices(0, 4))
    judge = Discriminator(tiny_config.architecture).double()
    judge.load_state_dict(trainer.networks.discriminator.state_dict())
    shown = real.double().requires_grad_(True)
    settings = tiny_config.regularisation
    expected = r1_penalty(judge(shown), shown) * settings.r1_gamma / 2 * settings.r1_every
    expected.backward()

    trainer.body.r1_step(real)
    pairs = zip(trainer.networks.discriminator.parameters(), judge.parameters(), strict=True)
    found, wanted = zip(*((p.grad, q.grad) for p, q in pairs if p.grad is not None and q.grad is not None), strict=True)
    found, wanted = (torch.cat([g.double().flatten() for g in gradients]) for gradients in (found, wanted))
    assert float((found - wanted).norm() / wanted.norm()) < 1e-3


def test_real_and_drawn_pictures_share_no_minibatch_statistic(
    tiny_config: TrainingConfig, tiny_dataset: PackedDataset
) -> None:
    """One joint pass of the discriminator answers as two passes do."""
    trainer = base_trainer(tiny_config, tiny_dataset)
    real = tiny_dataset.pictures(trainer.order.indices(0, 4))
    fake = torch.randn_like(real)
    both = trainer.body.judge_both(real, fake)
    for joint, alone in zip(both, (trainer.body._judge(real), trainer.body._judge(fake)), strict=True):
        assert torch.allclose(joint, alone, atol=1e-5)


@needs_bf16
def test_bf16_steps_stay_near_fp32(tiny_config: TrainingConfig, tiny_dataset: PackedDataset) -> None:
    """Reduced precision changes the first losses by less than a hundredth or so."""
    compute = tiny_config.compute.model_copy(update={"precision": "bf16"})
    exact = step_of(base_trainer(tiny_config, tiny_dataset))
    reduced = step_of(base_trainer(tiny_config.model_copy(update={"compute": compute}), tiny_dataset))
    assert reduced["d_loss"] == pytest.approx(exact["d_loss"], abs=0.03)
    assert reduced["g_loss"] == pytest.approx(exact["g_loss"], abs=0.03)
    assert reduced["r1"] == pytest.approx(exact["r1"], rel=0.05)
