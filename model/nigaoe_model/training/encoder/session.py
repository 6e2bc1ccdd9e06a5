"""An encoder's run from its first step to its last: when to log, examine and save.

The trainer knows one step; the session knows the calendar.
"""

import time
from pathlib import Path

import torch

from nigaoe_model.inversion.encoder.checkpoint import EncoderCard, EncoderCheckpoint, save_encoder
from nigaoe_model.stylegan2.checkpoint import TrainingRecord
from nigaoe_model.training.encoder.examination import EncoderExaminer
from nigaoe_model.training.encoder.trainer import EncoderTrainer
from nigaoe_model.training.run_log import RunLog
from nigaoe_model.training.run_state import Progress, go_on, save_state
from nigaoe_model.training.schedule import Calendar
from nigaoe_model.training.session import Report, Watch
from nigaoe_model.training.stop_signals import stop_signals

MAX_NAME = 64


class EncoderSession:
    """A run.

    Args:
        trainer: Networks and step.
        examiner: Says how good the moving average is.
        folder: The run's folder; state, log and checkpoints go there.
        log: Where lines go.
        datasets: Names of the photos' data sets, for the record.
        report: Called with each line of the log.
        watch: Called after each step.
    """

    def __init__(
        self,
        trainer: EncoderTrainer,
        examiner: EncoderExaminer,
        folder: Path,
        log: RunLog,
        *,
        datasets: tuple[str, ...] = (),
        report: Report | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.trainer, self.folder, self.config = trainer, folder, trainer.config
        self._examiner, self._log, self._datasets, self._report = examiner, log, datasets, report
        self._watch = watch
        self._metrics: dict[str, float] = {}
        self._examined_at = -1
        self._calendar = self._new_calendar()
        self._stop = False

    def resume(self) -> bool:
        """Go on from the folder's state; False where there is none.

        Raises:
            TrainingError: The state is damaged or of another network.
        """
        return go_on(self.folder, self.trainer.restore)

    def run(self) -> Progress:
        """Train to the end, or until a signal asks to stop; both leave a state and the checkpoint ``latest`` on disk.

        Raises:
            TrainingError: The numbers became infinite.
        """
        self._calendar = self._new_calendar()
        with stop_signals(self._ask_to_stop):
            while self.trainer.progress.images_seen < self.config.total_images and not self._stop:
                started = time.monotonic()
                self.trainer.step()
                self.trainer.progress.seconds += time.monotonic() - started
                if self._watch is not None:
                    self._watch(self.trainer.progress)
                self._keep_calendar()
            self._save()
            self._examine()
            self._save()
            self._export("latest")
        return self.trainer.progress

    def _ask_to_stop(self) -> None:
        self._stop = True

    def _new_calendar(self) -> Calendar:
        images, cadence = self.trainer.progress.images_seen, self.config.cadence
        return Calendar(images, batch=self.config.batch, save_seconds=cadence.save_seconds)

    def _keep_calendar(self) -> None:
        cadence = self.config.cadence
        if self._due(cadence.log_images):
            self._write_line()
        if self._calendar.saving_is_due():
            self._save()
        if self._due(cadence.score_images):
            self._examine()

    def _due(self, every: int) -> bool:
        return self._calendar.crossed(self.trainer.progress.images_seen, every)

    def _write_line(self) -> None:
        started, progress = time.monotonic(), self.trainer.progress
        self._log.collect(**self.trainer.take_losses())
        progress.seconds += time.monotonic() - started  # Steps are asked for; here is waited for them.
        speed = self._calendar.images_per_second(progress.images_seen)
        self._tell({"images_per_second": speed, "seconds": progress.seconds})

    def _examine(self) -> None:
        """Examine the moving average; the best one is kept as a checkpoint."""
        progress = self.trainer.progress
        if self._examined_at == progress.images_seen:
            return
        self._examined_at = progress.images_seen
        self._metrics = self._examiner.examine(self.trainer.average)
        score = self._examiner.score(self._metrics)
        if progress.is_best(score):
            self._export("best")
        self._tell(self._metrics)

    def _tell(self, numbers: dict[str, float]) -> None:
        line = self._log.write(self.trainer.progress.images_seen, **numbers)
        if self._report is not None:
            self._report(self.trainer.progress, line)

    def _save(self) -> None:
        self._calendar.saved()
        save_state(self.folder, self.trainer.progress, self.trainer.tensors())

    def _export(self, stem: str) -> None:
        """Write the moving average in fp16 as ``<stem>.safetensors``."""
        average = self.trainer.average
        checkpoint = EncoderCheckpoint(self._card(), average.state_dict())
        save_encoder(checkpoint, self.folder / f"{stem}.safetensors", dtype=torch.float16)

    def _card(self) -> EncoderCard:
        config, loaded = self.config, self.trainer.loaded
        suffix = "-encoder"
        return EncoderCard(
            name=config.name or loaded.card.name[: MAX_NAME - len(suffix)] + suffix,
            architecture=self.trainer.average.architecture,
            generator_sha256=loaded.digest,
            alignment=loaded.card.alignment,
            training=TrainingRecord(
                images_seen=self.trainer.progress.images_seen,
                datasets=self._datasets,
                recipe=config.model_dump(mode="json"),
                metrics=self._metrics,
            ),
            licence=config.licence or loaded.card.licence,
            source="nigaoe train encoder",
        )
