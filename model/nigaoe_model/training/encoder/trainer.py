"""One training step of an encoder.

Own faces teach the latent itself (Zhu et al., "In-Domain GAN Inversion for Real Image Editing", 2020, section 3.1, and
free pairs of picture and latent). Photos teach through the generator: what it draws from the guess must look like the
photo, and the guess may not leave the latents that the generator was trained with.

A step is a function of the networks, the optimiser, the progress and the seed alone, so a resumed run makes the very
steps that the stopped one would have made. It reads and writes the device's memory alone, so that it can be recorded
(:mod:`nigaoe_model.training.step_recordings`).
"""

import copy
import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from nigaoe_core.errors import TrainingError
from nigaoe_model.device import preferred_layout
from nigaoe_model.inversion.algorithm import weight_columns
from nigaoe_model.inversion.batch import Iterate
from nigaoe_model.inversion.encoder.network import Encoder
from nigaoe_model.inversion.graphs import Recorder
from nigaoe_model.inversion.region import face_region
from nigaoe_model.portrait.convert import search_objective
from nigaoe_model.portrait.pair import LoadedGenerator
from nigaoe_model.stylegan2.inference.synthesis import FrozenSynthesis
from nigaoe_model.training.encoder.config import EncoderConfig, OptimiserSettings
from nigaoe_model.training.encoder.faces import KnownFaces, Photos, draw_known_faces
from nigaoe_model.training.moving_average import ema_decay, update_average
from nigaoe_model.training.precision import resolve_precision
from nigaoe_model.training.run_state import Progress, adam_tensors, part_of, prefixed, primed, restore_adam
from nigaoe_model.training.step_recordings import StepRecordings, step_recorder
from nigaoe_model.training.step_state import LossMeter

LOSSES = ("code", "picture", "distance", "broken")

CLIP_NORM = 1.0
"""Longest gradient: one odd photo must not throw the network."""


class EncoderTrainer:
    """The encoder, its moving average and the step that moves them.

    Args:
        config: The run's settings.
        loaded: The generator whose latents are learned; it does not change.
        encoder: On the generator's device.
        photos: Shown beside the generator's own faces; None: own faces only.
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
        recorder: Recorder | None = None,
    ) -> None:
        self.config, self.loaded, self.photos = config, loaded, photos
        self.device = encoder.mean.device
        encoder = encoder.to(memory_format=preferred_layout(self.device))
        self.network = encoder.train().requires_grad_(requires_grad=True)
        self.average = copy.deepcopy(encoder).eval().requires_grad_(requires_grad=False)
        self.objective = search_objective(loaded)
        self.dtype = resolve_precision(config.compute.precision, self.device, from_resolution=4).dtype
        self.synthesis = FrozenSynthesis(loaded.generator.synthesis, dtype=self.dtype)
        self.progress = Progress()
        self.photo_count = round(config.batch * config.photo_share) if photos is not None else 0
        self.own_count = config.batch - self.photo_count
        self.region = face_region(
            loaded.card.alignment, loaded.card.architecture.resolution, background=config.background
        ).to(self.device)
        self._std = loaded.statistics.std.to(self.device)
        self._weights = weight_columns((config.weights,) * len(range(self._redrawn(), config.batch)), self.device)
        # Places in the device's memory that the host writes before a step.
        self._rate, self._average_rate = (torch.zeros((), device=self.device) for _ in range(2))
        on_gpu = self.device.type == "cuda"
        adam = torch.optim.Adam(
            self.network.parameters(),
            lr=self._rate,
            betas=(0.9, config.optimiser.beta2),
            fused=True,
            capturable=on_gpu,
        )
        self.adam = primed(adam)
        self.losses = LossMeter(LOSSES, self.device)
        self.recordings: StepRecordings[None] = StepRecordings(
            self._make,
            recorder or step_recorder(config.compute.step_graphs, self.device),
            places=self._places,
            seed=self._seed,
            clean=lambda: self.network.zero_grad(set_to_none=True),
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
        return losses | {"rate": self.rate}

    def _make(self, _kind: None) -> None:
        """Make one step; nothing is kept of it but what it wrote."""
        own = draw_known_faces(self.loaded, self.own_count, self.config.own_faces, self._std)
        images = own.image if self.photos is None else torch.cat([own.image, self.photos.batch()])
        guessed = self._guess(images)
        losses, loss = self._compare_latents(own, guessed), guessed.new_zeros(())
        if "code" in losses:
            loss = loss + self.config.code * losses["code"]
        if (redrawn := self._redrawn()) < len(images):
            pictures = self._compare_pictures(images[redrawn:], guessed[redrawn:])
            losses |= pictures
            loss = loss + pictures["picture"]
        losses["broken"] = self._descend(loss)
        update_average(self.average, self.network, self._average_rate)
        self.losses.add(losses)

    def _guess(self, images: Tensor) -> Tensor:
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            guessed: Tensor = self.network(images)
        return guessed.float()

    def _redrawn(self) -> int:
        """First picture that is drawn anew: the photos come last, and before them a share of the own faces."""
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
        self.adam.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # PyTorch leaves backward untyped
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), CLIP_NORM)
        self.adam.found_inf = broken  # type: ignore[attr-defined]  # as torch.amp.GradScaler tells a fused Adam
        self.adam.step()
        return broken

    def _places(self) -> Iterator[Tensor]:
        """Yield all tensors that a step writes."""
        for network in (self.network, self.average):
            yield from network.parameters()
            yield from network.buffers()
        for state in self.adam.state.values():
            yield from state.values()
        yield self.losses.sums

    def _seed(self) -> None:
        entropy = np.random.SeedSequence((self.config.compute.seed, self.progress.steps))
        torch.manual_seed(int(entropy.generate_state(1, np.uint64)[0] >> 1))

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that a resumed run needs, by name."""
        state = prefixed("encoder.", self.network.state_dict()) | prefixed("average.", self.average.state_dict())
        return state | prefixed("adam.", adam_tensors(self.adam, self._names()))

    def restore(self, progress: Progress, tensors: dict[str, Tensor]) -> None:
        """Go on from what :meth:`tensors` returned.

        Raises:
            TrainingError: The tensors belong to another network.
        """
        try:
            self.network.load_state_dict(part_of("encoder.", tensors))
            self.average.load_state_dict(part_of("average.", tensors))
            restore_adam(self.adam, self._names(), part_of("adam.", tensors))
        except (RuntimeError, ValueError) as error:
            raise TrainingError(f"The saved state belongs to another network: {error}") from error
        self.recordings.forget()
        self.progress = progress

    def _names(self) -> list[str]:
        return [name for name, _ in self.network.named_parameters()]


def learning_rate_at(settings: OptimiserSettings, images_seen: int, total_images: int) -> float:
    """Return Adam's rate after ``images_seen`` pictures."""
    rate = settings.learning_rate
    if settings.schedule == "cosine":
        rate *= 0.5 + 0.5 * math.cos(math.pi * min(images_seen / total_images, 1.0))
    if settings.warm_up_images:
        rate *= min(1.0, (images_seen + 1) / settings.warm_up_images)
    return rate
