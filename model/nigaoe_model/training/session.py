"""A run from its first step to its last: when to log, save, show and score.

The trainer knows one step; the session knows the calendar.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from nigaoe_core.errors import TrainingError
from nigaoe_model.stylegan2.checkpoint import Checkpoint
from nigaoe_model.training.config import TrainingConfig
from nigaoe_model.training.dataset import PackedDataset
from nigaoe_model.training.distributed import Team
from nigaoe_model.training.export import describe_run, slim_discriminator, slim_generator, write_encoder, write_pair
from nigaoe_model.training.run_log import RunLog
from nigaoe_model.training.run_state import Progress, go_on, save_state
from nigaoe_model.training.sample_grid import draw_pictures, draw_styles, fixed_latents, save_grid
from nigaoe_model.training.schedule import Calendar
from nigaoe_model.training.scoring import Examiner, Score
from nigaoe_model.training.stop_signals import stop_signals
from nigaoe_model.training.trainer import Trainer

GRID_PICTURES = 64

STOP_LOOK_STEPS = 16
"""Steps of several GPUs from one question whether anybody was asked to stop to the next."""
Report = Callable[[Progress, dict[str, float]], None]
Watch = Callable[[Progress], None]


class Session:
    """One process's part of a run.

    Args:
        trainer: Networks and step.
        folder: The run's folder; states, logs, grids and checkpoints go there.
        parent: What a fine-tune started from.
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
        parent: Checkpoint | None = None,
        report: Report | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.trainer, self.folder, self.parent = trainer, folder, parent
        self.config: TrainingConfig = trainer.config
        self.dataset: PackedDataset = trainer.dataset
        self.team: Team = trainer.team
        self.log = log
        self.report = report
        self.watch = watch
        self.score: Score | None = None
        self._photos = trainer.photo_latents
        least_psi, samples = self.config.photo_latents.least_psi, self.config.cadence.score_samples
        self._examiner = Examiner(self.dataset, samples, self.team, self._photos, least_psi=least_psi)
        self._calendar = self._new_calendar()
        self._stop = False

    def resume(self) -> bool:
        """Go on from the folder's state; False where there is none.

        Raises:
            TrainingError: The state is damaged or of other networks.
        """
        return go_on(self.folder, self.trainer.restore)

    def run(self) -> Progress:
        """Train to the end, or until a signal asks to stop; both leave a state on disk.

        Raises:
            TrainingError: The numbers became infinite.
        """
        self._calendar = self._new_calendar()
        with stop_signals(self._ask_to_stop):
            while self.trainer.progress.images_seen < self.config.total_images:
                started = time.monotonic()
                self.trainer.step()
                self.trainer.progress.seconds += time.monotonic() - started
                if self.watch is not None:
                    self.watch(self.trainer.progress)
                self._keep_calendar()
                if self._asked_to_stop():
                    break
            self.log.collect(**self.trainer.take_losses())
            if self.log.has_news:  # A run may be shorter than the distance of two lines.
                self._write_line()
            self._save()
        return self.trainer.progress

    # ---- the calendar -----------------------------------------------------------------------------------------------

    def _new_calendar(self) -> Calendar:
        images, cadence = self.trainer.progress.images_seen, self.config.cadence
        return Calendar(images, batch=self.config.batch, save_seconds=cadence.save_seconds)

    def _keep_calendar(self) -> None:
        cadence = self.config.cadence
        if self._due(cadence.log_images):
            self._write_line()
        if self._due(cadence.grid_images):
            self._show()
        scoring = self._due(cadence.score_images) and self._may_score()
        # A score takes long and may be killed, so what it judges is saved first.
        if scoring or self._calendar.saving_is_due():
            self._save()
        if scoring:
            self._examine()

    def _may_score(self) -> bool:
        """Whether there is time for a score; the last is always made. Who leads has the clock: all score, or none."""
        ends = self.trainer.progress.images_seen >= self.config.total_images
        affordable = self._calendar.scoring_is_affordable(self.config.cadence.score_share)
        return self.team.agree(self.team.leads and (ends or affordable))

    def _due(self, every: int) -> bool:
        return self._calendar.crossed(self.trainer.progress.images_seen, every)

    def _write_line(self) -> None:
        started, progress = time.monotonic(), self.trainer.progress
        self.log.collect(**self.trainer.take_losses())
        progress.seconds += time.monotonic() - started  # Steps are asked for; here is waited for them.
        if not self.team.leads:
            return
        speed = self._calendar.images_per_second(progress.images_seen)
        extra = {"images_per_second": speed, "augment_p": progress.augment_p, "seconds": progress.seconds}
        line = self.log.write(progress.images_seen, **extra)
        if not all(abs(line.get(name, 0.0)) < 1e6 for name in ("g_loss", "d_loss")):
            raise TrainingError("The losses became infinite; lower the learning rates or raise r1_gamma, then resume.")
        if self.report is not None:
            self.report(progress, line)

    def _show(self) -> None:
        if not self.team.leads:
            return
        z = fixed_latents(GRID_PICTURES, self.trainer.networks.average.architecture.z_dim).to(self.team.device)
        sheet = draw_pictures(self.trainer.networks.average, z)
        stem = f"{self.trainer.progress.images_seen:09d}"
        save_grid(sheet, self.folder / "grids" / f"{stem}.png")
        if self._photos is not None:
            ws = self._photos.fixed(GRID_PICTURES, least_psi=self.config.photo_latents.least_psi)
            save_grid(draw_styles(self.trainer.networks.average, ws), self.folder / "grids" / f"{stem}-photos.png")

    def _examine(self) -> None:
        """Score the average; the best one is kept as a slim checkpoint."""
        started = time.monotonic()
        score = self.score = self._examiner.examine(self.trainer.networks.average)
        self._calendar.scored(time.monotonic() - started)
        if not self.team.leads:
            return
        progress = self.trainer.progress
        best = progress.is_best(score.verdict, by_photos=score.fd_photos is not None)
        line = self.log.write(progress.images_seen, **score.flat())
        if best and self.config.cadence.keep_best:
            self.export("best")
        if self.report is not None:
            self.report(progress, line)

    def _save(self) -> None:
        self._calendar.saved()
        if self.team.leads:
            save_state(self.folder, self.trainer.progress, self.trainer.tensors())

    def export(self, stem: str) -> None:
        """Write the slim checkpoints: generator, discriminator, and the encoder where one learned along."""
        networks, score = self.trainer.networks, self.score
        metrics = {} if score is None else {"FD-effnet": score.fd_effnet, "recall": score.recall}
        if score is not None and score.fd_photos is not None:
            metrics["FD-effnet of photos' latents"] = score.fd_photos
        card = describe_run(
            self.config,
            self.dataset,
            networks.average,
            images_seen=self.trainer.progress.images_seen,
            metrics=metrics,
            parent=self.parent,
        )
        generator = slim_generator(card, networks, self.parent)
        write_pair(self.folder, stem, generator, slim_discriminator(card, networks))
        if self.trainer.reconstruction is not None:
            write_encoder(self.folder, stem, generator, self.trainer.reconstruction.average)

    # ---- stopping -------------------------------------------------------------------------------------------------

    def _ask_to_stop(self) -> None:
        self._stop = True

    def _asked_to_stop(self) -> bool:
        # Several processes ask each other, for which a GPU would have to be waited for after every step.
        waits = self.team.size > 1 and self.team.device.type == "cuda"
        if waits and self.trainer.progress.steps % STOP_LOOK_STEPS:
            return False
        return self.team.agree(self._stop)


def fill_moments(trainer: Trainer) -> None:
    """Measure the data's feature moments on a fixed choice of the data."""
    if trainer.moments is None:
        return
    count = min(trainer.config.moments.samples, len(trainer.dataset))
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(trainer.dataset), generator=generator)[:count].sort().values
    flips = torch.rand(count, generator=generator) < (0.5 if trainer.config.augmentation.x_flip else 0.0)

    def batches() -> Iterator[torch.Tensor]:
        for indices, flip in zip(torch.split(chosen, 32), torch.split(flips, 32), strict=True):
            image = trainer.dataset.pictures(indices.numpy())
            yield torch.where(flip[:, None, None, None], image.flip(3), image).to(trainer.team.device)

    trainer.moments.measure(batches())
