"""The losses of the Swapping Autoencoder, and the terms of one step of each side.

Park et al., "Swapping Autoencoder for Deep Image Manipulation", 2020: equations 1 to 4. A batch is even: neighbours
form pairs, in which structures are swapped. Everything returns scalars, already weighted in the terms of a step.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from nigaoe_model.compared.swapping_autoencoder import Codes, Encoder, Generator
from nigaoe_model.compared.swapping_autoencoder_discriminators import PatchDiscriminator, PictureDiscriminator
from nigaoe_model.compared.swapping_autoencoder_settings import CropSettings, LossWeights
from nigaoe_model.training.losses import r1_penalty

Terms = dict[str, Tensor]


class Crops(NamedTuple):
    """Rectangles in a picture, whose sides lie at -1 and 1.

    Attributes:
        centre: x and y. # [N, K, 2].
        half: Half of width and height. Negative widths mirror. # [N, K, 2].
    """

    centre: Tensor
    half: Tensor


class SwappingNetworks(NamedTuple):
    """The four networks of a training step."""

    encoder: Encoder
    generator: Generator
    discriminator: PictureDiscriminator
    patch_discriminator: PatchDiscriminator


def neighbours(batch: Tensor) -> Tensor:
    """Swap within pairs: 0 with 1, 2 with 3, and so on. # [N, ...], N even; twice is the identity.

    Raises:
        ValueError: N is odd.
    """
    if len(batch) % 2:
        raise ValueError(f"{len(batch)} pictures cannot form pairs: their number must be even")
    return batch.reshape(-1, 2, *batch.shape[1:]).flip(1).flatten(0, 1)


def draw_crops(pictures: int, settings: CropSettings, random: torch.Generator | None, device: torch.device) -> Crops:
    """Draw rectangles that lie inside: sides uniform for each axis, places uniform, half of them mirrored.

    Args:
        pictures: N.
        settings: Number and sizes.
        random: Source of random numbers on ``device``; None: torch's own.
        device: Where the crops shall lie.
    """
    shape = (pictures, settings.count, 2)
    draws = torch.rand((3, *shape), generator=random, device=device)
    half = settings.min_scale + (settings.max_scale - settings.min_scale) * draws[0]
    centre = (2 * draws[1] - 1) * (1 - half)
    mirrored = torch.where(draws[2, ..., :1] < 0.5, -1.0, 1.0)  # only x
    return Crops(centre, half * torch.cat([mirrored, torch.ones_like(mirrored)], dim=2))


def cut(image: Tensor, crops: Crops, size: int) -> Tensor:
    """Resample crops bilinearly.

    Args:
        image: # [N, 3, R, R].
        crops: K a picture.
        size: P, in pixels.

    Returns:
        # [N, K, 3, P, P].
    """
    steps = (2 * torch.arange(size, device=image.device, dtype=image.dtype) + 1) / size - 1  # pixel centres, [P]
    x = crops.centre[..., 0, None] + crops.half[..., 0, None] * steps  # [N, K, P]
    y = crops.centre[..., 1, None] + crops.half[..., 1, None] * steps
    count = x.shape[1]
    grid = torch.stack([x[:, :, None, :].expand(-1, -1, size, -1), y[..., None].expand(-1, -1, -1, size)], dim=-1)
    # One tall picture of patches for each picture, which is never copied. # [N, K * P, P, 2]
    tall = F.grid_sample(image, grid.flatten(1, 2), mode="bilinear", padding_mode="border", align_corners=False)
    return tall.reshape(len(tall), -1, count, size, size).transpose(1, 2)


def random_patches(image: Tensor, settings: CropSettings, random: torch.Generator | None = None) -> Tensor:
    """Cut patches at random. # [N, 3, R, R] -> [N, count, 3, size, size]."""
    return cut(image, draw_crops(len(image), settings, random, image.device), settings.size)


def reconstruction_and_mix(generator: Generator, codes: Codes) -> tuple[Tensor, Tensor]:
    """Draw the first half of a batch again, and all of it with the neighbour's structure and the own texture.

    Returns:
        # [N/2, 3, R, R] and # [N, 3, R, R].
    """
    half = len(codes.texture) // 2
    structure = torch.cat([codes.structure[:half], neighbours(codes.structure)])
    drawn = generator(Codes(structure, torch.cat([codes.texture[:half], codes.texture])), noise="random")
    return drawn[:half], drawn[half:]


def generator_terms(
    networks: SwappingNetworks,
    image: Tensor,
    *,
    weights: LossWeights,
    crops: CropSettings,
    random: torch.Generator | None = None,
) -> Terms:
    """Return the weighted terms of a step of encoder and generator.

    Args:
        networks: Gradients flow into encoder and generator; the discriminators' must be off.
        image: # [N, 3, R, R], N even.
        weights: Of the terms.
        crops: Of the patches.
        random: Draws the crops.
    """
    judge = networks.patch_discriminator
    reconstruction, mix = reconstruction_and_mix(networks.generator, networks.encoder(image))
    with torch.no_grad():
        reference = judge.features(random_patches(image, crops, random))
    patches = judge.features(random_patches(mix, crops, random))
    return {
        "reconstruction": weights.reconstruction * F.l1_loss(reconstruction, image[: len(reconstruction)]),
        "reconstruction_fake": weights.reconstruction_fake * _taken_for_real(networks.discriminator(reconstruction)),
        "mix": weights.mix_drawn * _taken_for_real(networks.discriminator(mix)),
        "patches": weights.patches * _taken_for_real(judge.compare(patches, reference)),
    }


def discriminator_terms(
    networks: SwappingNetworks,
    image: Tensor,
    *,
    weights: LossWeights,
    crops: CropSettings,
    random: torch.Generator | None = None,
) -> Terms:
    """Return the weighted terms of a step of both discriminators.

    Args:
        networks: Gradients flow into the discriminators only.
        image: # [N, 3, R, R], N even.
        weights: Of the terms.
        crops: Of the patches.
        random: Draws the crops.
    """
    judge = networks.patch_discriminator
    with torch.no_grad():
        reconstruction, mix = reconstruction_and_mix(networks.generator, networks.encoder(image))
    reference = judge.features(random_patches(image, crops, random))
    others = judge.features(random_patches(image, crops, random))
    fakes = judge.features(random_patches(mix, crops, random))
    same, different = judge.compare(others, reference), judge.compare(fakes, reference)
    return {
        "real": _taken_for_real(networks.discriminator(image)),
        "reconstruction_fake": weights.reconstruction_fake * _seen_through(networks.discriminator(reconstruction)),
        "mix": weights.mix_fake * _seen_through(networks.discriminator(mix)),
        "patches": weights.patches * (_taken_for_real(same) + _seen_through(different)),
    }


def r1_terms(
    networks: SwappingNetworks,
    image: Tensor,
    *,
    weights: LossWeights,
    crops: CropSettings,
    random: torch.Generator | None = None,
) -> Terms:
    """Return the weighted gradient penalties of both discriminators, due every ``r1_every`` steps of them.

    Args:
        networks: Gradients flow into the discriminators only.
        image: # [N, 3, R, R].
        weights: Of the terms.
        crops: Of the patches.
        random: Draws the crops.
    """
    real = image.detach().requires_grad_()
    patches, reference = (random_patches(image, crops, random).detach().requires_grad_() for _ in range(2))
    patch_penalty = patch_r1_penalty(networks.patch_discriminator, patches, reference)
    return {
        "r1": weights.r1_every * weights.r1_gamma / 2 * r1_penalty(networks.discriminator(real), real),
        "patch_r1": weights.r1_every * weights.patch_r1_gamma / 2 * patch_penalty,
    }


def patch_r1_penalty(judge: Callable[[Tensor, Tensor], Tensor], patches: Tensor, reference: Tensor) -> Tensor:
    """Mean of the squared gradients after patches and after references, each averaged over the patches.

    Args:
        judge: Patches and references to logits # [N, K].
        patches: With gradient. # [N, K, 3, P, P].
        reference: With gradient. # [N, L, 3, P, P].
    """
    gradients = torch.autograd.grad(judge(patches, reference).sum(), (patches, reference), create_graph=True)
    squares = [gradient.square().sum(dim=(2, 3, 4)).mean() for gradient in gradients]
    return (squares[0] + squares[1]) / 2


def _taken_for_real(logits: Tensor) -> Tensor:
    """``-log sigmoid(D)``, averaged."""
    return F.softplus(-logits).mean()


def _seen_through(logits: Tensor) -> Tensor:
    """``-log(1 - sigmoid(D))``, averaged."""
    return F.softplus(logits).mean()
