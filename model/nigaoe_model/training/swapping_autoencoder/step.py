"""One training step of the Swapping Autoencoder: what is computed on the device.

Park et al., "Swapping Autoencoder for Deep Image Manipulation", 2020, section 3 and appendix A. The discriminators and
the autoencoder take turns: each step shows its pictures to one side only.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from nigaoe_model.compared.method_card import MethodCard
from nigaoe_model.compared.swapping_autoencoder import SwappingAutoencoder
from nigaoe_model.compared.swapping_autoencoder_checkpoint import (
    SwappingAutoencoderCard,
    SwappingAutoencoderCheckpoint,
    save_swapping_autoencoder,
)
from nigaoe_model.compared.swapping_autoencoder_discriminators import PatchDiscriminator, PictureDiscriminator
from nigaoe_model.compared.swapping_autoencoder_losses import (
    SwappingNetworks,
    Terms,
    discriminator_terms,
    generator_terms,
    r1_terms,
)
from nigaoe_model.training.losses import lazy_adam
from nigaoe_model.training.methods.domains import Domains
from nigaoe_model.training.methods.player import Player
from nigaoe_model.training.methods.step import BROKEN
from nigaoe_model.training.optimisation import ema_decay
from nigaoe_model.training.precision import resolve_precision
from nigaoe_model.training.run_state import Progress, part_of, prefixed
from nigaoe_model.training.sample_grid import pictures_at_once
from nigaoe_model.training.step_state import LossMeter
from nigaoe_model.training.swapping_autoencoder.config import SwappingAutoencoderConfig
from nigaoe_model.training.swapping_autoencoder.pairs import PairedPictures

DISCRIMINATOR_LOSSES = ("d_real", "d_reconstruction_fake", "d_mix", "d_patches")
GENERATOR_LOSSES = ("g_reconstruction", "g_reconstruction_fake", "g_mix", "g_patches")
LOSSES = (*GENERATOR_LOSSES, *DISCRIMINATOR_LOSSES, "r1", "patch_r1", BROKEN)
"""Of the log, weighted as they count."""

SHOWN_TEXTURES = 3
"""Anime faces whose textures a sheet shows."""

MEAN_TEXTURE_PICTURES = 1024
"""Anime faces that the mean texture is taken from."""


@dataclass(frozen=True, slots=True)
class SwappingStepKind:
    """What happens in a step: each kind is recorded once.

    Attributes:
        judges_learn: The discriminators learn; else encoder and generator.
        r1: The discriminators' penalties have their turn.
    """

    judges_learn: bool
    r1: bool = False


class SwappingAutoencoderStep:
    """Networks, optimisers and the computation that moves one side once.

    Args:
        config: The run's settings.
        domains: Photos and anime faces.
        device: Where steps are computed.

    Raises:
        InvalidSettings: The device has no instructions for the chosen precision.
    """

    def __init__(self, config: SwappingAutoencoderConfig, domains: Domains, device: torch.device) -> None:
        self.config, self.domains, self.device = config, domains, device
        network = SwappingAutoencoder(config.architecture).to(device)
        self.networks = SwappingNetworks(
            network.encoder,
            network.generator,
            PictureDiscriminator(config.discriminator).to(device),
            PatchDiscriminator(config.patch_discriminator).to(device),
        )
        self.pictures = PairedPictures(config, domains, device)
        settings, weights = config.optimiser, config.weights
        every = weights.r1_every if self._penalised else 0
        rate, betas = lazy_adam(settings.discriminator_lr, settings.beta2, every)
        self.autoencoder = Player(
            {"autoencoder": network},
            rate=torch.full((), settings.generator_lr, device=device),
            betas=(0.0, settings.beta2),
            averaged=True,
        )
        self.judges = Player(
            {"discriminator": self.networks.discriminator, "patch_discriminator": self.networks.patch_discriminator},
            rate=torch.full((), rate, device=device),
            betas=betas,
            averaged=False,
        )
        dtype = resolve_precision(config.compute.precision, device, from_resolution=4).dtype
        self._dtype = None if dtype == torch.float32 else dtype
        self._average_rate = torch.zeros((), device=device)  # A place that the host writes before a step.
        self.losses = LossMeter(LOSSES, device)

    def begin(self, progress: Progress) -> SwappingStepKind:
        """Bring the next pictures and the average's rate to their places; returns whose turn it is."""
        self.pictures.prepare(progress.steps)
        average, batch = self.config.average, self.config.batch
        # The average moves in every second step, for the pictures of both.
        decay = ema_decay(2 * batch, average.halflife_images, progress.images_seen, average.rampup)
        self._average_rate.fill_(1.0 - decay)
        rounds, judges_wait = divmod(progress.steps, 2)
        if judges_wait:
            return SwappingStepKind(judges_learn=False)
        return SwappingStepKind(judges_learn=True, r1=self._penalised and rounds % self.config.weights.r1_every == 0)

    def make(self, kind: object) -> None:
        """Make one step of a :class:`SwappingStepKind`."""
        assert isinstance(kind, SwappingStepKind)  # noqa: S101 - what `begin` returned
        image = self.pictures.batch()
        if not kind.judges_learn:
            losses = self._autoencoder_step(image)
        else:
            losses = self._judges_step(image)
            if kind.r1:
                penalties = self._penalty_step(image)
                losses |= penalties | {BROKEN: losses[BROKEN] + penalties[BROKEN]}
        self.losses.add(losses)

    def _judges_step(self, image: Tensor) -> Terms:
        """Learn to tell real pictures and patches from drawn ones."""
        with self.judges.learning():
            with self._reduced():
                terms = discriminator_terms(self.networks, image, weights=self.config.weights, crops=self.config.crops)
            broken = self.judges.descend(total(terms))
        return prefixed("d_", detached(terms)) | {BROKEN: broken}

    def _penalty_step(self, image: Tensor) -> Terms:
        """Keep both discriminators flat on the data, by a step of its own."""
        with self.judges.learning():
            terms = r1_terms(self.networks, image, weights=self.config.weights, crops=self.config.crops)
            broken = self.judges.descend(total(terms))
        return detached(terms) | {BROKEN: broken}

    def _autoencoder_step(self, image: Tensor) -> Terms:
        """Draw pictures again, and swapped ones that the discriminators, which do not learn here, take for real."""
        with self.autoencoder.learning():
            with self._reduced():
                terms = generator_terms(self.networks, image, weights=self.config.weights, crops=self.config.crops)
            broken = self.autoencoder.descend(total(terms))
        self.autoencoder.follow(self._average_rate)
        return prefixed("g_", detached(terms)) | {BROKEN: broken}

    @property
    def _penalised(self) -> bool:
        return bool(self.config.weights.r1_gamma or self.config.weights.patch_r1_gamma)

    @contextmanager
    def _reduced(self) -> Iterator[None]:
        """Let all networks compute in the main steps' type for a while."""
        for network in self.networks:
            network.reduced_dtype = self._dtype
        try:
            yield
        finally:
            for network in self.networks:
                network.reduced_dtype = None

    # ---- what is drawn and shipped ----------------------------------------------------------------------------------

    @property
    def average(self) -> SwappingAutoencoder:
        """The moving average of encoder and generator."""
        network = self.autoencoder.averages["autoencoder"]
        assert isinstance(network, SwappingAutoencoder)  # noqa: S101 - a copy of what was given
        return network

    def draw(self, photos: Tensor, anime: Tensor, seeds: Sequence[int]) -> Tensor:  # noqa: ARG002 - nothing is random
        """Draw photos with the textures of anime faces. Both # [N, 3, R, R] in [-1, 1]; returns the same."""
        return self.average.swap(photos, anime)

    def sheet(self, photos: Tensor, anime: Tensor) -> Tensor:
        """Return rows: photo, photo drawn again, with the textures of three anime faces, and with the mean texture.

        The first row shows the anime faces above their columns.

        Both # [N, 3, R, R] in [-1, 1]; returns # [1 + N, 6, 3, R, R].
        """
        network, shown = self.average, anime[:SHOWN_TEXTURES]
        textures = [*network.encode(shown).texture.split(1), self.mean_texture()]  # type: ignore[no-untyped-call]  # PyTorch leaves split untyped
        drawn = [network.draw(photos, texture) for texture in textures]
        rows = torch.stack([photos, network.draw(photos, textures[0], alpha=0.0), *drawn], dim=1)
        blank = torch.ones_like(photos[:1])
        return torch.cat([torch.stack([blank, blank, *shown.split(1), blank], dim=1), rows])  # type: ignore[no-untyped-call]

    def mean_texture(self) -> Tensor:
        """Return the mean texture of a fixed choice of the anime faces, by the moving average. # [1, texture_dim]."""
        count, batch = (
            min(MEAN_TEXTURE_PICTURES, len(self.domains.anime)),
            pictures_at_once(self.device, self.domains.resolution),
        )
        parts = (self.domains.references(first, min(batch, count - first)) for first in range(0, count, batch))
        return self.average.mean_texture(part.to(self.device) for part in parts)

    def write(self, path: Path, about: MethodCard) -> None:
        """Write the moving average with the mean texture of anime faces, fp16."""
        card = SwappingAutoencoderCard(**about.model_dump(), architecture=self.config.architecture)
        with torch.no_grad():
            checkpoint = SwappingAutoencoderCheckpoint(card, self.average.state_dict(), self.mean_texture()[0].cpu())
        save_swapping_autoencoder(checkpoint, path, dtype=torch.float16)

    # ---- state ------------------------------------------------------------------------------------------------------

    def places(self) -> Iterator[Tensor]:
        """Yield all tensors that a step writes."""
        yield from self.autoencoder.places()
        yield from self.judges.places()
        yield self.losses.sums

    def drop_gradients(self) -> None:
        """Drop the gradients of the last step."""
        self.autoencoder.drop_gradients()
        self.judges.drop_gradients()

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that a resumed run needs, by name."""
        return prefixed("autoencoder.", self.autoencoder.tensors()) | prefixed("judges.", self.judges.tensors())

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what :meth:`tensors` returned.

        Raises:
            RuntimeError: The tensors belong to other networks.
        """
        self.autoencoder.restore(part_of("autoencoder.", tensors))
        self.judges.restore(part_of("judges.", tensors))


def total(terms: Terms) -> Tensor:
    """Return the sum of weighted terms. # []."""
    return torch.stack(list(terms.values())).sum()


def detached(terms: Terms) -> Terms:
    """Return the terms as numbers of the log."""
    return {name: term.detach() for name, term in terms.items()}
