"""The driver of compared methods within a session: states, scores, sheets, files, and steps that fail."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from nigaoe_core.errors import TrainingError
from nigaoe_faces.align import DEMO
from nigaoe_model.compared.gans_n_roses_checkpoint import load_gans_n_roses
from nigaoe_model.compared.gans_n_roses_losses import Batch
from nigaoe_model.stylegan2.checkpoint import tensor_digest
from nigaoe_model.training.config import change_config
from nigaoe_model.training.dataset import IMAGES, DatasetCard, PackedDataset, write_card
from nigaoe_model.training.gans_n_roses.config import GansNRosesConfig
from nigaoe_model.training.gans_n_roses.step import GansNRosesStep
from nigaoe_model.training.methods.domains import Domains
from nigaoe_model.training.methods.examination import MethodExaminer
from nigaoe_model.training.methods.trainer import MethodTrainer
from nigaoe_model.training.run_log import RunLog, read_log
from nigaoe_model.training.run_state import load_state
from nigaoe_model.training.session import Session

CPU = torch.device("cpu")
Make = Callable[..., tuple[MethodTrainer, GansNRosesStep]]


@pytest.fixture
def made(gans_n_roses_config: GansNRosesConfig, domains: Domains) -> Make:
    """A function that makes a trainer with its step, with some settings changed."""

    def make(**changes: object) -> tuple[MethodTrainer, GansNRosesStep]:
        config = change_config(gans_n_roses_config, {name.replace("__", "."): v for name, v in changes.items()})
        torch.manual_seed(config.compute.seed)
        body = GansNRosesStep(config, domains, CPU)
        return MethodTrainer("gans-n-roses", config, domains, body, CPU), body

    return make


def run(trainer: MethodTrainer, folder: Path) -> None:
    """Carry a run out in a folder."""
    folder.mkdir(exist_ok=True)
    Session(trainer, folder, RunLog(folder)).run()


def test_a_run_leaves_lines_sheets_scores_and_files(made: Make, tmp_path: Path) -> None:
    """Two checkpoints that say how near they came; rows of six pictures, enlarged."""
    trainer, _ = made(total_images=16, cadence__score_images=8, cadence__grid_images=16)
    run(trainer, tmp_path / "run")
    lines = read_log(tmp_path / "run")
    scores = [line["fd_effnet"] for line in lines if "fd_effnet" in line]
    assert [line["images"] for line in lines if "fd_effnet" in line] == [8, 16]
    assert all("cycle" in line and "broken" not in line for line in lines if "images_per_second" in line)
    best = load_gans_n_roses(tmp_path / "run" / "best.safetensors")
    assert best.card.training.metrics["FD-effnet"] == pytest.approx(min(scores), rel=1e-4)
    assert best.card.alignment == DEMO
    assert (tmp_path / "run" / "latest.safetensors").is_file()
    with Image.open(tmp_path / "run" / "grids" / "000000016.png") as sheet:
        assert sheet.size == (6 * 32, 4 * 32)


def test_a_failing_step_leaves_the_last_state_as_it_was(
    made: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error after the networks moved, before their averages did, ends the run; what was saved goes on to the same
    end."""
    through, _ = made(total_images=20)
    run(through, tmp_path / "through")
    trainer, body = made(total_images=20, cadence__save_seconds=1e-6)
    follow = body.generators.follow

    def failing(rate: Tensor) -> None:
        if trainer.progress.steps == 3:
            raise RuntimeError("out of memory")
        follow(rate)

    monkeypatch.setattr(body.generators, "follow", failing)
    with pytest.raises(RuntimeError, match="out of memory"):
        run(trainer, tmp_path / "run")
    saved = load_state(tmp_path / "run")
    assert saved is not None
    assert saved[0].steps == 3
    again, _ = made(total_images=20)
    again.restore(*saved)
    run(again, tmp_path / "run")
    assert tensor_digest(again.tensors()) == tensor_digest(through.tensors())


def test_numbers_that_are_not_finite_never_reach_a_state(
    made: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends with a sentence; the state on disk is the last good one, although it was saved after bad steps."""
    trainer, body = made(cadence__save_seconds=1e-6, cadence__log_images=16)
    for _ in range(2):
        trainer.step()
    good = {name: tensor.clone() for name, tensor in trainer.tensors().items() if ".average." not in name}
    blank = torch.full((4, 3, 16, 16), float("nan"))
    monkeypatch.setattr(body, "batch", lambda: Batch(blank, blank, blank, blank))
    with pytest.raises(TrainingError, match=r"optimiser\.learning_rate"):
        run(trainer, tmp_path / "run")
    saved = load_state(tmp_path / "run")
    assert saved is not None
    assert saved[0].steps > 2
    assert tensor_digest({name: saved[1][name] for name in good}) == tensor_digest(good)
    assert all(torch.isfinite(tensor).all() for tensor in saved[1].values())


def test_a_score_draws_the_same_pictures_each_time(made: Make, domains: Domains) -> None:
    """Held-out photos in seeded styles; more drawings than photos are drawings with other seeds."""
    _, body = made()
    trainer = made()[0]
    first, second = (MethodExaminer(domains, 12, trainer.team).examine(body) for _ in range(2))
    assert first == second
    assert first.verdict == first.numbers["fd_effnet"] > 0
    assert not first.by_photos


def test_data_that_do_not_fit_are_refused(made: Make, larger_dataset: PackedDataset, tmp_path: Path) -> None:
    """Pictures of another size, and photos that nobody knows how they are framed: each message says how to prepare."""
    trainer, body = made()
    with pytest.raises(TrainingError, match="--resolution 16"):
        MethodTrainer("gans-n-roses", trainer.config, Domains.of(larger_dataset, larger_dataset, 1), body, CPU)
    (tmp_path / IMAGES).write_bytes(bytes(20 * 3 * 16 * 16))
    write_card(tmp_path, DatasetCard(name="unframed", resolution=16, count=20))
    photos = PackedDataset(tmp_path)
    with pytest.raises(TrainingError, match="--alignment"):
        MethodTrainer("gans-n-roses", trainer.config, Domains.of(photos, photos, 1), body, CPU)
