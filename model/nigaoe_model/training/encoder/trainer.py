"""The training of an encoder, as a session drives it.

Own faces teach the latent itself (Zhu et al., "In-Domain GAN Inversion for Real Image Editing", 2020, section 3.1, and
free pairs of picture and latent). Photos teach through the generator: what it draws from the guess must look like the
photo, and the guess may not leave the latents that the generator was trained with.

A step is a function of the networks, the optimiser, the progress and the seed alone, so a resumed run makes the very
steps that the stopped one would have made. It reads and writes the device's memory alone, so that it can be recorded
(:mod:`nigaoe_model.training.step_recordings`).
"""

import math
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from nigaoe_core.errors import TrainingError
from nigaoe_model.inversion.algorithm import weight_columns
from nigaoe_model.inversion.batch import Iterate
from nigaoe_model.inversion.encoder.checkpoint import EncoderCard, EncoderCheckpoint, save_encoder
from nigaoe_model.inversion.encoder.network import Encoder
from nigaoe_model.inversion.graphs import Recorder
from nigaoe_model.inversion.region import face_region
from nigaoe_model.portrait.convert import search_objective
from nigaoe_model.portrait.pair import LoadedGenerator
from nigaoe_model.stylegan2.checkpoint import TrainingRecord
from nigaoe_model.stylegan2.inference.synthesis import FrozenSynthesis
from nigaoe_model.training.distributed import Team
from nigaoe_model.training.encoder.config import EncoderConfig, OptimiserSettings
from nigaoe_model.training.encoder.examination import EncoderExaminer
from nigaoe_model.training.encoder.faces import KnownFaces, Photos, draw_known_faces
from nigaoe_model.training.encoder.learner import EncoderLearner
from nigaoe_model.training.optimisation import ema_decay
from nigaoe_model.training.precision import resolve_precision
from nigaoe_model.training.run_state import Progress
from nigaoe_model.training.schedule import Cadence
from nigaoe_model.training.session import Score
from nigaoe_model.training.step_recordings import StepRecordings, seed_step, step_recorder
from nigaoe_model.training.step_state import LossMeter

LOSSES = ("code", "picture", "distance", "broken")

MAX_NAME = 64


class EncoderTrainer:
    """The step that moves an encoder and its moving average; and what is scored and shipped.

    Args:
        config: The run's settings.
        loaded: The generator whose latents are learned; it does not change.
        encoder: On the generator's device.
        photos: Shown beside the generator's own faces; None: own faces only.
        held_out: Photos that examinations show; None: there are none. # [N, 3, R, R].
        recorder: Records steps; None leaves it to ``compute.step_graphs``.

    Raises:
        TrainingError: Steps shall be recorded where they cannot be.
    """

    def __init__(
        self,
        config: EncoderConfig,
        loaded: LoadedGenerator,
        encoder: Encoder,
        photos: Photos | None = None,
        *,
        held_out: Tensor | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self.config, self.loaded, self.photos, self._held_out = config, loaded, photos, held_out
        self.device = encoder.mean.device
        self.team = Team(0, 1, self.device)
        # Places in the device's memory that the host writes before a step.
        self._rate, self._average_rate = (torch.zeros((), device=self.device) for _ in range(2))
        dtype = resolve_precision(config.compute.precision, self.device, from_resolution=4).dtype
        self.learner = EncoderLearner(encoder, dtype, rate=self._rate, beta2=config.optimiser.beta2)
        self.objective = search_objective(loaded)
        self.synthesis = FrozenSynthesis(loaded.generator.synthesis, dtype=dtype)
        self.progress = Progress()
        self.photo_count = round(config.batch * config.photo_share) if photos is not None else 0
        self.own_count = config.batch - self.photo_count
        self.region = face_region(
            loaded.card.alignment, loaded.card.architecture.resolution, background=config.background
        ).to(self.device)
        self._std = loaded.statistics.std.to(self.device)
        self._weights = weight_columns((config.weights,) * len(range(self._redrawn(), config.batch)), self.device)
        self.losses = LossMeter(LOSSES, self.device)
        self.last_score: Score | None = None
        self.recordings: StepRecordings[None] = StepRecordings(
            self._make,
            recorder or step_recorder(config.compute.step_graphs, self.device),
            places=self._places,
            seed=lambda: seed_step(self.config.compute.seed, self.progress.steps),
            clean=lambda: self.learner.network.zero_grad(set_to_none=True),
        )

    @property
    def cadence(self) -> Cadence:
        """When the session logs, saves and scores."""
        settings = self.config.cadence
        return Cadence(
            self.config.total_images,
            self.config.batch,
            log_images=settings.log_images,
            save_seconds=settings.save_seconds,
            score_images=settings.score_images,
            score_at_end=True,
        )

    def prepare(self) -> None:
        """Draw the examined faces."""
        self._examiner = EncoderExaminer(
            self.loaded, self.objective, self.config.cadence.score_faces, self._held_out, self.region
        )

    def step(self) -> None:
        """Show one batch and move the network once; the device may still compute when this returns."""
        if self.photos is not None:
            self.photos.prepare(self.progress.steps * self.photo_count, self.photo_count)
        seen, settings = self.progress.images_seen + self.config.batch, self.config.average
        decay = ema_decay(self.config.batch, settings.halflife_images, seen, settings.rampup)
        self._average_rate.fill_(1.0 - decay)
        self._rate.fill_(self.rate)
        self.recordings.run(None)
        self.progress.steps += 1
        self.progress.images_seen = seen

    @property
    def rate(self) -> float:
        """Adam's rate in the next step."""
        return learning_rate_at(self.config.optimiser, self.progress.images_seen, self.config.total_images)

    def take_losses(self) -> dict[str, float]:
        """Return each loss's mean since the last call; waits for the device.

        Raises:
            TrainingError: A loss was not finite; Adam left such steps out.
        """
        losses = self.losses.take()
        if losses.pop("broken", 0.0) > 0:
            raise TrainingError("The loss became infinite; lower optimiser.learning_rate, then resume.")
        return losses | {"rate": self.rate} if losses else {}

    # ---- the step ---------------------------------------------------------------------------------------------------

    def _make(self, _kind: None) -> None:
        """Make one step; nothing is kept of it but what it wrote."""
        own = draw_known_faces(self.loaded, self.own_count, self.config.own_faces, self._std)
        images = own.image if self.photos is None else torch.cat([own.image, self.photos.batch()])
        guessed = self.learner.guess(images)
        losses, loss = self._compare_latents(own, guessed), guessed.new_zeros(())
        if "code" in losses:
            loss = loss + self.config.code * losses["code"]
        if (redrawn := self._redrawn()) < len(images):
            pictures = self._compare_pictures(images[redrawn:], guessed[redrawn:])
            losses |= pictures
            loss = loss + pictures["picture"]
        losses["broken"] = self._descend(loss)
        self.losses.add(losses)

    def _redrawn(self) -> int:
        """First picture whose guess is redrawn: the photos come last, and before them a share of the own faces."""
        return self.config.batch - self.photo_count - round(self.own_count * self.config.own_faces.redrawn)

    def _compare_latents(self, own: KnownFaces, guessed: Tensor) -> dict[str, Tensor]:
        """Mean squared distance of known and guessed latents, in units of w's variance: 1 for the mean face."""
        if not self.own_count:
            return {}
        difference = guessed[: self.own_count] - own.w_plus
        return {"code": difference.square().mean() / self.objective.prior.variance}

    def _compare_pictures(self, images: Tensor, guessed: Tensor) -> dict[str, Tensor]:
        """What a search would say about the guess as its present iterate."""
        target = self.objective.describe(images, self.region.expand(len(images), -1, -1, -1))
        iterate = Iterate(guessed, self.synthesis(guessed))
        measured = self.objective.measure(iterate, target, self._weights)
        return {"picture": measured.loss.mean(), "distance": measured.distance.mean()}

    def _descend(self, loss: Tensor) -> Tensor:
        """Make one Adam step, but none of a loss that is not finite: it must not poison Adam's moments.

        Returns:
            1 for a broken loss, else 0. # [].
        """
        broken = (~torch.isfinite(loss.detach())).float()
        self.learner.adam.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # PyTorch leaves backward untyped
        self.learner.adam.found_inf = broken  # type: ignore[attr-defined]  # as torch.amp.GradScaler tells a fused Adam
        self.learner.move(self._average_rate)
        return broken

    def _places(self) -> Iterator[Tensor]:
        """Yield all tensors that a step writes."""
        yield from self.learner.places()
        yield self.losses.sums

    # ---- what is scored and shipped ---------------------------------------------------------------------------------

    def score(self) -> Score:
        """Examine the moving average."""
        self.last_score = self._examiner.examine(self.learner.average)
        return self.last_score

    def draw_samples(self, folder: Path) -> None:
        """An encoder has no pictures of its own; its cadence asks for none."""

    def export(self, folder: Path, stem: str) -> None:
        """Write the moving average in fp16 as ``<stem>.safetensors``."""
        checkpoint = EncoderCheckpoint(self._card(), self.learner.average.state_dict())
        save_encoder(checkpoint, folder / f"{stem}.safetensors", dtype=torch.float16)

    def _card(self) -> EncoderCard:
        config, loaded, suffix = self.config, self.loaded, "-encoder"
        return EncoderCard(
            name=config.name or loaded.card.name[: MAX_NAME - len(suffix)] + suffix,
            architecture=self.learner.average.architecture,
            generator_sha256=loaded.digest,
            alignment=loaded.card.alignment,
            training=TrainingRecord(
                images_seen=self.progress.images_seen,
                datasets=(self.photos.dataset.card.name,) if self.photos is not None else (),
                recipe=config.model_dump(mode="json"),
                metrics=self.last_score.numbers if self.last_score is not None else {},
            ),
            licence=config.licence or loaded.card.licence,
            source="nigaoe train encoder",
        )

    # ---- state ------------------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that a resumed run needs, by name."""
        return self.learner.tensors()

    def restore(self, progress: Progress, tensors: dict[str, Tensor]) -> None:
        """Go on from what :meth:`tensors` returned.

        Raises:
            TrainingError: The tensors belong to another network.
        """
        try:
            self.learner.restore(tensors)
        except (RuntimeError, ValueError) as error:
            raise TrainingError(f"The saved state belongs to another network: {error}") from error
        self.recordings.forget()
        self.progress = progress


def learning_rate_at(settings: OptimiserSettings, images_seen: int, total_images: int) -> float:
    """Return Adam's rate after ``images_seen`` pictures."""
    rate = settings.learning_rate
    if settings.schedule == "cosine":
        rate *= 0.5 + 0.5 * math.cos(math.pi * min(images_seen / total_images, 1.0))
    if settings.warm_up_images:
        rate *= min(1.0, (images_seen + 1) / settings.warm_up_images)
    return rate
