"""The one conversion path, from an aligned crop and options to pictures: command line, library and worker share it.

`inversion_requests` says what is searched; the owner of the engines runs them (`nigaoe_model.portrait.pipeline` until
they are empty, the worker in the thread of its device); `conclude` chooses among what was found, and draws it. Without
a search, `nigaoe_model.portrait.instant` draws what the encoder guesses.

The thesis's terms: *cross* finds the photo's latent in ``g_ori`` and draws it with ``g_fin``; *direct* finds the most
similar face in ``g_fin`` itself; *best* does both, adds in-betweens, and keeps the highest score.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from nigaoe_core.errors import UsageError, WrongSize
from nigaoe_core.jobs import Method
from nigaoe_model.features import LEAST_SIDE, STRIDES, shared_features
from nigaoe_model.inversion.algorithm import Objective
from nigaoe_model.inversion.engine import SlotEngine
from nigaoe_model.inversion.graphs import recorder_for
from nigaoe_model.inversion.region import face_region
from nigaoe_model.inversion.regularisers import draw_noise_maps
from nigaoe_model.inversion.request import InversionRequest, InversionResult
from nigaoe_model.inversion.score import in_betweens, likeness_scores
from nigaoe_model.inversion.settings import InversionSettings
from nigaoe_model.pixels import to_planes
from nigaoe_model.portrait.drawing import Look, Portrait, draw_portraits
from nigaoe_model.portrait.pair import LoadedGenerator, Pair
from nigaoe_model.portrait.stored_latent import LatentCard, StoredLatent
from nigaoe_model.portrait.upscale import Upscaler

Role = Literal["g_ori", "g_fin"]

ROLES: Final[Mapping[Method, tuple[Role, ...]]] = {
    Method.CROSS: ("g_ori",),
    Method.DIRECT: ("g_fin",),
    Method.BEST: ("g_ori", "g_fin"),
}
"""The generators in which a method searches; what the first one finds is reported."""

IN_BETWEENS: Final = (1 / 3, 2 / 3)
"""Shares of the direct latent in the candidates between both."""


@dataclass(frozen=True, slots=True)
class ConversionOptions:
    """How faces are found and drawn.

    Attributes:
        method: Which generators are searched.
        settings: Of every search.
        look: How what was found is drawn.
    """

    method: Method = Method.CROSS
    settings: InversionSettings = field(default_factory=InversionSettings)
    look: Look = field(default_factory=Look)

    def __post_init__(self) -> None:
        """Check that what is left out is not needed.

        Raises:
            UsageError: There is no search, and the method is not cross.
        """
        if not self.is_searched and self.method is not Method.CROSS:
            raise UsageError(
                f"Without a search there is no method `{self.method.value}`: the encoder guesses in g_ori alone. "
                "Choose the method cross, or another preset."
            )

    @property
    def is_searched(self) -> bool:
        """Whether anything is searched for; if not, see `nigaoe_model.portrait.instant`."""
        return self.settings.steps > 0

    @property
    def roles(self) -> tuple[Role, ...]:
        """The generators that are searched, in this order."""
        return ROLES[self.method]


@dataclass(frozen=True, slots=True, eq=False)
class Conversion:
    """A finished conversion.

    Attributes:
        portrait: The pictures.
        latent: What a later restyle needs.
        report: Method, distances, steps, stop reason, seconds, model ids: JSON-ready.
    """

    portrait: Portrait
    latent: StoredLatent
    report: dict[str, Any]


def searched(pair: Pair, role: Role) -> LoadedGenerator:
    """Return the generator that a role names."""
    return pair.g_ori if role == "g_ori" else pair.g_fin


def target_of(crop: NDArray[np.uint8], resolution: int) -> Tensor:
    """Return what is searched for: a crop, reduced by the mean of each block. # [k R, k R, 3] -> [3, R, R] in [-1, 1].

    Raises:
        WrongSize: The crop was cut for another generator.
    """
    height, width, _ = crop.shape
    if height != width or height % resolution:
        raise WrongSize(
            f"The face was cut to {width} x {height} pixels, for another style: this one needs a square of a whole "
            f"multiple of {resolution}. Send the photo again."
        )
    return F.avg_pool2d(to_planes(crop)[None], height // resolution)[0]


def inversion_requests(
    pair: Pair, options: ConversionOptions, target: Tensor, *, seed: int = 0
) -> dict[Role, InversionRequest]:
    """Return what must be searched for one face, by the generator that is searched.

    A generator without an encoder is searched from the mean face, also where the settings insist on a guess.

    Args:
        pair: The style.
        options: Method and settings.
        target: See `target_of`. # [3, R, R].
        seed: Of everything that is drawn at random.
    """
    return {role: _request(searched(pair, role), options.settings, target, seed) for role in options.roles}


def _request(loaded: LoadedGenerator, settings: InversionSettings, target: Tensor, seed: int) -> InversionRequest:
    if loaded.encoder is None:
        settings = settings.model_copy(update={"start": "mean"})
    return InversionRequest(target, settings, region=head_region(loaded, settings), seed=seed)


def conclude(
    pair: Pair,
    options: ConversionOptions,
    results: Mapping[Role, InversionResult],
    target: Tensor,
    upscaler: Upscaler | None,
    *,
    seed: int = 0,
) -> Conversion:
    """Choose among what was found, and draw it.

    Args:
        pair: The style.
        options: Method and look.
        results: One for each role of the method.
        target: See `target_of`. # [3, R, R].
        upscaler: See `draw_portraits`.
        seed: Seed of the search, for the record.
    """
    main = results[options.roles[0]]
    steps = sum(result.steps for result in results.values())
    w_plus, noise, share = _choose(pair, results, target)
    method = Method.CROSS if share == 0 else options.method
    card = LatentCard(
        generator_sha256=pair.g_ori.digest,
        method=method.value,
        style=pair.style,
        seed=seed,
        distance=main.distance_end,
        steps=steps,
    )
    latent = StoredLatent(card, w_plus, noise)
    report = {
        "style": pair.style,
        "method": options.method.value,
        "direct_share": round(share, 3),
        "start": main.start,
        "distance_start": main.distance_start,
        "distance_end": main.distance_end,
        "steps": steps,
        "stop_reason": main.stop_reason.value,
        "seconds": {"invert": sum(result.seconds for result in results.values())},
        "models": dict(pair.model_ids),
    }
    return Conversion(redraw(pair, latent, options.look, upscaler), latent, report)


def _choose(
    pair: Pair, results: Mapping[Role, InversionResult], target: Tensor
) -> tuple[Tensor, tuple[Tensor, ...] | None, float]:
    """Return latent, noise maps and the direct latent's share in it: of what both searches found the best scored."""
    if len(results) == 1:
        ((role, result),) = results.items()
        return result.w_plus, result.noise, float(role == "g_fin")
    candidates = in_betweens(results["g_ori"].w_plus, results["g_fin"].w_plus, IN_BETWEENS)
    latents = torch.stack([candidate.w_plus for candidate in candidates])
    g_fin = pair.g_fin.generator
    device = next(g_fin.parameters()).device
    drawings = g_fin.draw_image(latents.to(device)).clamp(-1, 1)
    scores = likeness_scores(target, drawings, latents, pair.g_ori.statistics, device=str(device))
    chosen = candidates[int(scores.argmax())]
    return chosen.w_plus, None, chosen.share


def redraw(
    pair: Pair, latent: StoredLatent, look: Look, upscaler: Upscaler | None, *, person: Tensor | None = None
) -> Portrait:
    """Draw a stored latent.

    Only a latent that was found in ``g_ori`` alone says which colours the person has; others were chosen by what the
    style draws, colours included.

    Args:
        pair: The style, of the generator that the latent belongs to.
        latent: What was found.
        look: How to draw it.
        upscaler: See `draw_portraits`.
        person: What ``g_ori`` draws of it, where that is known already. # [3, R, R].

    Raises:
        ParentMismatch: The latent belongs to another generator.
    """
    latent.check_generator(pair.g_ori)
    if latent.card.method != Method.CROSS:
        look = replace(look, colours=0.0)
    noise = None if latent.noise is None else [m[None] for m in latent.noise]
    persons = None if person is None else person[None]
    return draw_portraits(pair, latent.w_plus[None], look, upscaler, noise, persons=persons)[0]


def restyle(pair: Pair, conversion: Conversion, look: Look, upscaler: Upscaler | None) -> Conversion:
    """Draw what a conversion has found in another style of the same generator; nothing is searched again.

    Raises:
        ParentMismatch: The style belongs to another generator.
    """
    portrait = redraw(pair, conversion.latent, look, upscaler, person=conversion.portrait.person)
    report = conversion.report | {"style": pair.style, "models": dict(pair.model_ids)}
    return replace(conversion, portrait=portrait, report=report)


def with_seed(latent: StoredLatent, seed: int, pair: Pair) -> StoredLatent:
    """Give a latent the fine details (strands of hair, freckles) of another seed: StyleGAN's noise maps."""
    if seed == latent.card.seed:
        return latent
    shapes = pair.g_ori.generator.synthesis.noise_shapes
    noise = draw_noise_maps(shapes, torch.Generator().manual_seed(seed))
    return replace(latent, noise=tuple(noise))


def inversion_engine(loaded: LoadedGenerator, width: int, *, step_graphs: bool = True) -> SlotEngine:
    """Return an engine that searches in a generator, on its device.

    Args:
        loaded: Where to search.
        width: Number of slots.
        step_graphs: Replay admissions and steps as CUDA graphs, where the device is an NVIDIA GPU.
    """
    objective = search_objective(loaded)
    recorder = recorder_for(objective.prior.mean.device) if step_graphs else None
    return SlotEngine(loaded.generator, objective, width, recorder=recorder)


def search_objective(loaded: LoadedGenerator) -> Objective:
    """Return what searches in a generator minimise, on its device."""
    device = str(next(loaded.generator.parameters()).device)
    side = max(loaded.card.architecture.resolution, LEAST_SIDE)
    encoder = loaded.encoder.network if loaded.encoder is not None else None
    features = shared_features(STRIDES, device)
    return Objective(loaded.statistics, features, perceptual_size=side, encoder=encoder).to(device)


def head_region(loaded: LoadedGenerator, settings: InversionSettings) -> Tensor | None:
    """Return the weight of every pixel that a search's settings ask for; None weighs all the same. # [1, R, R]."""
    if settings.background == 1:
        return None
    card = loaded.card
    return face_region(card.alignment, card.architecture.resolution, background=settings.background)
