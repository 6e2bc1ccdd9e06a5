"""Train a pair: stage after stage, what is finished into the pair, the report at the end."""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import tomli_w
from filelock import lock_descriptor
from rich.console import Console

from nigaoe.pair_training.commands import checkpoints_of, command_of
from nigaoe.pair_training.config import EncoderRun, PairConfig, StyleRun
from nigaoe.pair_training.journal import Journal, RunRecord, open_journal
from nigaoe.pair_training.places import Places
from nigaoe.pair_training.stage import Failure, StageProcesses
from nigaoe.pair_training.watching import Watcher, standing
from nigaoe_core.atomic_write import atomic_replacement
from nigaoe_core.errors import TrainingError

SAVE_SECONDS: Final = 2.0
LOCK_SECONDS: Final = 60.0
"""Runs of a pair whose process vanished save what they have; we wait so long for them."""


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
        stop_after: Minutes of this call after which it stops as if somebody had asked; None: it does not.
        report: Write the report at the end.

    Returns:
        Whether it is finished; False: somebody asked to stop, and the same call goes on.

    Raises:
        TrainingError: A run failed, somebody else works in the folder, or it holds another pair.
    """
    until = time.monotonic() + 60 * stop_after if stop_after is not None else None
    places = Places(folder)
    _check_datasets(config)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(places) as lock:
        journal = open_journal(places.journal, config, minutes)
        journal.save(places.journal)
        with Watcher(console, journal, places) as watcher:
            call = _Call(journal, places, watcher, lock, until)
            for stage in range(len(journal.stages)):
                if not journal.is_done(stage) and not _train_stage(call, stage):
                    return False
                _publish(journal.config, stage, places)
            return not report or _report(call)


@dataclass(frozen=True, slots=True)
class _Call:
    """What one call of `train_pair` works with.

    Attributes:
        journal: What has been done.
        places: The folder.
        watcher: Shows it.
        lock: Descriptor that holds the folder.
        until: Monotonic time at which to stop; None: never.
    """

    journal: Journal
    places: Places
    watcher: Watcher
    lock: int
    until: float | None


def _train_stage(call: _Call, stage: int) -> bool:
    """Train one stage; False: somebody asked to stop.

    Raises:
        TrainingError: A run failed.
    """
    journal, places = call.journal, call.places
    records = {name: record for name, record in journal.stages[stage].items() if not record.done}
    look = call.watcher.begin(stage, list(records))
    processes = StageProcesses(
        {name: command_of(journal.config, stage, name, places) for name in records},
        records,
        {name: places.output(name) for name in records},
        allowance=journal.allowance(stage),
        lock=call.lock,
        until=call.until,
    )
    saving = _Saving(journal, places)

    def watch() -> None:
        saving.now_and_then()
        look()

    processes.run(watch)
    for name, record in records.items():
        where = standing(places.run(name))
        record.images = where.images if where is not None else None
    journal.save(places.journal)
    call.watcher.end()
    if processes.failures:
        raise TrainingError(_told(journal.config.stages[stage].name, processes.failures))
    return not processes.was_asked_to_stop


class _Saving:
    """Saves the journal every few seconds: what a kill loses of the count."""

    def __init__(self, journal: Journal, places: Places) -> None:
        self._journal, self._places, self._at = journal, places, time.monotonic()

    def now_and_then(self) -> None:
        """Save if it is time."""
        if time.monotonic() - self._at >= SAVE_SECONDS:
            self._journal.save(self._places.journal)
            self._at = time.monotonic()


def _told(stage: str, failures: list[Failure]) -> str:
    words = " ".join(f"`{f.run}` failed: {f.reason.rstrip('.')} (all that it said: {f.output})." for f in failures)
    return f"In the stage `{stage}` {words} Mend that and give the same command again: it goes on."


def _publish(config: PairConfig, stage: int, places: Places) -> None:
    """Copy the checkpoints of runs whose last stage this was into the pair, and describe it."""
    for name in config.stages[stage].runs:
        # Searches of a later stage start from an encoder that may learn on; everything else is bound by digests.
        grows_on = isinstance(config.runs[name], EncoderRun)
        if not grows_on and config.last_stage(name) != stage:
            continue
        for source, target in checkpoints_of(config, name, places):
            if grows_on or not target.is_file():
                _copy(source, target)
    places.weights.mkdir(parents=True, exist_ok=True)
    (places.weights / "manifest.toml").write_text(tomli_w.dumps(_manifest(config, places)), encoding="utf-8")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_replacement(target) as part:
        shutil.copy2(source, part)


def _manifest(config: PairConfig, places: Places) -> dict[str, object]:
    generator = config.generator
    row = {
        "file": f"{generator}.safetensors",
        "discriminator": f"{generator}-discriminator.safetensors",
        "domain": "human",
    }
    encoder = next((name for name, run in config.runs.items() if isinstance(run, EncoderRun)), None)
    if encoder is not None and places.weight(encoder).is_file():
        row["encoder"] = f"{encoder}.safetensors"
    styles = {
        name: {
            "file": f"{name}.safetensors",
            "parent": generator,
            "title": run.title or name.capitalize(),
            "description": run.description,
        }
        for name, run in config.runs.items()
        if isinstance(run, StyleRun) and places.weight(name).is_file()
    }
    return {"format_version": 1, "generators": {generator: row}, "styles": styles}


def _report(call: _Call) -> bool:
    """Write the report in a process of its own; False: somebody asked to stop.

    Raises:
        TrainingError: It could not be written; the pair is whole.
    """
    journal, places = call.journal, call.places
    if journal.report_seconds is not None:
        return True
    call.watcher.say("The report")
    record = RunRecord()
    command = [sys.executable, "-m", "nigaoe", "train", "pair-report", str(places.root)]
    outputs = {"report": places.output("report")}
    processes = StageProcesses(
        {"report": command}, {"report": record}, outputs, allowance=float("inf"), lock=call.lock, until=call.until
    )
    processes.run(lambda: None)
    if processes.failures:
        reason = processes.failures[0].reason.rstrip(".")
        raise TrainingError(f"The pair in `{places.weights}` is whole, but its report failed: {reason}.")
    if processes.was_asked_to_stop:
        return False
    journal.report_seconds = record.seconds
    journal.save(places.journal)
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
        for start in ("grow", "init", "init_average", "init_discriminator"):
            path = getattr(run, start, None)
            if path is not None and not path.is_file():
                raise TrainingError(f"The run `{name}` starts from `{path}`, which is not there.")


@contextmanager
def locked(places: Places) -> Iterator[int]:
    """Hold the folder; give the descriptor to every process that works in it.

    Raises:
        TrainingError: Somebody else works in it.
    """
    descriptor = os.open(places.lock, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        deadline = time.monotonic() + LOCK_SECONDS
        while not lock_descriptor(descriptor, blocking=False):
            if time.monotonic() >= deadline:
                raise TrainingError(f"Another process works in `{places.root}`; wait for it, or end it.")
            time.sleep(0.2)
        yield descriptor
    finally:
        os.close(descriptor)
