"""Steps that are replayed are the steps that would have been made, whatever changes between them.

The tape repeats operations as a CUDA graph does, on any machine; the last tests do the same on a GPU, where there is
one.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from structlog.testing import capture_logs
from tape import FailingRecorder, Tape, TapeRecorder
from torch import Tensor

from nigaoe_core.errors import TrainingError
from nigaoe_model.features import FrozenFeatures, shared_features
from nigaoe_model.inversion.encoder.architecture import encoder_architecture
from nigaoe_model.inversion.encoder.checkpoint import start_encoder
from nigaoe_model.inversion.graphs import CudaRecorder, Recorder
from nigaoe_model.stylegan2.checkpoint import Checkpoint
from nigaoe_model.stylegan2.latent_statistics import measure_latents
from nigaoe_model.training import trainer as trainer_module
from nigaoe_model.training.config import TrainingConfig, change_config
from nigaoe_model.training.dataset import PackedDataset
from nigaoe_model.training.distributed import Team
from nigaoe_model.training.moment_matching import LEVELS, MomentMatching
from nigaoe_model.training.networks import build_child, build_networks
from nigaoe_model.training.photo_latents import PhotoLatents, PhotoLatentsCard
from nigaoe_model.training.reconstruction import REFRESH_STEPS
from nigaoe_model.training.run_inputs import Starts
from nigaoe_model.training.run_state import load_state, save_state
from nigaoe_model.training.step import Aids, StepKind
from nigaoe_model.training.step_recordings import StepRecordings, seed_step, step_recorder
from nigaoe_model.training.trainer import GeneratorTrainer

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need an NVIDIA GPU")
Make = Callable[..., GeneratorTrainer]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Sums run in one order, however many cores there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pooled(image: Tensor) -> list[Tensor]:
    """Features that cost nothing: the picture itself, smaller."""
    return [F.avg_pool2d(image, side) for side in (4, 8)]


@pytest.fixture
def brisk(tiny_config: TrainingConfig, tiny_dataset: PackedDataset) -> Make:
    """A function that makes a trainer with ADA and moments, on any device, with a recorder or without."""
    aids = {
        "augmentation.kind": "ada",
        "augmentation.initial_p": 0.2,
        "augmentation.ada_speed_images": 200,
        "moments.weight": 1.0,
        "moments.samples": 16,
        "moments.fade_from": 64,
        "moments.fade_images": 64,
        "average.halflife_images": 40,
        "average.rampup": 0.5,
    }

    def make(recorder: Recorder | None = None, device: str = "cpu", **changes: object) -> GeneratorTrainer:
        config, team = change_config(tiny_config, aids | changes), Team(0, 1, torch.device(device))
        networks = build_networks(config.architecture, Starts(), team.device, seed=0)
        trainer = GeneratorTrainer(
            config, tiny_dataset, networks, team, Aids(MomentMatching(pooled)), recorder=recorder
        )
        trainer.prepare()
        return trainer

    return make


@pytest.fixture
def redrawing(tiny_config: TrainingConfig, larger_dataset: PackedDataset) -> Make:
    """The same with the feature network's moments and with reconstruction; 32 px, the least that it takes."""
    shape = {"resolution": 32, "channels": {4: 8, 8: 8, 16: 4, 32: 4}, "z_dim": 8, "w_dim": 8, "mapping_layers": 2}
    aids = {
        "architecture": shape | {"minibatch_std_group": 2},
        "augmentation.kind": "ada",
        "augmentation.initial_p": 0.2,
        "moments.weight": 1.0,
        "moments.samples": 16,
        "reconstruction.weight": 3.0,
    }

    def make(recorder: Recorder | None = None, device: str = "cpu", **changes: object) -> GeneratorTrainer:
        config, team = change_config(tiny_config, aids | changes), Team(0, 1, torch.device(device))
        networks = build_networks(config.architecture, Starts(), team.device, seed=0)
        features = FrozenFeatures(shared_features(LEVELS, device))
        torch.manual_seed(0)
        encoder = start_encoder(encoder_architecture(config.architecture), measure_latents(networks.generator))
        moments, encoder = MomentMatching(features).to(team.device), encoder.to(team.device)
        used = Aids(moments, encoder=encoder)
        trainer = GeneratorTrainer(config, larger_dataset, networks, team, used, recorder=recorder)
        trainer.prepare()
        return trainer

    return make


@pytest.fixture
def style(tiny_config: TrainingConfig, tiny_dataset: PackedDataset, parent: Checkpoint) -> Make:
    """A function that makes a fine-tune with colours, latents of photos and the augmentation that is not adaptive."""
    changes = {
        "freeze": {"trainable_blocks": 1},
        "colours": {"weight": 5.0, "side": 4},
        "augmentation": {"kind": "diffaugment"},
    }
    config = type(tiny_config).model_validate(tiny_config.model_dump() | changes)
    card = PhotoLatentsCard(generator_sha256=parent.digest, dataset="photos", steps=1)

    def make(recorder: Recorder | None = None, device: str = "cpu") -> GeneratorTrainer:
        team = Team(0, 1, torch.device(device))
        networks = build_child(parent, Starts(), team.device, trainable_blocks=1, freeze_d=0, seed=1)
        shape = (parent.card.architecture.num_ws, parent.card.architecture.w_dim)
        latents = PhotoLatents(
            card, torch.randn(5, *shape, generator=torch.Generator().manual_seed(0)), torch.zeros(shape)
        )
        person = parent.build_generator().to(team.device)
        aids = Aids(photo_latents=latents, person=person)
        return GeneratorTrainer(config, tiny_dataset, networks, team, aids, recorder=recorder)

    return make


def steps(trainer: GeneratorTrainer, count: int) -> list[dict[str, float]]:
    """The losses of some steps."""
    losses = []
    for _ in range(count):
        trainer.step()
        losses.append(trainer.take_losses())
    return losses


def agree(first: GeneratorTrainer, second: GeneratorTrainer) -> None:
    """Both stand at the same place, in every bit."""
    theirs = second.tensors()
    different = [name for name, tensor in first.tensors().items() if not torch.equal(tensor, theirs[name])]
    assert different == []
    assert first.progress == second.progress


# ---- on any machine ---------------------------------------------------------------------------------------------


def test_forty_replayed_steps_are_forty_eager_ones(brisk: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """While p falls to 0, moments fade out and the average's decay ramps up, of every kind: equal in every bit."""
    monkeypatch.setattr(trainer_module, "AUGMENTATION_CHECK_STEPS", 10)
    eager, recorded = brisk(), brisk(TapeRecorder())
    kinds: set[StepKind] = set()
    for _ in range(40):
        kinds.add(eager.kind_of_step())
        assert steps(eager, 1) == steps(recorded, 1)
    agree(eager, recorded)
    assert recorded.recordings.records
    assert len(kinds) > 8
    for name in StepKind.__dataclass_fields__:
        assert {getattr(kind, name) for kind in kinds} == {True, False}, name


def test_a_replayed_style_is_an_eager_one(style: Make) -> None:
    """Colours of the person, latents of photos, frozen blocks, an augmentation of constant strength."""
    eager, recorded = style(), style(TapeRecorder())
    assert steps(eager, 13) == steps(recorded, 13)
    agree(eager, recorded)


def test_a_stopped_run_records_anew_and_goes_on(brisk: Make, tmp_path: Path) -> None:
    """Stopped at 18, amid ADA's statistic, and restored into another trainer: at 36 it is where the whole run is."""
    through, first, second = brisk(TapeRecorder()), brisk(TapeRecorder()), brisk(TapeRecorder())
    expected = steps(through, 36)
    assert steps(first, 18) == expected[:18]
    save_state(tmp_path, first.progress, first.tensors())
    saved = load_state(tmp_path)
    assert saved is not None
    second.restore(*saved)
    assert steps(second, 18) == expected[18:]
    agree(through, second)


def test_it_does_not_matter_when_a_step_is_recorded(brisk: Make) -> None:
    """At the first step, or at the eighth after seven eager ones."""
    early, late = brisk(TapeRecorder()), brisk()
    expected = steps(early, 14)
    assert steps(late, 7) == expected[:7]
    late.recordings = brisk_recordings(late, TapeRecorder())
    assert steps(late, 7) == expected[7:]
    agree(early, late)


def brisk_recordings(trainer: GeneratorTrainer, recorder: Recorder) -> StepRecordings[StepKind]:
    """Recordings of a trainer that began without."""
    return StepRecordings(
        trainer.body.make,
        recorder,
        places=trainer.body.places,
        seed=lambda: seed_step(trainer.config.compute.seed, 0, trainer.progress.steps),
        clean=trainer.body.drop_gradients,
    )


def test_restoring_a_running_trainer_is_seen(brisk: Make, tmp_path: Path) -> None:
    """The same object goes back to an earlier state, although it has recordings."""
    trainer = brisk(TapeRecorder())
    steps(trainer, 6)
    save_state(tmp_path, trainer.progress, trainer.tensors())
    expected = steps(trainer, 6)
    saved = load_state(tmp_path)
    assert saved is not None
    trainer.restore(*saved)
    assert steps(trainer, 6) == expected


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.body.state.augment_p.fill_(1.0),
        lambda t: t.networks.average.synthesis.block(8).conv1.bias.add_(1.0),
        lambda t: t.body.state.mean_path_length.fill_(50.0),
    ],
    ids=["p", "average", "path_length"],
)
def test_what_is_written_between_replays_is_seen(brisk: Make, change: Callable[[GeneratorTrainer], Tensor]) -> None:
    """A replayed trainer answers to it as an eager one does, and otherwise than one to which nothing happened."""
    eager, recorded, undisturbed = brisk(), brisk(TapeRecorder()), brisk(TapeRecorder())
    for trainer in (eager, recorded, undisturbed):
        steps(trainer, 4)
    for trainer in (eager, recorded):
        with torch.no_grad():
            change(trainer)
    assert steps(eager, 4) == steps(recorded, 4)
    agree(eager, recorded)
    steps(undisturbed, 4)
    calm = undisturbed.tensors()
    assert any(not torch.equal(tensor, calm[name]) for name, tensor in recorded.tensors().items())


def test_decay_and_weights_are_the_present_ones(brisk: Make) -> None:
    """The host's numbers reach a recording that was made when they were others."""
    trainer = brisk(TapeRecorder(), **{"average.rampup": 0.0, "regularisation.r1_every": 100})
    steps(trainer, 4)
    trainer.config = change_config(trainer.config, {"average.halflife_images": 1, "moments.weight": 1e6})
    before = {name: p.clone() for name, p in trainer.networks.average.named_parameters()}
    steps(trainer, 1)
    moved = trainer.networks.average
    name = "synthesis.blocks.b8.conv1.conv.weight"
    ours, theirs = dict(moved.named_parameters())[name], dict(trainer.networks.generator.named_parameters())[name]
    # After one step of four images a half-life of one leaves a sixteenth of the old average.
    torch.testing.assert_close(ours, theirs + (before[name] - theirs) / 16)
    assert float(trainer.body.controls.moment_weight) == 1e6


def test_the_prior_may_be_measured_again_between_replays(redrawing: Make) -> None:
    """Every hundred steps the latents' statistics take the old ones' places, and replays measure by them."""
    rarely = {"regularisation.r1_every": 1000, "regularisation.path_length_every": 1000}
    eager, recorded = redrawing(**rarely), redrawing(TapeRecorder(), **rarely)
    for trainer in (eager, recorded):
        trainer.progress.steps = REFRESH_STEPS - 3
    prior = recorded.body.reconstruction.objective.prior
    steps(recorded, 1)
    before = prior.whitening.clone(), prior.whitening.data_ptr(), float(prior.variance)
    losses = steps(recorded, 5)
    steps(eager, 1)
    assert steps(eager, 5) == losses
    agree(eager, recorded)
    assert not torch.equal(prior.whitening, before[0])
    assert prior.whitening.data_ptr() == before[1]
    assert float(prior.variance) != before[2]


@pytest.mark.parametrize("after", [0, 2])
def test_a_failed_recording_changes_nothing(brisk: Make, after: int) -> None:
    """Every bit is as it was, a warning says so, and the run goes on eagerly, also with what it had recorded."""
    eager, recorded = brisk(), brisk(FailingRecorder(after=after))
    with capture_logs() as logs:
        assert steps(eager, 9) == steps(recorded, 9)
    agree(eager, recorded)
    assert not recorded.recordings.records
    (warning,) = [line for line in logs if line["event"] == "training.step_graphs_given_up"]
    assert "capturing" in warning["reason"]
    assert warning["log_level"] == "warning"


def test_the_tape_refuses_what_a_graph_cannot_hold() -> None:
    """Waits and the host's numbers are loud; a number in Python is silent, and wrong ever after."""
    place, held = torch.zeros(()), [1.0]
    with pytest.raises(RuntimeError, match="a wait for the device"), Tape():
        float(place)
    with pytest.raises(RuntimeError, match="a number of the host"), Tape():
        torch.tensor([1.0])
    with Tape() as tape:
        place.add_(held[0])
    held[0] = 5.0
    tape.repeat()
    assert float(place) == 2.0


def test_graphs_are_asked_for_where_they_are_possible() -> None:
    """`auto` makes steps eagerly on a CPU; a run that insists fails with what is missing."""
    cpu = torch.device("cpu")
    assert step_recorder("auto", cpu) is None
    assert step_recorder(False, cpu) is None
    with pytest.raises(TrainingError, match="NVIDIA GPU"):
        step_recorder(True, cpu)


# ---- on a GPU --------------------------------------------------------------------------------------------------


@needs_cuda
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gpu_replays_what_it_would_do(redrawing: Make, precision: str) -> None:
    """Recorded and eager steps draw the same random numbers; losses of twenty steps stay as near as rounding lets."""
    changes = {"compute.precision": precision, "compute.device": "cuda"}
    eager, again = (redrawing(device="cuda", **changes, **{"compute.step_graphs": False}) for _ in range(2))
    recorded = redrawing(CudaRecorder(torch.device("cuda", 0)), "cuda", **changes)
    losses = [steps(trainer, 20) for trainer in (eager, again, recorded)]
    assert recorded.recordings.records, "the capture failed; see the warning in the log"
    assert losses[2][0] == pytest.approx(losses[0][0], rel=1e-2, abs=1e-3)
    by_chance = sum(_gap(a, b) for a, b in zip(losses[0], losses[1], strict=True))
    by_recording = sum(_gap(a, b) for a, b in zip(losses[0], losses[2], strict=True))
    assert by_recording <= 3 * by_chance + 0.05 * len(losses[0])


@needs_cuda
def test_a_gpu_goes_on_from_a_state(brisk: Make, tmp_path: Path) -> None:
    """Stopped at 10 and recorded anew, the run stays near the one that was not stopped, and p is where it was left."""
    changes = {"compute.device": "cuda"}
    through, resumed = (brisk(CudaRecorder(torch.device("cuda", 0)), "cuda", **changes) for _ in range(2))
    steps(through, 10)
    save_state(tmp_path, through.progress, through.tensors())
    saved = load_state(tmp_path)
    assert saved is not None
    resumed.restore(*saved)
    first, second = steps(through, 10), steps(resumed, 10)
    assert second[0] == pytest.approx(first[0], rel=1e-2, abs=1e-3)
    assert float(resumed.body.state.augment_p) == float(through.body.state.augment_p)
    assert through.recordings.records
    assert resumed.recordings.records


@needs_cuda
def test_a_gpu_sees_what_is_written_between_replays(brisk: Make) -> None:
    """p at 1 instead of 0.2 shows in the next replay."""
    calm, moved = (brisk(CudaRecorder(torch.device("cuda", 0)), "cuda", **{"compute.device": "cuda"}) for _ in range(2))
    for trainer in (calm, moved):
        steps(trainer, 6)
    moved.body.state.augment_p.fill_(1.0)
    for trainer in (calm, moved):
        steps(trainer, 6)
    assert calm.recordings.records
    assert float(moved.body.state.augment_p) > float(calm.body.state.augment_p)
    theirs = calm.tensors()
    assert any(
        not torch.equal(tensor, theirs[name]) for name, tensor in moved.tensors().items() if "discriminator" in name
    )


def _gap(first: dict[str, float], second: dict[str, float]) -> float:
    return sum(abs(first[name] - second[name]) / (1 + abs(first[name])) for name in first)
