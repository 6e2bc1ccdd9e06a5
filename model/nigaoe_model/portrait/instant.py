"""Instant portraits: the encoder's guess, drawn. No search, many photos in a pass.

A guess is a latent like any other: it can be kept, restyled, and given to a search as its start.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nigaoe_core.errors import NoEncoder, WrongSize
from nigaoe_core.jobs import Method
from nigaoe_model.portrait.convert import Conversion
from nigaoe_model.portrait.drawing import Look, draw_portraits
from nigaoe_model.portrait.pair import LoadedGenerator, Pair
from nigaoe_model.portrait.stored_latent import LatentCard, StoredLatent
from nigaoe_model.portrait.upscale import Upscaler


@dataclass(frozen=True, slots=True, eq=False)
class InstantRequest:
    """One photo to draw; compared by identity.

    Attributes:
        photo: Aligned, see `nigaoe_model.portrait.convert.target_of`. # [3, R, R] in [-1, 1].
        seed: For the record: nothing is drawn at random.
    """

    photo: Tensor
    seed: int = 0


def check_instant(pair: Pair, request: InstantRequest) -> None:
    """Refuse a request that could not be drawn, so that it fails without those that would share its pass.

    Raises:
        NoEncoder: Nothing guesses a latent for this style.
        WrongSize: The photo was cut for another generator.
    """
    _encoder_of(pair.g_ori)
    side = pair.g_ori.card.architecture.resolution
    if tuple(request.photo.shape) != (3, side, side):
        raise WrongSize(
            f"The aligned photo is {list(request.photo.shape)}; the style `{pair.style}` needs {[3, side, side]}."
        )


@torch.no_grad()
def guess_latents(loaded: LoadedGenerator, photos: Tensor) -> Tensor:
    """Guess the latents of photos, all in one pass.

    Args:
        loaded: A generator with an encoder.
        photos: # [N, 3, R, R] in [-1, 1].

    Returns:
        On the generator's device. # [N, num_ws, w_dim].

    Raises:
        NoEncoder: The generator has none.
    """
    guessed: Tensor = _encoder_of(loaded)(photos.to(next(loaded.generator.parameters()).device))
    return guessed


def draw_guesses(
    pair: Pair, look: Look, requests: Sequence[InstantRequest], upscaler: Upscaler | None
) -> list[Conversion]:
    """Guess and draw photos in one look, all in one pass.

    Args:
        pair: The style.
        look: How the guesses are drawn.
        requests: At least one.
        upscaler: See `nigaoe_model.portrait.drawing.draw_portraits`.

    Returns:
        One conversion a request; a photo's seconds are its share of the guessing. No distance is measured: that takes
        the features of photo and guess, as long as the guess itself.

    Raises:
        NoEncoder: Nothing guesses a latent for this style.
        WrongSize: A photo was cut for another generator.
    """
    for request in requests:
        check_instant(pair, request)
    start = time.perf_counter()
    latents = guess_latents(pair.g_ori, torch.stack([request.photo for request in requests]))
    seconds = (time.perf_counter() - start) / len(requests)
    portraits = draw_portraits(pair, latents, look, upscaler)
    conversions = []
    for request, portrait, w_plus in zip(requests, portraits, latents.cpu(), strict=True):
        card = LatentCard(
            generator_sha256=pair.g_ori.digest, method=Method.CROSS.value, style=pair.style, seed=request.seed
        )
        report = {
            "style": pair.style,
            "method": Method.CROSS.value,
            "direct_share": 0.0,
            "start": "encoder",
            "distance_start": None,
            "distance_end": None,
            "steps": 0,
            "stop_reason": "one_pass",
            "seconds": {"guess": seconds},
            "models": dict(pair.model_ids),
        }
        conversions.append(Conversion(portrait, StoredLatent(card, w_plus.clone()), report))
    return conversions


def _encoder_of(loaded: LoadedGenerator) -> torch.nn.Module:
    if loaded.encoder is None:
        raise NoEncoder(
            f"No encoder guesses latents of `{loaded.card.name}`: choose another preset than instant, or train one "
            "with `nigaoe train encoder`."
        )
    return loaded.encoder.network
