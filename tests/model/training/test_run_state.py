"""The state on disk and the log."""

from pathlib import Path

import pytest
import torch

from nigaoe_core.errors import TrainingError
from nigaoe_model.training.run_log import RunLog, read_log
from nigaoe_model.training.run_state import STATE, Progress, load_state, save_state


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    """Numbers and tensors, bit by bit, and no scraps beside the file."""
    progress = Progress(images_seen=48, steps=3, mean_path_length=1.25, best_score=7.5)
    save_state(tmp_path, progress, {"a": torch.arange(5.0), "b": torch.ones(2, 2, dtype=torch.bfloat16)})
    found = load_state(tmp_path)
    assert found is not None
    assert found[0] == progress
    assert torch.equal(found[1]["a"], torch.arange(5.0))
    assert [p.name for p in tmp_path.iterdir()] == [STATE]


def test_the_best_score_is_the_lowest_of_its_kind() -> None:
    """Distances of z and of photos' latents do not compare: a run that begins to score photos begins anew, and back."""
    progress = Progress(images_seen=16)
    assert [progress.is_best(score) for score in (9.0, 9.0, 8.0)] == [True, False, True]
    progress.images_seen = 32
    assert [progress.is_best(score, by_photos=True) for score in (12.0, 13.0)] == [True, False]
    assert (progress.best_score, progress.best_images) == (12.0, 32)
    assert progress.is_best(20.0)


def test_no_state_is_no_error_and_a_damaged_one_is(tmp_path: Path) -> None:
    """A new run starts; a torn file is never taken for a new run."""
    assert load_state(tmp_path) is None
    (tmp_path / STATE).write_bytes(b"torn")
    with pytest.raises(TrainingError, match="damaged"):
        load_state(tmp_path)


def test_the_log_survives_a_torn_line(tmp_path: Path) -> None:
    """Half a last line is left out."""
    log = RunLog(tmp_path)
    log.write(16, {"loss": 2.0, "speed": 2.0})
    log.write(32, {"loss": 5.0})
    with log.path.open("a") as file:
        file.write('{"images": 4')
    lines = read_log(tmp_path)
    assert [(line["images"], line["loss"]) for line in lines] == [(16, 2.0), (32, 5.0)]


def test_tensorboard_events_are_written(tmp_path: Path) -> None:
    """The extra's events lie below the run."""
    pytest.importorskip("tensorboard")
    log = RunLog(tmp_path, tensorboard=True)
    log.write(16, {"loss": 1.0})
    assert list((tmp_path / "tensorboard").glob("events.*"))
