"""The losses of GANs N' Roses, and the terms of one training step as pure functions of networks, pictures and chance.

Chong & Forsyth, "GANs N' Roses: Stable, Controllable, Diverse Image to Image Translation", 2021, section 3. A batch is
one picture of each domain in several augmentations: they share their style, and their content differs. The weights are
those of the published training for anime faces.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from nigaoe_model.compared.gans_n_roses import GansNRosesGenerator
from nigaoe_model.compared.gans_n_roses_discriminators import GansNRosesDiscriminator, StyleDiscriminator
from nigaoe_model.compared.gans_n_roses_weights import GAMMA, R1_INTERVAL, LossWeights
from nigaoe_model.inversion.feature_distance import FeatureNetwork, pooled_region
from nigaoe_model.training.losses import discriminator_loss, generator_loss

Distance = Callable[[Tensor, Tensor], Tensor]
"""Two batches of pictures # [N, 3, S, S] in [-1, 1] to one distance a pair # [N]."""


@dataclass(frozen=True, slots=True)
class Networks:
    """Both directions and what judges them."""

    photo_to_anime: GansNRosesGenerator
    anime_to_photo: GansNRosesGenerator
    photo_discriminator: GansNRosesDiscriminator
    anime_discriminator: GansNRosesDiscriminator
    style_discriminator: StyleDiscriminator


@dataclass(frozen=True, slots=True)
class Batch:
    """Pictures of one step, augmented. # [N, 3, S, S] in [-1, 1] each.

    Attributes:
        photos: Different photos.
        anime: Different anime faces.
        one_photo: One photo in N augmentations.
        one_anime: One anime face in N augmentations.
    """

    photos: Tensor
    anime: Tensor
    one_photo: Tensor
    one_anime: Tensor


@dataclass(frozen=True, slots=True)
class Chance:
    """What chance decides in one step.

    Attributes:
        anime_codes: Style codes for anime faces, from N(0, I). # [N, latent_dim].
        photo_codes: The same for photos. # [N, latent_dim].
        anime_rows: Which of the 2 N codes [drawn; read off anime faces] are used, without repetition. # [N].
        photo_rows: The same for photos. # [N].
        photo_order: Order in which the photo's codes serve the cycle, a permutation. # [N].
        anime_order: The same for the anime face's. # [N].
    """

    anime_codes: Tensor
    photo_codes: Tensor
    anime_rows: Tensor
    photo_rows: Tensor
    photo_order: Tensor
    anime_order: Tensor


@dataclass(frozen=True, slots=True)
class Translation:
    """What the generators make of a batch, with gradients.

    Attributes:
        photo_style: Style codes of the one photo's augmentations. # [N, latent_dim].
        anime_style: Those of the one anime face's. # [N, latent_dim].
        read_photo_codes: Style codes of the different photos. # [N, latent_dim].
        read_anime_codes: Those of the different anime faces. # [N, latent_dim].
        used_anime_codes: Put into `anime`. # [N, latent_dim].
        used_photo_codes: Put into `photo`. # [N, latent_dim].
        anime: The one photo drawn as anime faces. # [N, 3, S, S].
        photo: The one anime face drawn as photos. # [N, 3, S, S].
    """

    photo_style: Tensor
    anime_style: Tensor
    read_photo_codes: Tensor
    read_anime_codes: Tensor
    used_anime_codes: Tensor
    used_photo_codes: Tensor
    anime: Tensor
    photo: Tensor


@dataclass(frozen=True, slots=True)
class GeneratorTerms:
    """The generators' losses before weighting, both directions added. # [] each."""

    adversarial: Tensor
    style_adversarial: Tensor
    style_consistency: Tensor
    cycle: Tensor
    feature_distance: Tensor
    style_reconstruction: Tensor

    def total(self, weights: LossWeights) -> Tensor:
        """Return the weighted sum. # []."""
        return (
            weights.adversarial * self.adversarial
            + weights.style_adversarial * self.style_adversarial
            + weights.style_consistency * self.style_consistency
            + weights.cycle * self.cycle
            + weights.feature_distance * self.feature_distance
            + weights.style_reconstruction * self.style_reconstruction
        )


def adversarial_discriminator_loss(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Logistic loss, summed over a discriminator's outputs; each is averaged over pictures and positions. # []."""
    losses = [discriminator_loss(r, f) for r, f in zip(real, fake, strict=True)]
    return torch.stack(losses).sum()


def adversarial_generator_loss(fake: Sequence[Tensor]) -> Tensor:
    """Non-saturating loss, averaged over a discriminator's outputs. # []."""
    return torch.stack([generator_loss(output) for output in fake]).mean()


def style_consistency(style: Tensor) -> Tensor:
    """Variance over the batch, summed over the code: 0 when augmentation leaves the style as it is.

    Args:
        style: Codes of one picture's augmentations. # [N, latent_dim].

    Returns:
        # [].
    """
    return style.var(dim=0, unbiased=False).sum()


def cycle_loss(back: Tensor, start: Tensor) -> Tensor:
    """Mean squared difference of pictures that went there and back from those they began as. Both # [N, 3, S, S]."""
    return F.mse_loss(back, start)


def style_reconstruction(read: Tensor, used: Tensor) -> Tensor:
    """Mean squared difference of the code read off a drawing from the one put into it. Both # [N, latent_dim]."""
    return F.mse_loss(read, used)


def r1_of_means(outputs: Sequence[Tensor], real: Tensor) -> Tensor:
    """R1 (Mescheder et al. 2018) in the published form: every output is averaged over the batch first.

    Args:
        outputs: Of a discriminator.
        real: What was judged, with gradient. # [N, ...].

    Returns:
        Sum over outputs of the squared norm of each sample's gradient, averaged over samples; so it is 1 / N^2 of the
        usual penalty for an output # [N, 1]. # [].
    """
    penalties = []
    for output in outputs:
        (gradient,) = torch.autograd.grad(output.mean(), real, create_graph=True)
        penalties.append(gradient.square().flatten(1).sum(dim=1).mean())
    return torch.stack(penalties).sum()


def distance_in_features(network: FeatureNetwork) -> Distance:
    """Return the distance in the features of a frozen network, in place of LPIPS; all positions count alike."""

    def distance(first: Tensor, second: Tensor) -> Tensor:
        a, b = network.features(first), network.features(second)
        everywhere = torch.ones_like(first[:, :1])  # [N, 1, S, S]
        return network.distance(a, b, pooled_region(everywhere, a))

    return distance


def draw_chance(
    count: int, latent_dim: int, device: torch.device | str = "cpu", random: torch.Generator | None = None
) -> Chance:
    """Draw what chance decides in one step.

    Args:
        count: Pictures of a batch, N.
        latent_dim: Length of a style code.
        device: Where it is needed.
        random: Source of chance on that device; None: the global one.
    """

    def order(length: int) -> Tensor:
        # A sort of random keys, unlike `randperm`, is sure to stay on the device and can be recorded.
        return torch.rand(length, generator=random, device=device).argsort()

    def codes() -> Tensor:
        return torch.randn(count, latent_dim, generator=random, device=device)

    return Chance(codes(), codes(), order(2 * count)[:count], order(2 * count)[:count], order(count), order(count))


def translate(networks: Networks, batch: Batch, chance: Chance) -> Translation:
    """Draw the one photo as anime faces and the one anime face as photos, in styles drawn or read."""
    photo_content, photo_style = networks.photo_to_anime.encode(batch.one_photo)
    anime_content, anime_style = networks.anime_to_photo.encode(batch.one_anime)
    read_anime_codes = networks.anime_to_photo.style_code(batch.anime)
    read_photo_codes = networks.photo_to_anime.style_code(batch.photos)
    used_anime_codes = torch.cat([chance.anime_codes, read_anime_codes])[chance.anime_rows]
    used_photo_codes = torch.cat([chance.photo_codes, read_photo_codes])[chance.photo_rows]
    return Translation(
        photo_style=photo_style,
        anime_style=anime_style,
        read_photo_codes=read_photo_codes,
        read_anime_codes=read_anime_codes,
        used_anime_codes=used_anime_codes,
        used_photo_codes=used_photo_codes,
        anime=networks.photo_to_anime.decode(photo_content, used_anime_codes),
        photo=networks.anime_to_photo.decode(anime_content, used_photo_codes),
    )


def discriminator_terms(networks: Networks, batch: Batch, chance: Chance, made: Translation) -> Tensor:
    """Return the logistic loss of all three discriminators; nothing flows back into the generators. # []."""
    photo, anime, style = networks.photo_discriminator, networks.anime_discriminator, networks.style_discriminator
    return (
        adversarial_discriminator_loss(photo(batch.photos), photo(made.photo.detach()))
        + adversarial_discriminator_loss(anime(batch.anime), anime(made.anime.detach()))
        + adversarial_discriminator_loss([style(chance.anime_codes)], [style(made.read_anime_codes.detach())])
        + adversarial_discriminator_loss([style(chance.photo_codes)], [style(made.read_photo_codes.detach())])
    )


def r1_terms(
    networks: Networks, batch: Batch, chance: Chance, *, gamma: float = GAMMA, every: int = R1_INTERVAL
) -> Tensor:
    """Return R1 of all three discriminators, times ``gamma / 2`` and the steps from one to the next. # []."""
    photos, anime = _with_gradient(batch.photos), _with_gradient(batch.anime)
    anime_codes, photo_codes = _with_gradient(chance.anime_codes), _with_gradient(chance.photo_codes)
    penalty = (
        r1_of_means(networks.photo_discriminator(photos), photos)
        + r1_of_means(networks.anime_discriminator(anime), anime)
        + r1_of_means([networks.style_discriminator(anime_codes)], anime_codes)
        + r1_of_means([networks.style_discriminator(photo_codes)], photo_codes)
    )
    return penalty * (gamma / 2 * every)


def generator_terms(
    networks: Networks, batch: Batch, chance: Chance, made: Translation, distance: Distance
) -> GeneratorTerms:
    """Return the losses of both generators.

    Args:
        networks: The discriminators' parameters should need no gradients.
        batch: What was translated.
        chance: Whose orders shuffle the codes for the cycle: any augmentation's code must serve all others.
        made: From :func:`translate` of the same batch and chance.
        distance: In place of LPIPS.
    """
    anime_content, anime_read = networks.anime_to_photo.encode(made.anime)
    photo_content, photo_read = networks.photo_to_anime.encode(made.photo)
    photo_back = networks.anime_to_photo.decode(anime_content, made.photo_style[chance.photo_order])
    anime_back = networks.photo_to_anime.decode(photo_content, made.anime_style[chance.anime_order])
    style = networks.style_discriminator
    return GeneratorTerms(
        adversarial=adversarial_generator_loss(networks.photo_discriminator(made.photo))
        + adversarial_generator_loss(networks.anime_discriminator(made.anime)),
        style_adversarial=adversarial_generator_loss([style(made.read_anime_codes)])
        + adversarial_generator_loss([style(made.read_photo_codes)]),
        style_consistency=style_consistency(made.photo_style) + style_consistency(made.anime_style),
        cycle=cycle_loss(photo_back, batch.one_photo) + cycle_loss(anime_back, batch.one_anime),
        feature_distance=distance(photo_back, batch.one_photo).mean() + distance(anime_back, batch.one_anime).mean(),
        style_reconstruction=style_reconstruction(anime_read, made.used_anime_codes)
        + style_reconstruction(photo_read, made.used_photo_codes),
    )


def _with_gradient(x: Tensor) -> Tensor:
    return x.detach().requires_grad_()
