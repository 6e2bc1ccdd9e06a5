"""From a short trial to what a budget will buy."""

import json
from pathlib import Path
from typing import Any

import pytest

from nigaoe.pair_training.config import LatentsRun, PairConfig, load_pair_config
from nigaoe.pair_training.forecast import _pace, _trial_config, forecast
from nigaoe.pair_training.journal import Journal


@pytest.fixture
def config() -> PairConfig:
    """One stage for g_ori, two for a style."""
    document: dict[str, Any] = {
        "datasets": {"faces": "f"},
        "runs": {
            "g_ori": {"kind": "generator", "dataset": "faces"},
            "anime": {"kind": "style", "dataset": "faces"},
        },
        "stages": [{"name": str(n), "share": 1, "runs": [run]} for n, run in enumerate(["g_ori", "anime", "anime"])],
        "report": {"share": 0},
    }
    return PairConfig.model_validate(document)


def test_a_pace_is_that_of_steps_and_the_rest_is_taken_off_each_stage(config: PairConfig, tmp_path: Path) -> None:
    """400 images in 10 seconds of steps; 14 seconds more went into two starts and ends."""
    lines = [{"images": n, "seconds": n / 40, "images_per_second": 1.0} for n in (200, 400)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    journal = Journal.begin(config, 1)
    journal.stages[1]["anime"].seconds, journal.stages[2]["anime"].seconds = 15, 9
    pace = _pace(journal, "anime", tmp_path)
    assert pace is not None
    assert (pace.images_per_second, pace.other_seconds) == (40, 7)
    rows = forecast(config, 3, {"anime": pace})
    assert [row.images for row in rows] == [None, 53 * 40, 53 * 40]


def test_a_run_that_said_nothing_has_no_pace(config: PairConfig, tmp_path: Path) -> None:
    """Its time was over before its first step: nothing is made up."""
    assert _pace(Journal.begin(config, 1), "g_ori", tmp_path) is None


def test_a_trial_is_the_pair_without_scores() -> None:
    """The same stages and networks; every step is logged, nothing is scored, latents are found for one batch."""
    config = load_pair_config("pair128")
    trial = _trial_config(config)
    assert [stage.runs for stage in trial.stages] == [stage.runs for stage in config.stages]
    assert trial.report.share == 0
    assert "cadence" not in trial.settings["generator"]
    assert trial.settings["generator"]["batch"] == 64
    for run in trial.runs.values():
        if isinstance(run, LatentsRun):
            assert run.count == run.width
        else:
            assert (run.settings["cadence.log_images"], run.settings["cadence.score_images"]) == (1, 0)
