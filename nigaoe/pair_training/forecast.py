"""What a budget will buy: minutes and images of every stage, by a pace that is given, or measured in a trial."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from nigaoe.pair_training.config import LatentsRun, PairConfig
from nigaoe.pair_training.journal import Journal, read_journal
from nigaoe.pair_training.pair_folder import PairPaths
from nigaoe.pair_training.training import train_pair
from nigaoe_model.training.run_log import read_log

LOG_EVERY_STEP: Final[Mapping[str, Any]] = {"cadence.log_images": 1, "cadence.score_images": 0}
"""A trial's runs log every step and score nothing."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a run is.

    Attributes:
        images_per_second: Beside the neighbours that it has in its stage.
        other_seconds: Of each stage, in which it makes no steps: starting, saving, exporting.
    """

    images_per_second: float
    other_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """What one run does in one stage.

    Attributes:
        stage: The stage's name.
        run: The run's name.
        seconds: Of the stage.
        images: Predicted; None: its pace is not known.
    """

    stage: str
    run: str
    seconds: float
    images: int | None


def forecast(config: PairConfig, minutes: float, paces: Mapping[str, Pace]) -> list[Row]:
    """Return a row for each run of each stage, in order."""
    rows: list[Row] = []
    journal = Journal.begin(config, minutes)
    for number, stage in enumerate(config.stages):
        seconds = journal.allowance(number)
        rows += [Row(stage.name, name, seconds, _images(config, name, seconds, paces.get(name))) for name in stage.runs]
    return rows


def given_paces(config: PairConfig, images_per_second: float) -> dict[str, Pace]:
    """Return the paces of runs that alone would show so many images a second; those side by side share it."""
    most = {
        name: max(len(stage.runs) for stage in config.stages if name in stage.runs)
        for name, run in config.runs.items()
        if not isinstance(run, LatentsRun)
    }
    return {name: Pace(images_per_second / neighbours) for name, neighbours in most.items()}


def measured_paces(config: PairConfig, minutes: float, console: Console) -> dict[str, Pace]:
    """Train the whole pair for a few minutes in a folder that is thrown away, and return how fast its runs were.

    Raises:
        TrainingError: A run failed: the long training would have failed, too.
    """
    with tempfile.TemporaryDirectory(prefix="nigaoe-trial-") as folder:
        paths = PairPaths(Path(folder))
        train_pair(_trial_config(config), paths.root, minutes, console, report=False)
        journal = read_journal(paths.journal)
        paces = {name: _pace(journal, name, paths.run(name)) for name in config.runs}
    return {name: pace for name, pace in paces.items() if pace is not None}


def _trial_config(config: PairConfig) -> PairConfig:
    document = config.model_dump(mode="json")
    for name, run in config.runs.items():
        if isinstance(run, LatentsRun):
            document["runs"][name]["count"] = min(run.count, run.width)
        else:
            document["runs"][name]["settings"] = {**_without_cadence(run.settings), **LOG_EVERY_STEP}
    for settings in document["settings"].values():
        settings.pop("cadence", None)
    for stage in document["stages"]:
        stage["settings"] = {}
    document["report"]["share"] = 0.0
    return PairConfig.model_validate(document)


def _without_cadence(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name.partition(".")[0] != "cadence"}


def _pace(journal: Journal, name: str, folder: Path) -> Pace | None:
    lines = [line for line in read_log(folder) if "images_per_second" in line]
    if not lines or not lines[-1]["seconds"]:
        return None
    in_steps = lines[-1]["seconds"]
    spent = [stage[name].seconds for stage in journal.stages if name in stage]
    return Pace(lines[-1]["images"] / in_steps, max(0.0, sum(spent) - in_steps) / len(spent))


def _images(config: PairConfig, name: str, seconds: float, pace: Pace | None) -> int | None:
    run = config.runs[name]
    if isinstance(run, LatentsRun):
        return run.count
    if pace is None:
        return None
    return round(max(0.0, seconds - pace.other_seconds) * pace.images_per_second)
