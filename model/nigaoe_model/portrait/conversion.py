"""One conversion: which generators are inverted for a method, and what becomes of the latents that are found.

The thesis's terms: *cross* finds the photo's latent in ``g_ori`` and lets ``g_fin`` draw it; *direct* finds the most
similar face in ``g_fin`` itself; *best* does both, adds in-betweens, and keeps the highest score.
The pipeline of the command line and the engine of the worker share this file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import torch
from torch import Tensor

from nigaoe_core.jobs import Method
from nigaoe_model.features import LEAST_SIDE, STRIDES, shared_features
from nigaoe_model.inversion.engine import SlotEngine
from nigaoe_model.inversion.objective import Objective
from nigaoe_model.inversion.region import face_region
from nigaoe_model.inversion.request import InversionResult
from nigaoe_model.inversion.score import in_betweens, likeness_scores
from nigaoe_model.inversion.settings import InversionSettings
from nigaoe_model.inversion.step_graphs import recorder_for
from nigaoe_model.portrait.pair import LoadedGenerator, Pair
from nigaoe_model.portrait.portrait import Look, Portrait, draw_portraits
from nigaoe_model.portrait.stored_latent import LatentCard, StoredLatent
from nigaoe_model.portrait.upscale import Upscaler

Role = Literal["g_ori", "g_fin"]

ROLES: Final[Mapping[Method, tuple[Role, ...]]] = {
    Method.CROSS: ("g_ori",),
    Method.DIRECT: ("g_fin",),
    Method.BEST: ("g_ori", "g_fin"),
}
"""The generators in which a method searches."""

IN_BETWEENS: Final = (1 / 3, 2 / 3)
"""Shares of the direct latent in the candidates between both."""


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
    eye = shared_features(STRIDES, device)
    return Objective(loaded.statistics, eye, perceptual_size=side, encoder=encoder).to(device)


def head_region(loaded: LoadedGenerator, settings: InversionSettings) -> Tensor | None:
    """Return the weight of every pixel that a search's settings ask for; None weighs all the same. # [1, R, R]."""
    if settings.background == 1:
        return None
    card = loaded.card
    return face_region(card.alignment, card.architecture.resolution, background=settings.background)


def conclude(
    pair: Pair,
    method: Method,
    results: Mapping[Role, InversionResult],
    target: Tensor,
    look: Look,
    upscaler: Upscaler | None,
    *,
    seed: int = 0,
) -> Conversion:
    """Choose among what was found, and draw it.

    Args:
        pair: The style.
        method: Decides which results there are.
        results: One for each role of the method.
        target: The aligned photo in [-1, 1]. # [3, R, R].
        look: Degree, truncation and colours.
        upscaler: See `draw_portraits`.
        seed: Seed of the search, for the record.
    """
    w_plus, noise, share = _choose(pair, method, results, target)
    main = results[ROLES[method][0]]
    card = LatentCard(
        generator_sha256=pair.g_ori.digest,
        method=(Method.CROSS if share == 0 else method).value,
        style=pair.style,
        seed=seed,
        distance=main.distance_end,
        steps=sum(result.steps for result in results.values()),
    )
    latent = StoredLatent(card, w_plus, noise)
    return Conversion(redraw(pair, latent, look, upscaler), latent, _report(pair, method, results, share))


def redraw(pair: Pair, latent: StoredLatent, look: Look, upscaler: Upscaler | None) -> Portrait:
    """Draw a stored latent, perhaps anew and in another style.

    The person stays as found however much of the drawing is truncated. Only a latent that was found in ``g_ori`` alone
    says which colours the person has; others were chosen by what the style draws, colours included.

    Raises:
        ParentMismatch: The latent belongs to another generator.
    """
    latent.check_generator(pair.g_ori)
    if latent.card.method != Method.CROSS:
        look = replace(look, colours=0.0)
    w_plus, noise = latent.w_plus[None], _batched(latent.noise)
    portrait = draw_portraits(pair, w_plus, look, upscaler, noise)[0]
    if look.truncation_psi == 1:
        return portrait
    as_found = draw_portraits(pair, w_plus, Look(degree=0.0), None, noise)[0]
    return replace(portrait, person=as_found.person)


def restyle(pair: Pair, conversion: Conversion, look: Look, upscaler: Upscaler | None) -> Conversion:
    """Draw what a conversion has found in another style of the same generator; nothing is searched again.

    Raises:
        ParentMismatch: The style belongs to another generator.
    """
    news = {"style": pair.style, "models": dict(pair.model_ids)}
    return replace(
        conversion,
        portrait=redraw(pair, conversion.latent, look, upscaler),
        report=conversion.report | news,
    )


def _choose(
    pair: Pair, method: Method, results: Mapping[Role, InversionResult], target: Tensor
) -> tuple[Tensor, tuple[Tensor, ...] | None, float]:
    if method is not Method.BEST:
        result = results[ROLES[method][0]]
        return result.w_plus, result.noise, float(method is Method.DIRECT)
    candidates = in_betweens(results["g_ori"].w_plus, results["g_fin"].w_plus, IN_BETWEENS)
    latents = torch.stack([candidate.w_plus for candidate in candidates])
    drawings = torch.stack([p.drawing for p in draw_portraits(pair, latents, Look(), None)])
    device = str(next(pair.g_ori.generator.parameters()).device)
    scores = likeness_scores(target, drawings, latents, pair.g_ori.statistics, device=device)
    chosen = candidates[int(scores.argmax())]
    return chosen.w_plus, None, chosen.share


def _report(pair: Pair, method: Method, results: Mapping[Role, InversionResult], share: float) -> dict[str, Any]:
    main = results[ROLES[method][0]]
    return {
        "style": pair.style,
        "method": method.value,
        "direct_share": round(share, 3),
        "start": main.start,
        "distance_start": main.distance_start,
        "distance_end": main.distance_end,
        "steps": sum(result.steps for result in results.values()),
        "stop_reason": main.stop_reason.value,
        "seconds": {"invert": sum(result.seconds for result in results.values())},
        "models": dict(pair.model_ids),
    }


def _batched(noise: Sequence[Tensor] | None) -> list[Tensor] | None:
    return None if noise is None else [m[None] for m in noise]
