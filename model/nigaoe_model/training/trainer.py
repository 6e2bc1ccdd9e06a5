"""One training step of StyleGAN2, as titled paragraphs.

A step is a function of the networks, the optimisers, the progress and the seed alone: every random number is drawn from
a generator that is seeded anew by (seed, rank, step), so a resumed run makes the very steps that the killed one would.

The paragraphs read and write the device's memory alone, always at the same places, and never wait for a number. So a
whole step can be recorded (:mod:`nigaoe_model.training.step_recordings`); what the host decides is the kind of the
step.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from nigaoe_core.errors import TrainingError
from nigaoe_model.inversion.batch import Iterate
from nigaoe_model.inversion.encoder.network import Encoder
from nigaoe_model.inversion.graphs import Recorder
from nigaoe_model.stylegan2.generator import Generator, mix_at_random
from nigaoe_model.training.augment import build_augmentation
from nigaoe_model.training.augment.base import Augmentation
from nigaoe_model.training.augment.controller import updated_p
from nigaoe_model.training.batch_schedule import BatchSchedule
from nigaoe_model.training.carried_colours import CarriedColours
from nigaoe_model.training.config import TrainingConfig
from nigaoe_model.training.dataset import PackedDataset, to_unit_range
from nigaoe_model.training.distributed import Team
from nigaoe_model.training.gradients import share_gradients
from nigaoe_model.training.image_source import ImageSource, Shares, image_source
from nigaoe_model.training.losses import (
    discriminator_loss,
    generator_loss,
    lazy_adam,
    path_length_penalty,
    path_lengths,
    r1_penalty,
)
from nigaoe_model.training.moment_matching import MomentMatching, faded_weight
from nigaoe_model.training.moving_average import ema_decay, update_average
from nigaoe_model.training.networks import Networks
from nigaoe_model.training.photo_latents import PhotoLatents
from nigaoe_model.training.precision import full_precision, resolve_memory_format, resolve_precision
from nigaoe_model.training.reconstruction import Reconstruction
from nigaoe_model.training.run_state import Progress, adam_tensors, part_of, prefixed, primed, restore_adam
from nigaoe_model.training.step_recordings import StepRecordings, step_recorder
from nigaoe_model.training.step_state import Controls, LossMeter, StepState

W_AVERAGE_DECAY = 0.995
PATH_LENGTH_DECAY = 0.99

LARGEST_GRADIENT = 1e5
"""What an infinite gradient becomes."""

AUGMENTATION_LOOK_STEPS = 64
"""Steps from one look of the host at the augmentation's strength to the next."""

LOSSES = (
    *("d_loss", "d_real", "d_fake", "r1", "g_loss", "moments", "reconstruction", "distance", "colours"),
    *("path_length", "path_penalty"),
)


@dataclass(frozen=True, slots=True)
class StepKind:
    """What takes part in a step: each kind is recorded once.

    Attributes:
        r1: The discriminator's penalty has its turn.
        path_length: The generator's penalty has its turn.
        augmented: The discriminator sees augmented pictures.
        moments: Feature moments have a weight.
    """

    r1: bool = False
    path_length: bool = False
    augmented: bool = False
    moments: bool = False


@dataclass(frozen=True, slots=True)
class Drawn:
    """What the generator drew for one step.

    Attributes:
        fake: Pictures of styles.
        redrawn: Real pictures, drawn from their guessed codes; None without reconstruction.
    """

    fake: Iterate
    redrawn: Iterate | None = None


class Trainer:
    """Networks, optimisers and the step that moves them.

    Args:
        config: The run's settings.
        dataset: What is learned.
        networks: On the team's device.
        team: Processes of the run.
        moments: Measured feature moments; None without moment matching.
        photo_latents: Latents of photos that a part of each batch is drawn from; None draws z alone.
        encoder: Guesses the codes of real pictures, to draw them again; needed where reconstruction has a weight.
        parent: Draws the persons whose colours the style takes over; None where it need not.
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
        moments: MomentMatching | None = None,
        photo_latents: PhotoLatents | None = None,
        encoder: Encoder | None = None,
        parent: Generator | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self.config, self.dataset, self.networks, self.team, self.moments = config, dataset, networks, team, moments
        self.photo_latents = photo_latents.to(team.device) if photo_latents is not None else None
        self.batch = _local_batch(config, team, networks)
        self.schedule = BatchSchedule(len(dataset), config.compute.seed)
        shares = Shares(self.schedule, config.batch, team.rank, team.size)
        self.images: ImageSource = image_source(dataset, shares, team.device)
        self.augmentation: Augmentation = build_augmentation(config.augmentation.kind).to(team.device)
        self.generator_adam = _adam(networks.generator_parameters, config, "generator", team.device)
        self.discriminator_adam = _adam(networks.discriminator_parameters, config, "discriminator", team.device)
        precision = resolve_precision(config.compute.precision, team.device, config.compute.reduced_from)
        generators = [networks.generator, networks.average, *([parent] if parent else [])]
        precision.apply(networks.discriminator, *(generator.synthesis for generator in generators))
        self.precision = precision
        self.memory_format = resolve_memory_format(config.compute.channels_last, team.device, precision)
        for network in (networks.discriminator, *generators, *([moments] if moments else [])):
            network.to(memory_format=self.memory_format)
        for adam in (self.generator_adam, self.discriminator_adam):
            primed(adam)  # once the parameters lie in memory as they will
        self._draw: Callable[..., Tensor] = networks.generator.synthesis
        self._judge: Callable[[Tensor], Tensor] = networks.discriminator
        if config.compute.compile:
            self._draw, self._judge = torch.compile(self._draw), torch.compile(self._judge)
        self.reconstruction = (
            Reconstruction(config.reconstruction, networks.generator, encoder, precision.dtype, team)
            if encoder is not None
            else None
        )
        self.colours = CarriedColours(parent, config.colours.side) if parent is not None else None
        strength = config.augmentation.initial_p
        self.progress = Progress(augment_p=strength, augmenting=strength > 0)
        self.state, self.controls = StepState(team.device, strength), Controls(team.device)
        self.losses = LossMeter(LOSSES, team.device)
        self._kind = StepKind()
        self.recordings: StepRecordings[StepKind] = StepRecordings(
            self._make,
            recorder or _recorder(config, team),
            places=self._places,
            seed=self._seed,
            clean=self._drop_gradients,
        )

    def step(self) -> None:
        """Show one batch, move both networks once, and their penalties when it is their turn.

        The device may still compute when this returns; :meth:`take_losses` waits for it.
        """
        self.images.prepare(self.progress.images_seen)
        self._control()
        self.recordings.run(self._kind_of_step())
        if self.reconstruction is not None:
            self.reconstruction.look_after(self.progress.steps)
        self.progress.steps += 1
        self.progress.images_seen += self.config.batch

    def take_losses(self) -> dict[str, float]:
        """Return each loss's mean since the last call, and bring ``progress`` up to date; waits for the device."""
        self.state.tell(self.progress)
        return self.losses.take()

    # ---- what the host says to a step -------------------------------------------------------------------------------

    def _control(self) -> None:
        """Write what changes from step to step to where the step reads it."""
        average, seen = self.config.average, self.progress.images_seen
        decay = ema_decay(self.config.batch, average.halflife_images, seen, average.rampup)
        self.controls.average_rate.fill_(1.0 - decay)
        self.controls.moment_weight.fill_(self._moment_weight())

    def _kind_of_step(self) -> StepKind:
        settings, step = self.config.regularisation, self.progress.steps
        if self.augmentation.adaptive and step % AUGMENTATION_LOOK_STEPS == 0:
            self.progress.augmenting = float(self.state.augment_p) > 0
        return StepKind(
            r1=bool(settings.r1_gamma) and step % settings.r1_every == 0,
            path_length=bool(settings.path_length_weight) and step % settings.path_length_every == 0,
            augmented=self.progress.augmenting if self.augmentation.adaptive else self.augmentation.changes,
            moments=self.moments is not None and self._moment_weight() > 0,
        )

    def _moment_weight(self) -> float:
        moments = self.config.moments
        return faded_weight(
            moments.weight, self.progress.images_seen, moments.fade_from, moments.fade_images, moments.fade_to
        )

    def _seed(self) -> None:
        entropy = np.random.SeedSequence((self.config.compute.seed, self.team.rank, self.progress.steps))
        torch.manual_seed(int(entropy.generate_state(1, np.uint64)[0] >> 1))

    def _make(self, kind: StepKind) -> None:
        """Make one step of a kind: all of it is recorded, and nothing of it is kept but what it wrote."""
        self._kind = kind
        real = self._real_batch()
        drawn = self._draw_batch(real)
        losses = self._discriminator_step(real, drawn.fake.image.detach())
        if kind.r1:
            losses |= self._r1_step(real)
        losses |= self._generator_step(real, drawn if self.config.compute.reuse_fakes else self._draw_batch(real))
        if kind.path_length:
            losses |= self._path_length_step()
        self._average()
        self._adapt_augmentation()
        self.losses.add(losses)

    # ---- the paragraphs -------------------------------------------------------------------------------------------

    def _discriminator_step(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Tell real pictures from drawn ones."""
        with self._discriminator_learns():
            real_logits, fake_logits = self._judge_both(*self._augment(torch.cat([real, fake])).chunk(2))
            loss = discriminator_loss(real_logits, fake_logits)
            self._descend(loss, self.discriminator_adam, self.networks.discriminator_parameters)
        if self.augmentation.adaptive:
            self.state.sign_sum.add_(self.team.mean(real_logits.detach().sign().mean()))
            self.state.sign_count.add_(1)
        return {"d_loss": loss.detach(), "d_real": real_logits.detach().mean(), "d_fake": fake_logits.detach().mean()}

    def _r1_step(self, real: Tensor) -> dict[str, Tensor]:
        """Keep the discriminator flat on the data: ``gamma / 2 * R1``, times the steps it stands for."""
        settings = self.config.regularisation
        with self._discriminator_learns(), full_precision(self.networks.discriminator):
            shown = self._augment(real).detach().requires_grad_(True)  # noqa: FBT003 - PyTorch takes it by position
            penalty = r1_penalty(self.networks.discriminator(shown), shown)
            loss = penalty * (settings.r1_gamma / 2 * settings.r1_every)
            self._descend(loss, self.discriminator_adam, self.networks.discriminator_parameters)
        return {"r1": penalty.detach()}

    def _generator_step(self, real: Tensor, drawn: Drawn) -> dict[str, Tensor]:
        """Be taken for real, have the data's feature moments, and draw real pictures from their codes."""
        adversarial = generator_loss(self._judge(self._augment(drawn.fake.image)))
        losses, loss = {"g_loss": adversarial.detach()}, adversarial
        if self.moments is not None and self._kind.moments:
            matching = self.moments(drawn.fake.image, self.team.means)
            losses["moments"] = matching.detach()
            loss = loss + self.controls.moment_weight * matching
        if self.reconstruction is not None and drawn.redrawn is not None:
            terms = self.reconstruction.loss(real, drawn.redrawn, drawn.fake)
            loss = loss + terms["reconstruction"]
            losses |= {name: term.detach() for name, term in terms.items()}
        if self.colours is not None:
            carried = self.colours.loss(drawn.fake.w_plus.detach(), drawn.fake.image)
            losses["colours"] = carried.detach()
            loss = loss + self.config.colours.weight * carried
        self._descend(loss, self.generator_adam, self.networks.generator_parameters)
        if self.reconstruction is not None:
            self.reconstruction.learn(self.controls.average_rate)
        return losses

    def _path_length_step(self) -> dict[str, Tensor]:
        """Make equal steps in w change the picture equally much."""
        settings, generator = self.config.regularisation, self.networks.generator
        count = max(1, round(self.batch * settings.path_length_batch))
        with full_precision(generator.synthesis):
            ws = self._styles(count)
            # A frozen mapping network gives styles without a graph, yet the Jacobian is taken at them.
            ws = ws if ws.requires_grad else ws.detach().requires_grad_(True)  # noqa: FBT003 - PyTorch takes it by position
            image = generator.draw_image(ws, "random")
            lengths = path_lengths(image, ws, torch.randn_like(image))
            mean_length = self._mean_path_length(lengths.detach())
            penalty = path_length_penalty(lengths, mean_length)
            loss = penalty * (settings.path_length_weight * settings.path_length_every)
            self._descend(loss, self.generator_adam, self.networks.generator_parameters)
        return {"path_length": lengths.detach().mean(), "path_penalty": penalty.detach()}

    def _average(self) -> None:
        """Move the shown generator towards the trained one."""
        networks = self.networks
        update_average(networks.average, networks.generator, self.controls.average_rate, networks.learning_names)

    def _adapt_augmentation(self) -> None:
        """Steer ADA's p by the sign statistic, every few steps."""
        settings, state = self.config.augmentation, self.state
        if not self.augmentation.adaptive:
            return
        due = state.sign_count >= settings.ada_every
        statistic, images = state.sign_sum / state.sign_count, state.sign_count * self.config.batch
        moved = updated_p(state.augment_p, statistic, settings.ada_target, images, settings.ada_speed_images)
        state.augment_p.copy_(torch.where(due, moved, state.augment_p))
        for total in (state.sign_sum, state.sign_count):
            total.copy_(torch.where(due, 0.0, total))

    # ---- what the paragraphs use ----------------------------------------------------------------------------------

    def _judge_both(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Judge two batches in one pass; the groups of the minibatch statistic hold either real or drawn pictures."""
        group = min(self.networks.discriminator.architecture.minibatch_std_group, len(real))
        both = torch.cat([_grouped(real, group), _grouped(fake, group)], dim=1)  # [G, 2N/G, ...]
        logits = _grouped(self._judge(both.flatten(0, 1)), group)
        real_logits, fake_logits = logits.chunk(2, dim=1)
        return real_logits.flatten(0, 1), fake_logits.flatten(0, 1)

    def _real_batch(self) -> Tensor:
        """Return the prepared pictures, half of them mirrored. # [batch, 3, R, R] in [-1, 1]."""
        pixels = self.images.batch()
        if self.config.augmentation.x_flip:
            flip = torch.rand(len(pixels), 1, 1, 1, device=pixels.device) < 0.5
            pixels = torch.where(flip, pixels.flip(3), pixels)
        return to_unit_range(pixels)

    def _draw_batch(self, real: Tensor) -> Drawn:
        """Draw the fakes, and in the same pass real pictures anew where they are reconstructed."""
        ws = self._shown_styles()
        if self.reconstruction is None:
            return Drawn(Iterate(ws, self._draw(ws, "random")))
        codes = self.reconstruction.codes(real)
        fake, redrawn = torch.split(self._draw(torch.cat([ws, codes]), "random"), [len(ws), len(codes)])
        return Drawn(Iterate(ws, fake), Iterate(codes, redrawn.float()))

    def _shown_styles(self) -> Tensor:
        """Return w_plus for one batch: styles of z, and of photos where there are some. # [batch, num_ws, w_dim]."""
        if self.photo_latents is None:
            return self._styles(self.batch)
        settings = self.config.photo_latents
        count = round(self.batch * settings.share)
        mixing = self.config.regularisation.style_mixing
        dealt = self.photo_latents.deal(count, style_mixing=mixing, least_psi=settings.least_psi)
        return torch.cat([self._styles(self.batch - count), dealt])

    def _styles(self, count: int) -> Tensor:
        """Return w_plus for ``count`` pictures, mixed from two styles now and then. # [count, num_ws, w_dim]."""
        mapping = self.networks.generator.mapping
        w = mapping(self._latents(2 * count))
        if self.networks.learning_names is None:
            mapping.w_avg.lerp_(self.team.mean(w.detach().mean(dim=0)), 1.0 - W_AVERAGE_DECAY)
        first, second = mapping.broadcast(w).chunk(2)
        return mix_at_random(first, second, self.config.regularisation.style_mixing)

    def _latents(self, count: int) -> Tensor:
        return torch.randn(count, self.networks.generator.architecture.z_dim, device=self.team.device)

    def _augment(self, image: Tensor) -> Tensor:
        if not self._kind.augmented:
            return image
        augmented: Tensor = self.augmentation(image, self.state.augment_p)
        return augmented

    def _mean_path_length(self, lengths: Tensor) -> Tensor:
        """Move the long-term mean and return it. # []. It starts at the first batch's mean, not at the papers' zero."""
        present, state = self.team.mean(lengths.mean()).double(), self.state
        moved = state.mean_path_length * PATH_LENGTH_DECAY + present * (1 - PATH_LENGTH_DECAY)
        state.mean_path_length.copy_(torch.where(state.path_length_steps == 0, present, moved))
        state.path_length_steps.add_(1)
        return state.mean_path_length.to(lengths.dtype)

    @contextmanager
    def _discriminator_learns(self) -> Iterator[None]:
        """Give gradients to what learns of the discriminator, and to nothing else, for a while."""
        parameters = self.networks.discriminator_parameters.values()
        for parameter in parameters:
            parameter.requires_grad_(True)  # noqa: FBT003 - PyTorch takes it by position
        try:
            yield
        finally:
            for parameter in parameters:
                parameter.requires_grad_(False)  # noqa: FBT003 - PyTorch takes it by position

    def _descend(self, loss: Tensor, optimiser: torch.optim.Adam, parameters: dict[str, nn.Parameter]) -> None:
        """Make one Adam step."""
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # PyTorch leaves backward untyped
        share_gradients(parameters.values(), self.team, bound=LARGEST_GRADIENT)
        optimiser.step()

    def _drop_gradients(self) -> None:
        networks = [self.networks.generator, self.networks.discriminator]
        if self.reconstruction is not None:
            networks.append(self.reconstruction.encoder)
        for network in networks:
            network.zero_grad(set_to_none=True)

    def _places(self) -> Iterator[Tensor]:
        """Yield all tensors that a step writes."""
        for network in (self.networks.generator, self.networks.discriminator, self.networks.average):
            yield from network.parameters()
            yield from network.buffers()
        for adam in (self.generator_adam, self.discriminator_adam):
            for state in adam.state.values():
                yield from state.values()
        yield from self.state.tensors().values()
        yield self.losses.sums
        if self.moments is not None:
            yield from self.moments.moment_buffers().values()
        if self.reconstruction is not None:
            yield from self.reconstruction.places()

    # ---- going on ---------------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that a resumed run needs, by name, and bring ``progress`` up to date."""
        networks = self.networks
        self.state.tell(self.progress)
        state = prefixed("step.", self.state.tensors())
        state |= prefixed("generator.", networks.generator.state_dict())
        state |= prefixed("discriminator.", networks.discriminator.state_dict())
        state |= prefixed("average.", networks.average.state_dict())
        state |= prefixed("adam_g.", adam_tensors(self.generator_adam, networks.generator_parameters))
        state |= prefixed("adam_d.", adam_tensors(self.discriminator_adam, networks.discriminator_parameters))
        if self.moments is not None:
            state |= prefixed("moments.", self.moments.moment_buffers())
        if self.reconstruction is not None:
            state |= prefixed("reconstruction.", self.reconstruction.tensors())
        return state

    def restore(self, progress: Progress, tensors: dict[str, Tensor]) -> None:
        """Go on from what :meth:`tensors` returned.

        Raises:
            TrainingError: The tensors belong to other networks.
        """
        networks = self.networks
        try:
            networks.generator.load_state_dict(part_of("generator.", tensors))
            networks.discriminator.load_state_dict(part_of("discriminator.", tensors))
            networks.average.load_state_dict(part_of("average.", tensors))
            restore_adam(self.generator_adam, networks.generator_parameters, part_of("adam_g.", tensors))
            restore_adam(self.discriminator_adam, networks.discriminator_parameters, part_of("adam_d.", tensors))
        except (RuntimeError, ValueError) as error:
            raise TrainingError(f"The saved state belongs to another network: {error}") from error
        self.recordings.forget()
        self.state.restore(part_of("step.", tensors), progress)
        if self.moments is not None:
            self.moments.restore_moments(part_of("moments.", tensors), self.team.device)
        if self.reconstruction is not None:
            self.reconstruction.restore(part_of("reconstruction.", tensors))
        self.progress = progress


def _local_batch(config: TrainingConfig, team: Team, networks: Networks) -> int:
    if config.batch % team.size:
        raise TrainingError(f"The batch of {config.batch} cannot be shared by {team.size} processes.")
    local = config.batch // team.size
    group = min(networks.discriminator.architecture.minibatch_std_group, local)
    if local % group:
        raise TrainingError(f"{local} pictures a process cannot be divided into groups of {group}.")
    return local


def _recorder(config: TrainingConfig, team: Team) -> Recorder | None:
    compute = config.compute
    return step_recorder(compute.step_graphs, team.device, processes=team.size, compiled=compute.compile)


def _adam(
    parameters: dict[str, nn.Parameter], config: TrainingConfig, which: str, device: torch.device
) -> torch.optim.Adam:
    settings, lazy = config.optimiser, config.regularisation
    if which == "generator":
        rate, every = settings.generator_lr, lazy.path_length_every if lazy.path_length_weight else 0
    else:
        rate, every = settings.discriminator_lr, lazy.r1_every if lazy.r1_gamma else 0
    lr, betas = lazy_adam(rate, settings.beta2, every)
    on_gpu = device.type == "cuda"
    return torch.optim.Adam(list(parameters.values()), lr=lr, betas=betas, eps=1e-8, fused=True, capturable=on_gpu)


def _grouped(x: Tensor, group: int) -> Tensor:
    """Split the batch as the minibatch statistic does. # [N, ...] -> [group, N / group, ...]."""
    return x.reshape(group, -1, *x.shape[1:])
