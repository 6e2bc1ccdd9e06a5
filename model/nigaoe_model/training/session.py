"""A run from its first step to its last, whatever is trained: logging, saving, scoring, resuming, stopping.

The trainer knows what a step is and what of its networks is scored, shown and shipped; the session knows when.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from nigaoe_model.training.distributed import Team
from nigaoe_model.training.plan import RunPlan, write_plan
from nigaoe_model.training.run_log import RunLog
from nigaoe_model.training.run_state import Progress, load_state, save_state
from nigaoe_model.training.schedule import Cadence, Schedule, stop_signals

STOP_CHECK_STEPS = 16
"""Steps of several GPUs from one question whether any process was asked to stop to the next."""

Report = Callable[[Progress, dict[str, float]], None]
Watch = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Score:
    """What one examination of a network found.

    Attributes:
        numbers: Name to value, as they are logged.
        verdict: What decides which checkpoint is the best; the lowest wins.
        by_photos: Whether the verdict is about photos' latents; such verdicts compare only with each other.
    """

    numbers: dict[str, float]
    verdict: float
    by_photos: bool = False


class Trainer(Protocol):
    """What a session drives: networks in training, on the processes of a team.

    Attributes:
        team: Processes of the run.
        progress: Images and steps so far; a step moves it.
    """

    team: Team
    progress: Progress

    @property
    def cadence(self) -> Cadence:
        """When the session logs, saves, scores and draws samples."""

    def prepare(self) -> None:
        """Do what has to be done once before the first step, after a state was restored."""

    def step(self) -> None:
        """Show one batch and move the networks once; the device may still compute when this returns."""

    def take_losses(self) -> dict[str, float]:
        """Return what a line of the log says of the steps since the last call; nothing where there were none.

        Raises:
            TrainingError: The numbers became infinite.
        """

    def score(self) -> Score:
        """Examine what is shipped; all processes call, and get the same score."""

    def draw_samples(self, folder: Path) -> None:
        """Write sheets of samples into the run's folder; the leading process calls."""

    def export(self, folder: Path, stem: str) -> None:
        """Write slim checkpoints that begin with ``stem``, with the last score; the leading process calls."""

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that going on exactly needs, by name, and bring ``progress`` up to date."""

    def restore(self, progress: Progress, tensors: dict[str, Tensor]) -> None:
        """Go on from what :meth:`tensors` returned.

        Raises:
            TrainingError: The tensors belong to other networks.
        """


def set_up_torch(threads: int | None) -> None:
    """Prepare PyTorch for training.

    Args:
        threads: CPU threads; None leaves PyTorch's choice.
    """
    # Denormal numbers make late, small gradients up to a hundred times slower on a CPU.
    torch.set_flush_denormal(True)
    if threads is not None:
        torch.set_num_threads(threads)


def train(trainer: Trainer, plan: RunPlan, report: Report | None = None, watch: Watch | None = None) -> Progress:
    """Train in the plan's folder, or go on with what is saved there.

    Args:
        trainer: Networks and step.
        plan: Of the run; saved beside it.
        report: Called with each line of the log, by the leading process only.
        watch: Called after each step.

    Raises:
        TrainingError: The numbers became infinite, or the saved state is damaged or of other networks.
    """
    if trainer.team.leads:
        write_plan(plan)
    log = RunLog(plan.folder, tensorboard=plan.tensorboard and trainer.team.leads)
    saved = load_state(plan.folder) if plan.resume else None
    if saved is not None:
        trainer.restore(*saved)
    trainer.prepare()
    return Session(trainer, plan.folder, log, report=report, watch=watch).run()


class Session:
    """One process's part of a run.

    Args:
        trainer: Networks and step, prepared.
        folder: The run's folder; states, logs, samples and checkpoints go there.
        log: Where lines go.
        report: Called with each line of the log, by the leading process only.
        watch: Called after each step.
    """

    def __init__(
        self,
        trainer: Trainer,
        folder: Path,
        log: RunLog,
        *,
        report: Report | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.trainer, self.folder, self.log, self.report, self.watch = trainer, folder, log, report, watch
        self.team, self.cadence = trainer.team, trainer.cadence
        self._schedule = Schedule(self.cadence, trainer.progress.images_seen)
        self._scored_at = -1
        self._stop = False

    def run(self) -> Progress:
        """Train to the end, or until a signal asks to stop; both leave a state and the checkpoint ``latest`` on disk.

        Raises:
            TrainingError: The numbers became infinite.
        """
        with stop_signals(self._ask_to_stop):
            while self.trainer.progress.images_seen < self.cadence.total_images and not self._asked_to_stop():
                started = time.monotonic()
                self.trainer.step()
                self.trainer.progress.seconds += time.monotonic() - started
                if self.watch is not None:
                    self.watch(self.trainer.progress)
                self._do_what_is_due()
            self._end()
        return self.trainer.progress

    def _do_what_is_due(self) -> None:
        cadence = self.cadence
        if self._due(cadence.log_images):
            self._write_line()
        if self._due(cadence.sample_images) and self.team.leads:
            self.trainer.draw_samples(self.folder)
        scoring = self._due(cadence.score_images) and self._may_score()
        # A score takes long and may be killed, so what it judges is saved first.
        if scoring or self._schedule.saving_is_due():
            self._save()
        if scoring:
            self._score()

    def _end(self) -> None:
        self._write_line()  # A run may be shorter than the distance of two lines.
        if self.cadence.score_at_end and self._scored_at != self.trainer.progress.images_seen:
            self._save()
            self._score()
        self._save()
        if self.team.leads:
            self.trainer.export(self.folder, "latest")
        self.team.wait()

    def _due(self, every: int) -> bool:
        return self._schedule.crossed(self.trainer.progress.images_seen, every)

    def _may_score(self) -> bool:
        """Whether there is time for a score; the last is always made. The leading process decides for all."""
        ends = self.trainer.progress.images_seen >= self.cadence.total_images
        return self.team.agree(self.team.leads and (ends or self._schedule.scoring_is_affordable()))

    def _write_line(self) -> None:
        started, progress = time.monotonic(), self.trainer.progress
        losses = self.trainer.take_losses()
        progress.seconds += time.monotonic() - started  # Steps are asked for; here is waited for them.
        if losses:
            pace = self._schedule.images_per_second(progress.images_seen)
            self._log(losses | {"images_per_second": pace, "seconds": progress.seconds})

    def _score(self) -> None:
        """Score what is shipped; the best one is kept as a slim checkpoint."""
        started, progress = time.monotonic(), self.trainer.progress
        score = self.trainer.score()
        self._schedule.scored(time.monotonic() - started)
        self._scored_at = progress.images_seen
        best = progress.is_best(score.verdict, by_photos=score.by_photos)
        if best and self.cadence.keep_best and self.team.leads:
            self.trainer.export(self.folder, "best")
        self._log(score.numbers)

    def _log(self, numbers: dict[str, float]) -> None:
        if not self.team.leads:
            return
        line = self.log.write(self.trainer.progress.images_seen, numbers)
        if self.report is not None:
            self.report(self.trainer.progress, line)

    def _save(self) -> None:
        self._schedule.saved()
        if self.team.leads:
            save_state(self.folder, self.trainer.progress, self.trainer.tensors())

    # ---- stopping -------------------------------------------------------------------------------------------------

    def _ask_to_stop(self) -> None:
        self._stop = True

    def _asked_to_stop(self) -> bool:
        # Several processes ask each other, for which a GPU would have to be waited for after every step.
        waits = self.team.size > 1 and self.team.device.type == "cuda"
        if waits and self.trainer.progress.steps % STOP_CHECK_STEPS:
            return False
        return self.team.agree(self._stop)
