"""Train a pair: stage after stage, what is finished into the pair, the report at the end."""

import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import tomli_w
from rich.console import Console

from nigaoe.pair_training.commands import checkpoints_of, command_of
from nigaoe.pair_training.config import EncoderRun, PairConfig, StyleRun
from nigaoe.pair_training.journal import Journal, RunRecord, open_journal
from nigaoe.pair_training.pair_folder import PairPaths, locked
from nigaoe.pair_training.stage import Failure, StageProcesses
from nigaoe.pair_training.watching import Watcher, standing
from nigaoe_core.atomic_write import atomic_replacement
from nigaoe_core.errors import TrainingError
from nigaoe_model.training.run_inputs import Starts

SAVE_SECONDS: Final = 2.0


def train_pair(
    config: PairConfig,
    folder: Path,
    minutes: float,
    console: Console,
    *,
    stop_after: float | None = None,
    report: bool = True,
) -> bool:
    """Train a pair, or go on with it.

    Args:
        config: What it is made of.
        folder: Where it lives.
        minutes: Budget of everything, what was done before included.
        console: Where progress is shown.
        stop_after: Minutes of this call after which it stops as if by a signal; None: it does not.
        report: Write the report at the end.

    Returns:
        Whether it is finished; False: it was asked to stop, and the same call goes on.

    Raises:
        TrainingError: A run failed, another process works in the folder, or it holds another pair.
    """
    until = time.monotonic() + 60 * stop_after if stop_after is not None else None
    paths = PairPaths(folder)
    _check_datasets(config)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(paths) as lock:
        journal = open_journal(paths.journal, config, minutes)
        journal.save(paths.journal)
        with Watcher(console, journal, paths) as watcher:
            call = _Call(journal, paths, watcher, lock, until)
            for stage in range(len(journal.stages)):
                if not journal.is_done(stage) and not _train_stage(call, stage):
                    return False
                _publish(journal.config, stage, paths)
            return not report or _report(call)


@dataclass(frozen=True, slots=True)
class _Call:
    """What one call of `train_pair` works with.

    Attributes:
        journal: What has been done.
        paths: The folder.
        watcher: Shows it.
        lock: Descriptor that locks the folder.
        until: Monotonic time at which to stop; None: never.
    """

    journal: Journal
    paths: PairPaths
    watcher: Watcher
    lock: int
    until: float | None


def _train_stage(call: _Call, stage: int) -> bool:
    """Train one stage; False: it was asked to stop.

    Raises:
        TrainingError: A run failed.
    """
    journal, paths = call.journal, call.paths
    records = {name: record for name, record in journal.stages[stage].items() if not record.done}
    refresh = call.watcher.begin(stage, list(records))
    processes = StageProcesses(
        {name: command_of(journal.config, stage, name, paths) for name in records},
        records,
        {name: paths.output(name) for name in records},
        allowance=journal.allowance(stage),
        lock=call.lock,
        until=call.until,
    )
    saving = _Saving(journal, paths)

    def watch() -> None:
        saving.now_and_then()
        refresh()

    processes.run(watch)
    for name, record in records.items():
        where = standing(paths.run(name))
        record.images = where.images if where is not None else None
    journal.save(paths.journal)
    call.watcher.end()
    if processes.failures:
        raise TrainingError(_failure_message(journal.config.stages[stage].name, processes.failures))
    return not processes.was_asked_to_stop


class _Saving:
    """Saves the journal every few seconds: what a kill loses of the count."""

    def __init__(self, journal: Journal, paths: PairPaths) -> None:
        self._journal, self._paths, self._at = journal, paths, time.monotonic()

    def now_and_then(self) -> None:
        """Save if it is time."""
        if time.monotonic() - self._at >= SAVE_SECONDS:
            self._journal.save(self._paths.journal)
            self._at = time.monotonic()


def _failure_message(stage: str, failures: list[Failure]) -> str:
    words = " ".join(f"`{f.run}` failed: {f.reason.rstrip('.')} (all that it said: {f.output})." for f in failures)
    return f"In the stage `{stage}` {words} Mend that and give the same command again: it goes on."


def _publish(config: PairConfig, stage: int, paths: PairPaths) -> None:
    """Copy the checkpoints of runs whose last stage this was into the pair, and describe it."""
    for name in config.stages[stage].runs:
        # Searches of a later stage start from an encoder that may learn on; everything else is bound by digests.
        grows_on = isinstance(config.runs[name], EncoderRun)
        if not grows_on and config.last_stage(name) != stage:
            continue
        for source, target in checkpoints_of(config, name, paths):
            if grows_on or not target.is_file():
                _copy(source, target)
    paths.weights.mkdir(parents=True, exist_ok=True)
    (paths.weights / "manifest.toml").write_text(tomli_w.dumps(_manifest(config, paths)), encoding="utf-8")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_replacement(target) as part:
        shutil.copy2(source, part)


def _manifest(config: PairConfig, paths: PairPaths) -> dict[str, object]:
    generator = config.generator
    row = {
        "file": f"{generator}.safetensors",
        "discriminator": f"{generator}-discriminator.safetensors",
        "domain": "human",
    }
    encoder = next((name for name, run in config.runs.items() if isinstance(run, EncoderRun)), None)
    if encoder is not None and paths.weight(encoder).is_file():
        row["encoder"] = f"{encoder}.safetensors"
    styles = {
        name: {
            "file": f"{name}.safetensors",
            "parent": generator,
            "title": run.title or name.capitalize(),
            "description": run.description,
        }
        for name, run in config.runs.items()
        if isinstance(run, StyleRun) and paths.weight(name).is_file()
    }
    return {"format_version": 1, "generators": {generator: row}, "styles": styles}


def _report(call: _Call) -> bool:
    """Write the report in a process of its own; False: it was asked to stop.

    Raises:
        TrainingError: It could not be written; the pair is whole.
    """
    journal, paths = call.journal, call.paths
    if journal.report_seconds is not None:
        return True
    call.watcher.say("The report")
    record = RunRecord()
    command = [sys.executable, "-m", "nigaoe", "train", "pair-report", str(paths.root)]
    outputs = {"report": paths.output("report")}
    processes = StageProcesses(
        {"report": command}, {"report": record}, outputs, allowance=float("inf"), lock=call.lock, until=call.until
    )
    processes.run(lambda: None)
    if processes.failures:
        reason = processes.failures[0].reason.rstrip(".")
        raise TrainingError(f"The pair in `{paths.weights}` is whole, but its report failed: {reason}.")
    if processes.was_asked_to_stop:
        return False
    journal.report_seconds = record.seconds
    journal.save(paths.journal)
    return True


def _check_datasets(config: PairConfig) -> None:
    """Find out now, not in the eighth minute.

    Raises:
        TrainingError: A data set or a checkpoint to start from is missing.
    """
    for name, folder in config.datasets.items():
        if not (folder / "dataset.json").is_file():
            raise TrainingError(
                f"The data set `{name}` is not at `{folder}`; make it with `nigaoe data prepare`, or name its place "
                f"with --set datasets.{name}=FOLDER."
            )
    for name, run in config.runs.items():
        for start in Starts.model_fields:
            path = getattr(run, start, None)
            if path is not None and not path.is_file():
                raise TrainingError(f"The run `{name}` starts from `{path}`, which is not there.")
