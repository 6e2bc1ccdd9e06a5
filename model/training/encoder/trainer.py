"""One training step of an encoder.

Own faces teach the latent itself (Zhu et al., "In-Domain GAN Inversion for Real Image Editing", 2020, section 3.1, and
free pairs of picture and latent). Photos teach through the generator: what it draws from the guess must look like the
photo, and the guess may not leave the latents that the generator was trained with.

A step is a function of the networks, the optimiser, the progress and the seed alone, so a resumed run makes the very
steps that the stopped one would have made.
"""

import copy
import math

import numpy as np
import torch
from torch import Tensor

from core.errors import TrainingError
from model.conversion import search_objective
from model.encoder.network import Encoder
from model.frozen.layout import preferred_layout
from model.frozen.synthesis import FrozenSynthesis
from model.inversion.objective import Iterate, weight_columns
from model.inversion.region import face_region
from model.pair import LoadedGenerator
from model.training.encoder.config import EncoderConfig, OptimiserSettings
from model.training.encoder.faces import KnownFaces, Photos, draw_known_faces
from model.training.moving_average import ema_decay, update_average
from model.training.precision import resolve_precision
from model.training.run_state import Progress, adam_tensors, part_of, prefixed, restore_adam

CLIP_NORM = 1.0
"""Longest gradient: one odd photo must not throw the network."""


class EncoderTrainer:
    """The encoder, its moving average and the step that moves them.

    Args:
        config: The run's settings.
        loaded: The generator whose latents are learned; it does not change.
        encoder: On the generator's device.
        photos: Shown beside the generator's own faces; None: own faces only.
    """

    def __init__(
        self, config: EncoderConfig, loaded: LoadedGenerator, encoder: Encoder, photos: Photos | None = None
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
        self.adam = torch.optim.Adam(self.network.parameters(), betas=(0.9, config.optimiser.beta2))

    def step(self) -> dict[str, float]:
        """Show one batch and move the network once. Returns losses."""
        self._seed()
        own = draw_known_faces(self.loaded, self.own_count, self.config.own_faces)
        images = own.image if self.photos is None else torch.cat([own.image, self._next_photos(self.photos)])
        guessed = self._guess(images)
        losses, loss = self._compare_latents(own, guessed), guessed.new_zeros(())
        if "code" in losses:
            loss = loss + self.config.code * losses["code"]
        if (redrawn := self._redrawn(images)) < len(images):
            pictures = self._compare_pictures(images[redrawn:], guessed[redrawn:])
            losses |= pictures
            loss = loss + pictures["picture"]
        rate = self._descend(loss)
        self._count()
        return {name: float(value.detach()) for name, value in losses.items()} | {"rate": rate}

    def _guess(self, images: Tensor) -> Tensor:
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            guessed: Tensor = self.network(images)
        return guessed.float()

    def _next_photos(self, photos: Photos) -> Tensor:
        return photos.batch(self.progress.steps * self.photo_count, self.photo_count).to(self.device)

    def _redrawn(self, images: Tensor) -> int:
        """First picture that is drawn anew: the photos come last, and before them a share of the own faces."""
        return len(images) - self.photo_count - round(self.own_count * self.config.own_faces.redrawn)

    def _compare_latents(self, own: KnownFaces, guessed: Tensor) -> dict[str, Tensor]:
        """Mean squared distance of known and guessed latents, in units of w's variance: 1 for the mean face."""
        if not self.own_count:
            return {}
        difference = guessed[: self.own_count] - own.w_plus
        return {"code": difference.square().mean() / self.objective.prior.variance}

    def _compare_pictures(self, images: Tensor, guessed: Tensor) -> dict[str, Tensor]:
        """What a search would say about the guess as its present iterate."""
        target = self.objective.describe(images, self.region.expand(len(images), -1, -1, -1))
        weights = weight_columns((self.config.weights,) * len(images), self.device)
        iterate = Iterate(guessed, self.synthesis(guessed))
        measured = self.objective.measure(iterate, target, weights)
        return {"picture": measured.loss.mean(), "distance": measured.distance.mean()}

    def _descend(self, loss: Tensor) -> float:
        """Make one Adam step; a loss that is not finite must not poison Adam's moments."""
        if not math.isfinite(float(loss.detach())):
            raise TrainingError("The loss became infinite; lower optimiser.learning_rate, then resume.")
        rate = learning_rate_at(self.config.optimiser, self.progress.images_seen, self.config.total_images)
        for group in self.adam.param_groups:
            group["lr"] = rate
        self.adam.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # PyTorch leaves backward untyped
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), CLIP_NORM)
        self.adam.step()
        return rate

    def _count(self) -> None:
        self.progress.steps += 1
        self.progress.images_seen += self.config.batch
        settings = self.config.average
        decay = ema_decay(self.config.batch, settings.halflife_images, self.progress.images_seen, settings.rampup)
        update_average(self.average, self.network, decay)

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
