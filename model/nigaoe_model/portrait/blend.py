"""Degrees between person and drawing: weights interpolated block by block.

Pinkney and Adler, "Resolution Dependent GAN Interpolation for Controllable Image Synthesis Between Domains", 2020:
a fine-tuned generator stays close enough to its parent that every mixture of their weights draws faces too.
"""

from collections.abc import Mapping

import torch

from nigaoe_core.errors import UsageError
from nigaoe_model.portrait.pair import Pair
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.weak_cache import WeakCache

Degree = float | Mapping[int, float]
CACHED_BLENDS = 8

_blends: WeakCache[Generator] = WeakCache(CACHED_BLENDS)


def degrees_by_resolution(degree: Degree, resolutions: tuple[int, ...]) -> dict[int, float]:
    """Spell a degree out for every resolution.

    Args:
        degree: One number for all blocks, or numbers for some resolutions; the others are 1 (fully the style).
        resolutions: All resolutions of the architecture.

    Raises:
        UsageError: A degree is outside 0..1, or names a resolution that does not exist.
    """
    chosen = {r: float(degree) for r in resolutions} if isinstance(degree, int | float) else dict(degree)
    if unknown := chosen.keys() - set(resolutions):
        raise UsageError(f"There is no block of resolution {min(unknown)}; choose among {list(resolutions)}.")
    if any(not 0 <= value <= 1 for value in chosen.values()):
        raise UsageError("A degree lies between 0 (the person) and 1 (fully the style).")
    return {r: chosen.get(r, 1.0) for r in resolutions}


def blend(pair: Pair, degree: Degree) -> Generator:
    """Return a generator between ``pair.g_ori`` (degree 0) and ``pair.g_fin`` (degree 1).

    The ends are the pair's own generators, bit for bit. A few recent blends are kept while both of their ends are
    there.

    Raises:
        UsageError: See `degrees_by_resolution`.
    """
    degrees = degrees_by_resolution(degree, pair.g_ori.card.architecture.resolutions)
    values = set(degrees.values())
    if values == {1.0}:
        return pair.g_fin.generator
    if values == {0.0}:
        return pair.g_ori.generator
    g_ori, g_fin = pair.g_ori.generator, pair.g_fin.generator
    detail = tuple(sorted(degrees.items()))
    return _blends.get((g_ori, g_fin), lambda: _blend(g_ori, g_fin, detail), detail)


def _blend(g_ori: Generator, g_fin: Generator, degrees: tuple[tuple[int, float], ...]) -> Generator:
    by_prefix = {f"synthesis.blocks.b{resolution}.": degree for resolution, degree in degrees}
    theirs = g_fin.state_dict()
    state = {
        name: torch.lerp(tensor, theirs[name], _degree_of(name, by_prefix))
        for name, tensor in g_ori.state_dict().items()
    }
    device = next(g_ori.parameters()).device
    generator = Generator(g_ori.architecture).to(device)
    generator.load_state_dict(state)
    return generator.eval().requires_grad_(requires_grad=False)


def _degree_of(name: str, by_prefix: Mapping[str, float]) -> float:
    return next((degree for prefix, degree in by_prefix.items() if name.startswith(prefix)), 0.0)
