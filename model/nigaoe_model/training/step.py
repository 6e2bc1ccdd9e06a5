"""One training step of StyleGAN2: what is computed on the device.

The phases read and write the device's memory alone, always at the same places, and never wait for a number. So a whole
step can be recorded (:mod:`nigaoe_model.training.step_recordings`); the host decides the kind of the step and nothing
else (:mod:`nigaoe_model.training.trainer`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nigaoe_model.inversion.batch import Iterate
from nigaoe_model.inversion.encoder.network import Encoder
from nigaoe_model.stylegan2.generator import Generator, mix_at_random
from nigaoe_model.training.augment import Augmentation, build_augmentation
from nigaoe_model.training.augment.pipeline import updated_p
from nigaoe_model.training.carried_colours import CarriedColours
from nigaoe_model.training.config import TrainingConfig
from nigaoe_model.training.dataset import to_unit_range
from nigaoe_model.training.distributed import Team
from nigaoe_model.training.image_source import ResidentImages, StreamedImages
from nigaoe_model.training.losses import (
    discriminator_loss,
    generator_loss,
    lazy_adam,
    path_length_penalty,
    path_lengths,
    r1_penalty,
)
from nigaoe_model.training.moment_matching import MomentMatching
from nigaoe_model.training.networks import Networks
from nigaoe_model.training.optimisation import share_gradients, update_average, with_initial_state
from nigaoe_model.training.photo_latents import PhotoLatents
from nigaoe_model.training.precision import full_precision, resolve_memory_format, resolve_precision
from nigaoe_model.training.reconstruction import Reconstruction
from nigaoe_model.training.step_state import Controls, LossMeter, StepState

W_AVERAGE_DECAY = 0.995
PATH_LENGTH_DECAY = 0.99

LARGEST_GRADIENT = 1e5
"""What an infinite gradient becomes."""

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


@dataclass(frozen=True, slots=True)
class Aids:
    """What a step may use beside the adversary; None: not used.

    Attributes:
        moments: Feature moments, perhaps not measured yet.
        photo_latents: Latents of photos that a part of each batch is drawn from.
        encoder: Guesses the codes of real pictures, to draw them again.
        person: ``g_ori``, which draws the persons whose colours the style takes over.
    """

    moments: MomentMatching | None = None
    photo_latents: PhotoLatents | None = None
    encoder: Encoder | None = None
    person: Generator | None = None


class GeneratorStep:
    """Networks, optimisers and the computation that moves them once.

    Args:
        config: The run's settings.
        networks: On the team's device.
        images: Real pictures, prepared before each step.
        team: Processes of the run.
        aids: What else takes part.
    """

    def __init__(
        self,
        config: TrainingConfig,
        networks: Networks,
        images: ResidentImages | StreamedImages,
        team: Team,
        aids: Aids,
    ) -> None:
        self.config, self.networks, self.images, self.team = config, networks, images, team
        self.batch = config.batch // team.size
        self.moments, person = aids.moments, aids.person
        self.photo_latents = aids.photo_latents.to(team.device) if aids.photo_latents is not None else None
        self.augmentation: Augmentation = build_augmentation(config.augmentation.kind).to(team.device)
        self.generator_adam = _adam(networks.generator_parameters, config, "generator", team.device)
        self.discriminator_adam = _adam(networks.discriminator_parameters, config, "discriminator", team.device)
        generators = [networks.generator, networks.average, *([person] if person else [])]
        self.precision = resolve_precision(config.compute.precision, team.device, config.compute.reduced_from)
        self.precision.apply(networks.discriminator, *(generator.synthesis for generator in generators))
        self.memory_format = resolve_memory_format(config.compute.channels_last, team.device, self.precision)
        for network in (networks.discriminator, *generators, *([self.moments] if self.moments else [])):
            network.to(memory_format=self.memory_format)
        for adam in (self.generator_adam, self.discriminator_adam):
            with_initial_state(adam)  # once the parameters lie in memory as they will
        self._draw: Callable[..., Tensor] = networks.generator.synthesis
        self._judge: Callable[[Tensor], Tensor] = networks.discriminator
        if config.compute.compile:
            self._draw, self._judge = torch.compile(self._draw), torch.compile(self._judge)
        self.reconstruction = (
            Reconstruction(config.reconstruction, networks.generator, aids.encoder, self.precision.dtype, team)
            if aids.encoder is not None
            else None
        )
        self.colours = CarriedColours(person, config.colours.side) if person is not None else None
        self.state = StepState(team.device, config.augmentation.initial_p)
        self.controls = Controls(team.device)
        self.losses = LossMeter(LOSSES, team.device)
        self._kind = StepKind()

    def make(self, kind: StepKind) -> None:
        """Make one step of a kind: all of it can be recorded, and only what it wrote remains."""
        self._kind = kind
        real = self.real_batch()
        drawn = self.draw_batch(real)
        losses = self.discriminator_step(real, drawn.fake.image.detach())
        if kind.r1:
            losses |= self.r1_step(real)
        losses |= self.generator_step(real, drawn if self.config.compute.reuse_fakes else self.draw_batch(real))
        if kind.path_length:
            losses |= self.path_length_step()
        self._average()
        self._adapt_augmentation()
        self.losses.add(losses)

    # ---- the phases -------------------------------------------------------------------------------------------------

    def discriminator_step(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Learn to tell real pictures from drawn ones."""
        with self._discriminator_learns():
            real_logits, fake_logits = self.judge_both(*self._augment(torch.cat([real, fake])).chunk(2))
            loss = discriminator_loss(real_logits, fake_logits)
            self._descend(loss, self.discriminator_adam, self.networks.discriminator_parameters)
        if self.augmentation.adaptive:
            self.state.sign_sum.add_(self.team.mean(real_logits.detach().sign().mean()))
            self.state.sign_count.add_(1)
        return {"d_loss": loss.detach(), "d_real": real_logits.detach().mean(), "d_fake": fake_logits.detach().mean()}

    def r1_step(self, real: Tensor) -> dict[str, Tensor]:
        """Keep the discriminator flat on the data: ``gamma / 2 * R1``, times the steps it stands for."""
        settings = self.config.regularisation
        with self._discriminator_learns(), full_precision(self.networks.discriminator):
            shown = self._augment(real).detach().requires_grad_(True)  # noqa: FBT003 - PyTorch takes it by position
            penalty = r1_penalty(self.networks.discriminator(shown), shown)
            loss = penalty * (settings.r1_gamma / 2 * settings.r1_every)
            self._descend(loss, self.discriminator_adam, self.networks.discriminator_parameters)
        return {"r1": penalty.detach()}

    def generator_step(self, real: Tensor, drawn: Drawn) -> dict[str, Tensor]:
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

    def path_length_step(self) -> dict[str, Tensor]:
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

    # ---- what the phases use ----------------------------------------------------------------------------------------

    def judge_both(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Judge two batches in one pass; the groups of the minibatch statistic are either real or drawn pictures."""
        group = min(self.networks.discriminator.architecture.minibatch_std_group, len(real))
        both = torch.cat([_grouped(real, group), _grouped(fake, group)], dim=1)  # [G, 2N/G, ...]
        logits = _grouped(self._judge(both.flatten(0, 1)), group)
        real_logits, fake_logits = logits.chunk(2, dim=1)
        return real_logits.flatten(0, 1), fake_logits.flatten(0, 1)

    def real_batch(self) -> Tensor:
        """Return the prepared pictures, half of them mirrored. # [batch, 3, R, R] in [-1, 1]."""
        pixels = self.images.batch()
        if self.config.augmentation.x_flip:
            flip = torch.rand(len(pixels), 1, 1, 1, device=pixels.device) < 0.5
            pixels = torch.where(flip, pixels.flip(3), pixels)
        return to_unit_range(pixels)

    def draw_batch(self, real: Tensor) -> Drawn:
        """Draw the fakes, and in the same pass real pictures anew where they are reconstructed."""
        ws = self.shown_styles()
        if self.reconstruction is None:
            return Drawn(Iterate(ws, self._draw(ws, "random")))
        codes = self.reconstruction.codes(real)
        fake, redrawn = torch.split(self._draw(torch.cat([ws, codes]), "random"), [len(ws), len(codes)])
        return Drawn(Iterate(ws, fake), Iterate(codes, redrawn.float()))

    def shown_styles(self) -> Tensor:
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

    def drop_gradients(self) -> None:
        """Drop the gradients of the last step."""
        networks = [self.networks.generator, self.networks.discriminator]
        if self.reconstruction is not None:
            networks.append(self.reconstruction.learner.network)
        for network in networks:
            network.zero_grad(set_to_none=True)

    def places(self) -> Iterator[Tensor]:
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
            yield from self.reconstruction.learner.places()


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
