"""Drawings in the colours of the person: move the finer styles of a latent until the drawing has them.

Reverse generation finds a latent by how ``g_ori`` draws it, and ``g_fin`` answers with colours of its own. What the
drawing's colours should be, its palette says (`nigaoe_model.portrait.palette`); a few steps of Adam through ``g_fin``
alone move the styles of the blocks from 16 pixels on to where the drawing has them, on a grid of 8 x 8 cells. Shape
lies in the coarse styles, which stay; and as colours off the head are not asked for, a background leaks less than
before.
"""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from nigaoe_model.inversion.adam import BatchedAdam, Pace
from nigaoe_model.portrait.palette import SIDE, Palette, colour_grid, person_weights
from nigaoe_model.stylegan2.architecture import Architecture
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.stylegan2.inference.linear_maps import rows_times, sample_sum
from nigaoe_model.stylegan2.inference.synthesis import FrozenSynthesis
from nigaoe_model.weak_cache import WeakCache

FIRST_RESOLUTION: Final = 16
"""Blocks from here on may move: coarser ones say where things are."""

STEPS: Final = 12

RATE: Final = 0.16
"""Adam's first rate in standard deviations along each axis of w; it falls to nothing along a line."""

DECAYS: Final = (0.8, 0.95)

_prepared: WeakCache[FrozenSynthesis] = WeakCache(4)


@torch.enable_grad()
def transfer_colours(
    generator: Generator,
    ws: Tensor,
    colours: Tensor,
    palette: Palette,
    *,
    styles: range,
    axes: Tensor,
    noise: Sequence[Tensor] | None = None,
) -> Tensor:
    """Return latents whose drawings have the colours that are asked for, also for a caller who turned gradients off.

    Args:
        generator: Draws.
        ws: # [N, num_ws, w_dim].
        colours: What the drawings should have. # [N, 3, SIDE, SIDE].
        palette: Whose spread of drawings says how much a difference matters.
        styles: Which styles may move.
        axes: Of w, see `principal_axes`: along them pictures change as they do between people, and not in speckles.
        noise: Noise maps, each # [N or 1, 1, R_i, R_i]; None: the generator's own.

    Returns:
        # [N, num_ws, w_dim].
    """
    synthesis = _prepared.get((generator,), lambda: FrozenSynthesis(generator.synthesis))
    fixed = _last_before(generator.architecture, styles.start)
    with torch.no_grad():
        begun = synthesis.up_to(fixed, ws, noise)
    offsets = BatchedAdam.at(torch.zeros_like(ws[:, styles.start : styles.stop]))
    back = axes.t().contiguous()
    weights = person_weights(generator.architecture.resolution, SIDE).to(ws) / palette.drawing_spread.square()
    for step in range(STEPS):
        moved = _moved(ws, styles, offsets.parameters, axes).requires_grad_()
        missed = (colour_grid(synthesis(moved, noise, start=begun), SIDE) - colours).square() * weights
        # Samples share nothing, so the gradient of the sum is each sample's own gradient.
        (gradient,) = torch.autograd.grad(sample_sum(missed).sum(), [moved])
        pace = Pace(step, RATE * (1 - step / STEPS), *DECAYS)
        offsets.step(rows_times(gradient[:, styles.start : styles.stop], back), [pace] * len(ws))
    return _moved(ws, styles, offsets.parameters, axes).detach()


def free_styles(architecture: Architecture, trunk_resolution: int | None) -> range:
    """Return the styles that may move: of blocks from `FIRST_RESOLUTION` on that both generators do not share."""
    shared = trunk_resolution or 0
    free = [r for r in architecture.resolutions if r >= FIRST_RESOLUTION and r > shared]
    # A block's first style is also the ToRGB's of the block before.
    start = architecture.layer_range(free[0]).start + 1 if free else architecture.num_ws
    return range(start, architecture.num_ws)


def _last_before(architecture: Architecture, style: int) -> int:
    """Return the finest resolution whose block does not read ``style`` or later ones."""
    return max(r for r in architecture.resolutions if architecture.layer_range(r).stop <= style)


def _moved(ws: Tensor, styles: range, offsets: Tensor, axes: Tensor) -> Tensor:
    moving = ws[:, styles.start : styles.stop] + rows_times(offsets, axes)
    return torch.cat([ws[:, : styles.start], moving, ws[:, styles.stop :]], dim=1)
