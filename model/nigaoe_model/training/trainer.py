"""The training of a generator and its discriminator, as a session drives it.

A step is a function of the networks, the optimisers, the progress and the seed alone: every random number is drawn from
a generator that is seeded anew by (seed, rank, step), so a resumed run makes the very steps that the killed one would.
"""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from nigaoe_core.errors import TrainingError
from nigaoe_model.inversion.graphs import Recorder
from nigaoe_model.stylegan2.checkpoint import Checkpoint
from nigaoe_model.training.config import TrainingConfig
from nigaoe_model.training.dataset import PackedDataset
from nigaoe_model.training.distributed import Team
from nigaoe_model.training.export import describe_run, slim_discriminator, slim_generator, write_encoder, write_pair
from nigaoe_model.training.image_source import BatchSchedule, Shares, image_source
from nigaoe_model.training.moment_matching import MomentMatching, faded_weight
from nigaoe_model.training.networks import Networks
from nigaoe_model.training.optimisation import adam_tensors, ema_decay, restore_adam
from nigaoe_model.training.run_state import Progress, part_of, prefixed
from nigaoe_model.training.sample_grid import draw_pictures, draw_styles, fixed_latents, save_grid
from nigaoe_model.training.schedule import Cadence
from nigaoe_model.training.scoring import Examiner
from nigaoe_model.training.session import Score
from nigaoe_model.training.step import Aids, GeneratorStep, StepKind
from nigaoe_model.training.step_recordings import StepRecordings, seed_step, step_recorder

AUGMENTATION_CHECK_STEPS = 64
"""Steps after which the host reads the augmentation's strength again."""

LARGEST_LOSS = 1e6
GRID_PICTURES = 64

METRICS = {"fd_effnet": "FD-effnet", "recall": "recall", "fd_photos": "FD-effnet of photos' latents"}
"""What of a score checkpoints say, and under which name."""


class GeneratorTrainer:
    """The step with what the host decides: its kind, its seed, its pictures; and what is scored, shown and shipped.

    Args:
        config: The run's settings.
        dataset: What is learned.
        networks: On the team's device.
        team: Processes of the run.
        aids: What a step uses beside the adversary.
        parent: What a fine-tune started from; checkpoints take from it what is frozen.
        recorder: Records steps; None leaves it to ``compute.step_graphs``.

    Raises:
        TrainingError: The batch cannot be shared, or steps shall be recorded where they cannot be.
    """

    def __init__(
        self,
        config: TrainingConfig,
        dataset: PackedDataset,
        networks: Networks,
        team: Team,
        aids: Aids | None = None,
        *,
        parent: Checkpoint | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        _check_batch(config, team, networks)
        self.config, self.dataset, self.networks, self.team, self.parent = config, dataset, networks, team, parent
        self.order = BatchSchedule(len(dataset), config.compute.seed)
        self.images = image_source(dataset, Shares(self.order, config.batch, team.rank, team.size), team.device)
        self.body = GeneratorStep(config, networks, self.images, team, aids or Aids())
        strength = config.augmentation.initial_p
        self.progress = Progress(augment_p=strength, augmenting=strength > 0)
        self.last_score: Score | None = None
        self.recordings: StepRecordings[StepKind] = StepRecordings(
            self.body.make,
            recorder or _recorder(config, team),
            places=self.body.places,
            seed=lambda: seed_step(self.config.compute.seed, self.team.rank, self.progress.steps),
            clean=self.body.drop_gradients,
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
        """Measure the data's feature moments, where they take part and no state brought them."""
        if self.body.moments is not None and not self.body.moments.is_measured:
            self._measure_moments(self.body.moments)

    def step(self) -> None:
        """Show one batch, move both networks once, and their penalties when it is their turn.

        The device may still compute when this returns; :meth:`take_losses` waits for it.
        """
        self.images.prepare(self.progress.images_seen)
        self._control()
        self.recordings.run(self.kind_of_step())
        if self.body.reconstruction is not None:
            self.body.reconstruction.refresh_statistics(self.progress.steps)
        self.progress.steps += 1
        self.progress.images_seen += self.config.batch

    def take_losses(self) -> dict[str, float]:
        """Return each loss's mean since the last call, and bring ``progress`` up to date; waits for the device.

        Raises:
            TrainingError: A loss is infinite or not a number.
        """
        self.body.state.report(self.progress)
        losses = self.body.losses.take()
        broken = [f"{name} {losses[name]:.3g}" for name in ("g_loss", "d_loss") if not _is_sane(losses.get(name, 0.0))]
        if broken:
            raise TrainingError(
                f"The losses became infinite ({', '.join(broken)}); lower the learning rates or raise r1_gamma, then "
                "resume."
            )
        return losses | {"augment_p": self.progress.augment_p} if losses else {}

    # ---- what the host decides --------------------------------------------------------------------------------------

    def kind_of_step(self) -> StepKind:
        """Return what takes part in the next step."""
        settings, step, augmentation = self.config.regularisation, self.progress.steps, self.body.augmentation
        if augmentation.adaptive and step % AUGMENTATION_CHECK_STEPS == 0:
            self.progress.augmenting = float(self.body.state.augment_p) > 0
        return StepKind(
            r1=bool(settings.r1_gamma) and step % settings.r1_every == 0,
            path_length=bool(settings.path_length_weight) and step % settings.path_length_every == 0,
            augmented=self.progress.augmenting if augmentation.adaptive else augmentation.changes,
            moments=self.body.moments is not None and self._moment_weight() > 0,
        )

    def _control(self) -> None:
        """Write what changes from step to step to where the step reads it."""
        average, seen = self.config.average, self.progress.images_seen
        decay = ema_decay(self.config.batch, average.halflife_images, seen, average.rampup)
        self.body.controls.average_rate.fill_(1.0 - decay)
        self.body.controls.moment_weight.fill_(self._moment_weight())

    def _moment_weight(self) -> float:
        moments = self.config.moments
        return faded_weight(
            moments.weight, self.progress.images_seen, moments.fade_from, moments.fade_images, moments.fade_to
        )

    def _measure_moments(self, moments: MomentMatching) -> None:
        """Measure the data's feature moments on a fixed choice of the data."""
        count = min(self.config.moments.samples, len(self.dataset))
        generator = torch.Generator().manual_seed(0)
        chosen = torch.randperm(len(self.dataset), generator=generator)[:count].sort().values
        flips = torch.rand(count, generator=generator) < (0.5 if self.config.augmentation.x_flip else 0.0)

        def batches() -> Iterator[Tensor]:
            for indices, flip in zip(torch.split(chosen, 32), torch.split(flips, 32), strict=True):
                image = self.dataset.pictures(indices.numpy())
                yield torch.where(flip[:, None, None, None], image.flip(3), image).to(self.team.device)

        moments.measure(batches())

    # ---- what is scored, shown and shipped --------------------------------------------------------------------------

    def score(self) -> Score:
        """Score the moving average; all processes of the team must call."""
        self.last_score = self._examiner.examine(self.networks.average)
        return self.last_score

    @cached_property
    def _examiner(self) -> Examiner:
        samples, least_psi = self.config.cadence.score_samples, self.config.photo_latents.least_psi
        return Examiner(self.dataset, samples, self.team, self.body.photo_latents, least_psi=least_psi)

    def draw_samples(self, folder: Path) -> None:
        """Draw the same latents each time, of z and of photos where there are some, as sheets below ``grids``."""
        average, photos = self.networks.average, self.body.photo_latents
        z = fixed_latents(GRID_PICTURES, average.architecture.z_dim).to(self.team.device)
        stem = f"{self.progress.images_seen:09d}"
        save_grid(draw_pictures(average, z), folder / "grids" / f"{stem}.png")
        if photos is not None:
            ws = photos.fixed(GRID_PICTURES, least_psi=self.config.photo_latents.least_psi)
            save_grid(draw_styles(average, ws), folder / "grids" / f"{stem}-photos.png")

    def export(self, folder: Path, stem: str) -> None:
        """Write the slim checkpoints: generator, discriminator, and the encoder where one learned along."""
        networks = self.networks
        numbers = {} if self.last_score is None else self.last_score.numbers
        card = describe_run(
            self.config,
            self.dataset,
            networks.average,
            images_seen=self.progress.images_seen,
            metrics={METRICS[name]: value for name, value in numbers.items() if name in METRICS},
            parent=self.parent,
        )
        generator = slim_generator(card, networks, self.parent)
        write_pair(folder, stem, generator, slim_discriminator(card, networks))
        if self.body.reconstruction is not None:
            write_encoder(folder, stem, generator, self.body.reconstruction.learner.average)

    # ---- state ------------------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that a resumed run needs, by name, and bring ``progress`` up to date."""
        networks, body = self.networks, self.body
        body.state.report(self.progress)
        state = prefixed("step.", body.state.tensors())
        state |= prefixed("generator.", networks.generator.state_dict())
        state |= prefixed("discriminator.", networks.discriminator.state_dict())
        state |= prefixed("average.", networks.average.state_dict())
        state |= prefixed("adam_g.", adam_tensors(body.generator_adam, networks.generator_parameters))
        state |= prefixed("adam_d.", adam_tensors(body.discriminator_adam, networks.discriminator_parameters))
        if body.moments is not None:
            state |= prefixed("moments.", body.moments.moment_buffers())
        if body.reconstruction is not None:
            state |= prefixed("reconstruction.", body.reconstruction.tensors())
        return state

    def restore(self, progress: Progress, tensors: dict[str, Tensor]) -> None:
        """Go on from what :meth:`tensors` returned.

        Raises:
            TrainingError: The tensors belong to other networks.
        """
        networks, body = self.networks, self.body
        try:
            networks.generator.load_state_dict(part_of("generator.", tensors))
            networks.discriminator.load_state_dict(part_of("discriminator.", tensors))
            networks.average.load_state_dict(part_of("average.", tensors))
            restore_adam(body.generator_adam, networks.generator_parameters, part_of("adam_g.", tensors))
            restore_adam(body.discriminator_adam, networks.discriminator_parameters, part_of("adam_d.", tensors))
        except (RuntimeError, ValueError) as error:
            raise TrainingError(f"The saved state belongs to another network: {error}") from error
        self.recordings.forget()
        body.state.restore(part_of("step.", tensors), progress)
        if body.moments is not None:
            body.moments.restore_moments(part_of("moments.", tensors), self.team.device)
        if body.reconstruction is not None:
            body.reconstruction.restore(part_of("reconstruction.", tensors))
        self.progress = progress


def _check_batch(config: TrainingConfig, team: Team, networks: Networks) -> None:
    if config.batch % team.size:
        raise TrainingError(f"The batch of {config.batch} cannot be shared by {team.size} processes.")
    local = config.batch // team.size
    group = min(networks.discriminator.architecture.minibatch_std_group, local)
    if local % group:
        raise TrainingError(f"{local} pictures a process cannot be divided into groups of {group}.")


def _recorder(config: TrainingConfig, team: Team) -> Recorder | None:
    compute = config.compute
    return step_recorder(compute.step_graphs, team.device, processes=team.size, compiled=compute.compile)


def _is_sane(loss: float) -> bool:
    """Whether a loss is a number of any use; NaN is not."""
    return abs(loss) < LARGEST_LOSS
