"""The training of a compared method, as a session drives it.

A step is a function of the networks, the optimisers, the progress and the seed alone, so a resumed run makes the very
steps that the stopped one would have made.
"""

from collections.abc import Hashable
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from nigaoe_core.errors import TrainingError
from nigaoe_faces.align import AlignmentTemplate
from nigaoe_model.compared.method_card import MethodCard
from nigaoe_model.inversion.graphs import Recorder
from nigaoe_model.stylegan2.checkpoint import TrainingRecord
from nigaoe_model.training.dataset import to_bytes
from nigaoe_model.training.distributed import Team
from nigaoe_model.training.methods.config import MethodConfig
from nigaoe_model.training.methods.domains import Domains
from nigaoe_model.training.methods.examination import MethodExaminer
from nigaoe_model.training.methods.step import BROKEN, MethodStep
from nigaoe_model.training.run_state import Progress
from nigaoe_model.training.sample_grid import save_grid
from nigaoe_model.training.schedule import Cadence
from nigaoe_model.training.session import Score
from nigaoe_model.training.step_recordings import StepRecordings, seed_step, step_recorder

SHEET_ROWS = 12
SHEET_SCALE = 2
METRICS = {"fd_effnet": "FD-effnet", "precision": "precision", "recall": "recall"}
"""What of a score checkpoints say, and under which name."""


class MethodTrainer:
    """A method's step with what the host decides; and what is scored, shown and shipped.

    Args:
        kind: Name of the method, as its files have it.
        config: The run's settings.
        domains: What is learned from.
        body: The method's step.
        device: Where steps are computed.
        recorder: Records steps; None leaves it to ``compute.step_graphs``.

    Raises:
        TrainingError: The pictures have another size than the networks, nothing says how photos are framed, or steps
            shall be recorded where they cannot be.
    """

    def __init__(
        self,
        kind: str,
        config: MethodConfig,
        domains: Domains,
        body: MethodStep,
        device: torch.device,
        *,
        recorder: Recorder | None = None,
    ) -> None:
        if domains.resolution != config.resolution:
            raise TrainingError(
                f"The data sets have {domains.resolution} px and the networks {config.resolution} px; prepare the data "
                f"with --resolution {config.resolution}."
            )
        self.kind, self.config, self.domains, self.body = kind, config, domains, body
        self.alignment = _alignment(config, domains)
        self.team = Team(0, 1, device)
        self.progress = Progress()
        self.last_score: Score | None = None
        self.recordings: StepRecordings[Hashable] = StepRecordings(
            body.make,
            recorder or step_recorder(config.compute.step_graphs, device),
            places=body.places,
            seed=lambda: seed_step(self.config.compute.seed, self.progress.steps),
            clean=body.drop_gradients,
        )

    @property
    def cadence(self) -> Cadence:
        """When the session logs, saves, scores and draws samples."""
        settings = self.config.cadence
        return Cadence(
            self.config.total_images,
            self.config.batch,
            log_images=settings.log_images,
            save_seconds=settings.save_seconds,
            score_images=settings.score_images,
            score_share=settings.score_share,
            keep_best=settings.keep_best,
            sample_images=settings.grid_images,
        )

    def prepare(self) -> None:
        """Nothing has to be done before the first step."""

    def step(self) -> None:
        """Show one batch and move the networks once; the device may still compute when this returns."""
        self.recordings.run(self.body.begin(self.progress))
        self.progress.steps += 1
        self.progress.images_seen += self.config.batch

    def take_losses(self) -> dict[str, float]:
        """Return each loss's mean since the last call; waits for the device.

        Raises:
            TrainingError: A loss or a gradient was not finite; Adam left such steps out.
        """
        losses = self.body.losses.take()
        if losses.pop(BROKEN, 0.0) > 0:
            raise TrainingError("The loss became infinite; lower optimiser.learning_rate, then resume.")
        return losses

    # ---- what is scored, shown and shipped --------------------------------------------------------------------------

    def score(self) -> Score:
        """Score drawings of the held-out photos by the moving averages."""
        self.last_score = self._examiner.examine(self.body)
        return self.last_score

    @cached_property
    def _examiner(self) -> MethodExaminer:
        return MethodExaminer(self.domains, self.config.cadence.score_samples, self.team)

    def draw_samples(self, folder: Path) -> None:
        """Draw the same held-out photos each time as one sheet below ``grids``."""
        count, device = min(SHEET_ROWS, self.domains.kept), self.team.device
        photos, anime = self.domains.held_out_photos(0, count), self.domains.references(0, count)
        with torch.no_grad():
            rows = self.body.sheet(photos.to(device), anime.to(device))  # [N, columns, 3, R, R]
        path = folder / "grids" / f"{self.progress.images_seen:09d}.png"
        save_grid(to_bytes(rows.flatten(0, 1)).cpu(), path, columns=rows.shape[1], scale=SHEET_SCALE)

    def export(self, folder: Path, stem: str) -> None:
        """Write the moving averages in fp16 as ``<stem>.safetensors``."""
        config, numbers = self.config, {} if self.last_score is None else self.last_score.numbers
        about = MethodCard(
            kind=self.kind,
            name=config.name,
            alignment=self.alignment,
            training=TrainingRecord(
                images_seen=self.progress.images_seen,
                datasets=self.domains.names,
                recipe=config.model_dump(mode="json", exclude={"architecture", "alignment"}),
                metrics={METRICS[name]: value for name, value in numbers.items() if name in METRICS},
            ),
            licence=config.licence,
            source=f"nigaoe train --method {self.kind}",
        )
        self.body.write(folder / f"{stem}.safetensors", about)

    # ---- state ------------------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that a resumed run needs, by name."""
        return self.body.tensors()

    def restore(self, progress: Progress, tensors: dict[str, Tensor]) -> None:
        """Go on from what :meth:`tensors` returned.

        Raises:
            TrainingError: The tensors belong to other networks.
        """
        try:
            self.body.restore(tensors)
        except (RuntimeError, ValueError, KeyError) as error:
            raise TrainingError(f"The saved state belongs to another network: {error}") from error
        self.recordings.forget()
        self.progress = progress


def _alignment(config: MethodConfig, domains: Domains) -> AlignmentTemplate:
    alignment = config.alignment or domains.alignment
    if alignment is None:
        raise TrainingError(
            f"`{domains.photos.folder}` has no alignment template; prepare the photos with --alignment."
        )
    return alignment
