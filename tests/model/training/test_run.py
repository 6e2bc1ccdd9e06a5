"""Runs from their plan: what is kept beside them, and how they go on."""

import json
from pathlib import Path

import pytest

from nigaoe_core.errors import TrainingError
from nigaoe_model.inversion.encoder.checkpoint import EncoderCheckpoint, load_encoder, save_encoder
from nigaoe_model.stylegan2.checkpoint import Checkpoint, load_checkpoint, save_checkpoint, tensor_digest
from nigaoe_model.training.config import TrainingConfig
from nigaoe_model.training.dataset import PackedDataset
from nigaoe_model.training.encoder.config import EncoderConfig
from nigaoe_model.training.encoder.run import train_encoder
from nigaoe_model.training.plan import CONFIG, STATE, EncoderPlan, GeneratorPlan, RunPlan, write_plan
from nigaoe_model.training.run import train_generator
from nigaoe_model.training.run_inputs import EncoderInputs, GeneratorInputs, Section


@pytest.fixture
def start(parent: Checkpoint, tmp_path: Path) -> Path:
    """A generator on disk to start from."""
    path = tmp_path / "start.safetensors"
    save_checkpoint(parent, path)
    return path


@pytest.fixture
def short(tiny_config: TrainingConfig, tiny_dataset: PackedDataset, start: Path, tmp_path: Path) -> GeneratorPlan:
    """A run of two steps that starts from given weights."""
    config = tiny_config.model_copy(update={"total_images": 8})
    return GeneratorPlan(config=config, dataset=tiny_dataset.folder, folder=tmp_path / "run", init=start)


def weights_of(plan: RunPlan) -> str:
    return tensor_digest(load_checkpoint(plan.folder / "latest.safetensors").generator)


def test_a_run_that_saved_no_state_begins_again_from_its_start(short: GeneratorPlan) -> None:
    """Killed before its first state and resumed without a word about `--init`, it makes the same steps again."""
    train_generator(short)
    expected = weights_of(short)
    (short.folder / STATE).unlink()
    train_generator(GeneratorPlan.read(short.folder))
    assert weights_of(short) == expected
    at_random = short.model_copy(update={"init": None, "folder": short.folder.with_name("random")})
    train_generator(at_random)
    assert weights_of(at_random) != expected


def test_an_encoder_that_saved_no_state_begins_again_from_its_start(start: Path, tmp_path: Path) -> None:
    """The same for the encoder's run, whose `--init` is an encoder."""
    config = EncoderConfig.model_validate(
        {
            "batch": 4,
            "total_images": 8,
            "network": {"widths": (8, 12, 16), "features": 16},
            "cadence": {"score_images": 0, "score_faces": 4},
            "compute": {"device": "cpu", "threads": 1, "precision": "fp32"},
        }
    )
    first = EncoderPlan(config=config, generator=start, folder=tmp_path / "first")
    train_encoder(first)
    learned = load_encoder(first.folder / "latest.safetensors")
    moved = {name: tensor + 0.1 if tensor.is_floating_point() else tensor for name, tensor in learned.tensors.items()}
    save_encoder(EncoderCheckpoint(learned.card, moved), tmp_path / "init.safetensors")
    plan = EncoderPlan(config=config, generator=start, folder=tmp_path / "run", init=tmp_path / "init.safetensors")
    train_encoder(plan)
    latest = plan.folder / "latest.safetensors"
    expected = tensor_digest(load_encoder(latest).tensors)
    (plan.folder / STATE).unlink()
    train_encoder(EncoderPlan.read(plan.folder))
    assert tensor_digest(load_encoder(latest).tensors) == expected
    assert expected != tensor_digest(learned.tensors)


def test_a_saved_state_needs_no_start_any_more(short: GeneratorPlan, start: Path) -> None:
    """The file that a run started from may be gone once the run has a state of its own."""
    train_generator(short)
    start.unlink()
    again = GeneratorPlan.read(short.folder)
    longer = again.model_copy(update={"config": again.config.model_copy(update={"total_images": 12})})
    assert train_generator(longer).images_seen == 12
    assert GeneratorPlan.read(short.folder).init == start


def test_a_plan_comes_back_from_its_folder(short: GeneratorPlan, start: Path, tmp_path: Path) -> None:
    """Everything but where it lies and whether it goes on, of both kinds; neither is taken for the other."""
    encoder = EncoderPlan(config=EncoderConfig(), generator=start, folder=tmp_path / "encoder", init=start)
    for plan in (short, encoder):
        write_plan(plan)
        assert type(plan).read(plan.folder) == plan.model_copy(update={"resume": True})
    assert json.loads((encoder.folder / CONFIG).read_text())["encoder"]["batch"] == 16
    with pytest.raises(TrainingError, match="no encoder's run"):
        EncoderPlan.read(short.folder)
    with pytest.raises(TrainingError, match="no run"):
        GeneratorPlan.read(encoder.folder)


def test_a_plan_of_an_earlier_version_is_read(short: GeneratorPlan) -> None:
    """It did not say what the run started from, and its losses had a term that is gone; one that counted is refused."""
    write_plan(short)
    path = short.folder / CONFIG
    document = json.loads(path.read_text())
    earlier = {name: document[name] for name in ("config", "dataset", "parent", "photo_latents")}
    earlier["config"]["reconstruction"]["terms"]["lpips"] = 0.0
    path.write_text(json.dumps(earlier))
    plan = GeneratorPlan.read(short.folder)
    assert plan.init is None
    assert plan.config == short.config
    earlier["config"]["reconstruction"]["terms"]["lpips"] = 1.0
    path.write_text(json.dumps(earlier))
    with pytest.raises(TrainingError, match="no run"):
        GeneratorPlan.read(short.folder)


@pytest.mark.parametrize("inputs", [GeneratorInputs, EncoderInputs])
def test_every_file_that_a_run_reads_is_described(inputs: type[Section]) -> None:
    """Help is made of it: a line of the docstring is the field's description, as a whole."""
    assert [name for name, field in inputs.model_fields.items() if not field.description] == []
    if inputs is GeneratorInputs:
        assert inputs.model_fields["grow"].description.endswith("may be of half the resolution, too.")
