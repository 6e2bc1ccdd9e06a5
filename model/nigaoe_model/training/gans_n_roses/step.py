"""One training step of GANs N' Roses: what is computed on the device.

Chong & Forsyth, "GANs N' Roses: Stable, Controllable, Diverse Image to Image Translation", 2021, section 3. A batch is
one picture of each domain in several augmentations, beside several different pictures that real styles are read off
and that the discriminators see.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from nigaoe_model.compared.gans_n_roses import GansNRoses, GansNRosesGenerator, Style
from nigaoe_model.compared.gans_n_roses_checkpoint import GansNRosesCard, GansNRosesCheckpoint, save_gans_n_roses
from nigaoe_model.compared.gans_n_roses_discriminators import GansNRosesDiscriminator, StyleDiscriminator
from nigaoe_model.compared.gans_n_roses_layout import ANIME_TO_PHOTO, PHOTO_TO_ANIME
from nigaoe_model.compared.gans_n_roses_losses import (
    Batch,
    Distance,
    Networks,
    discriminator_terms,
    distance_in_features,
    draw_chance,
    generator_terms,
    r1_terms,
    translate,
)
from nigaoe_model.compared.method_card import MethodCard
from nigaoe_model.features import LEAST_SIDE, frozen_features, shared_features
from nigaoe_model.inversion.feature_distance import FeatureNetwork
from nigaoe_model.training.dataset import to_unit_range
from nigaoe_model.training.gans_n_roses.augmentation import augmented
from nigaoe_model.training.gans_n_roses.config import GansNRosesConfig, OptimiserSettings
from nigaoe_model.training.methods.domains import Domains
from nigaoe_model.training.methods.player import Player
from nigaoe_model.training.methods.step import BROKEN
from nigaoe_model.training.precision import resolve_precision
from nigaoe_model.training.run_state import Progress, part_of, prefixed
from nigaoe_model.training.step_state import LossMeter

GENERATOR_LOSSES = (
    *("adversarial", "style_adversarial", "style_consistency", "cycle", "feature_distance", "style_reconstruction"),
)
LOSSES = ("d_loss", "r1", "g_loss", *GENERATOR_LOSSES, BROKEN)

SHEET_SEEDS = (0, 1, 2)


class GansNRosesStep:
    """Networks, optimisers and the computation that moves them once.

    Args:
        config: The run's settings.
        domains: Photos and anime faces.
        device: Where steps are computed.

    Raises:
        InvalidSettings: The device has no instructions for the chosen precision.
    """

    def __init__(self, config: GansNRosesConfig, domains: Domains, device: torch.device) -> None:
        self.config, shape = config, config.architecture
        self.networks = Networks(
            photo_to_anime=GansNRosesGenerator(shape).to(device),
            anime_to_photo=GansNRosesGenerator(shape).to(device),
            photo_discriminator=GansNRosesDiscriminator(shape).to(device),
            anime_discriminator=GansNRosesDiscriminator(shape).to(device),
            style_discriminator=StyleDiscriminator(shape.latent_dim).to(device),
        )
        self._photos = domains.photo_source(config.batch, config.compute.seed, device)
        self._anime = domains.anime_source(config.batch, config.compute.seed, device)
        # Places in the device's memory: the host writes the rate before a step.
        self._rate = torch.zeros((), device=device)
        self._average_rate = torch.full((), 1.0 - config.average.decay, device=device)
        beta2, lazy = config.optimiser.beta2, config.regularisation
        corrected = lazy.r1_every / (lazy.r1_every + 1) if lazy.r1_gamma else 1.0
        self.generators = Player(
            {PHOTO_TO_ANIME: self.networks.photo_to_anime, ANIME_TO_PHOTO: self.networks.anime_to_photo},
            rate=self._rate,
            betas=(0.0, beta2),
            averaged=True,
        )
        self.discriminators = Player(
            {
                "photo_discriminator": self.networks.photo_discriminator,
                "anime_discriminator": self.networks.anime_discriminator,
                "style_discriminator": self.networks.style_discriminator,
            },
            rate=self._rate,
            betas=(0.0, beta2**corrected),
            averaged=False,
        )
        self._distance = feature_distance(shape.size, device)
        dtype = resolve_precision(config.compute.precision, device, from_resolution=4).dtype
        self._dtype = None if dtype == torch.float32 else dtype
        self.losses = LossMeter(LOSSES, device)

    def begin(self, progress: Progress) -> bool:
        """Bring the next pictures and the rate to their places; returns whether R1 has its turn."""
        self._photos.prepare(progress.images_seen)
        self._anime.prepare(progress.images_seen)
        self._rate.fill_(learning_rate_at(self.config.optimiser, progress.images_seen))
        settings = self.config.regularisation
        return bool(settings.r1_gamma) and progress.steps % settings.r1_every == 0

    def make(self, kind: object) -> None:
        """Make one step, with R1 where ``kind`` is true."""
        batch = self.batch()
        chance = draw_chance(self.config.batch, self.config.architecture.latent_dim, batch.photos.device)
        with self.generators.learning():
            with self._reduced():
                made = translate(self.networks, batch, chance)
                with self.discriminators.learning():
                    d_loss = discriminator_terms(self.networks, batch, chance, made)
                    broken = self.discriminators.descend(d_loss)
            losses = {"d_loss": d_loss.detach()}
            if kind:
                with self.discriminators.learning():
                    settings = self.config.regularisation
                    penalty = r1_terms(self.networks, batch, chance, gamma=settings.r1_gamma, every=settings.r1_every)
                    broken = broken + self.discriminators.descend(penalty)
                losses["r1"] = penalty.detach()
            with self._reduced():
                terms = generator_terms(self.networks, batch, chance, made, self._distance)
            g_loss = terms.total(self.config.weights)
            broken = broken + self.generators.descend(g_loss)
        self.generators.follow(self._average_rate)
        losses |= {name: getattr(terms, name).detach() for name in GENERATOR_LOSSES}
        self.losses.add(losses | {"g_loss": g_loss.detach(), BROKEN: broken})

    def batch(self) -> Batch:
        """Return the prepared pictures, augmented; one of each domain, chosen at random, in several augmentations."""
        photos, anime = to_unit_range(self._photos.batch()), to_unit_range(self._anime.batch())
        settings, count = self.config.augmentation, self.config.batch
        one_photo, one_anime = (
            pictures.index_select(0, torch.randint(count, (1,), device=pictures.device)).expand_as(pictures)
            for pictures in (photos, anime)
        )
        return Batch(*(augmented(pictures, settings) for pictures in (photos, anime, one_photo, one_anime)))

    @contextmanager
    def _reduced(self) -> Iterator[None]:
        """Let encoders, decoders and discriminators of pictures compute in the main steps' type for a while."""
        networks = self.networks
        reducible = (
            *(networks.photo_to_anime, networks.anime_to_photo),
            *(networks.photo_discriminator, networks.anime_discriminator),
        )
        for network in reducible:
            network.reduced_dtype = self._dtype
        try:
            yield
        finally:
            for network in reducible:
                network.reduced_dtype = None

    # ---- what is drawn and shipped ----------------------------------------------------------------------------------

    def draw(self, photos: Tensor, anime: Tensor, seeds: Sequence[int]) -> Tensor:  # noqa: ARG002 - styles are drawn
        """Draw photos in seeded styles by the moving average. # [N, 3, S, S] -> [N, 3, S, S] in [-1, 1]."""
        return self._method().draw(photos, seeds)

    def sheet(self, photos: Tensor, anime: Tensor) -> Tensor:
        """Return rows: photo, its drawing with three seeds, with the style of an anime face, and that face.

        Both # [N, 3, S, S] in [-1, 1]; returns # [N, 6, 3, S, S].
        """
        method, count = self._method(), len(photos)
        styles: list[Sequence[Style]] = [*([seed] * count for seed in SHEET_SEEDS), list(anime)]
        return torch.stack([photos, *(method.draw(photos, row) for row in styles), anime], dim=1)

    def write(self, path: Path, about: MethodCard) -> None:
        """Write the moving averages of both generators, fp16."""
        card = GansNRosesCard(**about.model_dump(), architecture=self.config.architecture)
        networks = {name: network.state_dict() for name, network in self.generators.averages.items()}
        save_gans_n_roses(GansNRosesCheckpoint(card, networks), path, dtype=torch.float16)

    def _method(self) -> GansNRoses:
        averages = [self.generators.averages[name] for name in (PHOTO_TO_ANIME, ANIME_TO_PHOTO)]
        photo_to_anime, anime_to_photo = (n for n in averages if isinstance(n, GansNRosesGenerator))
        return GansNRoses(photo_to_anime, anime_to_photo)

    # ---- state ------------------------------------------------------------------------------------------------------

    def places(self) -> Iterator[Tensor]:
        """Yield all tensors that a step writes."""
        yield from self.generators.places()
        yield from self.discriminators.places()
        yield self.losses.sums

    def drop_gradients(self) -> None:
        """Drop the gradients of the last step."""
        self.generators.drop_gradients()
        self.discriminators.drop_gradients()

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that a resumed run needs, by name."""
        generators, discriminators = self.generators.tensors(), self.discriminators.tensors()
        return prefixed("generators.", generators) | prefixed("discriminators.", discriminators)

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what :meth:`tensors` returned.

        Raises:
            RuntimeError: The tensors belong to other networks.
        """
        self.generators.restore(part_of("generators.", tensors))
        self.discriminators.restore(part_of("discriminators.", tensors))


def feature_distance(size: int, device: torch.device) -> Distance:
    """Return what stands in for LPIPS: the distance in EfficientNet-Lite0 features of pictures of ``size`` pixels."""
    features = frozen_features(shared_features(device=str(device)))
    return distance_in_features(FeatureNetwork(features, size=max(size, LEAST_SIDE)))


def learning_rate_at(settings: OptimiserSettings, images_seen: int) -> float:
    """Return Adam's rate after ``images_seen`` photos: it halves by steps."""
    halvings = images_seen // settings.halve_images if settings.halve_images else 0
    return settings.learning_rate * 0.5**halvings
