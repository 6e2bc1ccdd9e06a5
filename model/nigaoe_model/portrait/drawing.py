"""From a latent to finished pictures: truncate, transfer the person's colours, blend, draw, enlarge.

This half of a conversion costs a fraction of a second, so changing the style, the degree or the truncation of a face
that was found once needs no new inversion.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from nigaoe_core.errors import UsageError
from nigaoe_core.jobs import DEFAULT_COLOURS, DEFAULT_TRUNCATION
from nigaoe_core.manifest import UpscalerName
from nigaoe_model.portrait.blend import Degree, blend, degrees_by_resolution
from nigaoe_model.portrait.colour_transfer import free_styles, transfer_colours
from nigaoe_model.portrait.pair import Pair
from nigaoe_model.portrait.palette import SIDE, colour_grid
from nigaoe_model.portrait.upscale import Upscaler
from nigaoe_model.stylegan2.generator import Canvas, Generator, Noise
from nigaoe_model.stylegan2.latent_statistics import principal_axes

MIN_PICTURE = 256
"""Pictures below this resolution are enlarged; a 256 px generator is sharp enough by itself."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a latent shall be drawn.

    Attributes:
        degree: 0 draws the person, 1 the style; one number or one a resolution, see `nigaoe_model.portrait.blend`.
        truncation_psi: 1 keeps the latent, 0 is the mean face; 0..1.
        colours: How much of the person's colours the drawing takes over, where the style has a palette: 0 leaves them
            to the style; 0..1.
    """

    degree: Degree = 1.0
    truncation_psi: float = 1.0
    colours: float = 0.0

    def __post_init__(self) -> None:
        """Check the range.

        Raises:
            UsageError: ``truncation_psi`` or ``colours`` is outside 0..1.
        """
        if not 0 <= self.truncation_psi <= 1:
            raise UsageError("truncation lies between 0 (the mean face) and 1 (the face as it was found).")
        if not 0 <= self.colours <= 1:
            raise UsageError("colours lies between 0 (the style's) and 1 (the person's).")


AS_FOUND: Final = Look()
"""What the latent means, without anything that makes it look better."""

DEFAULT_LOOK: Final = Look(truncation_psi=DEFAULT_TRUNCATION, colours=DEFAULT_COLOURS)
"""What people get who ask for nothing else."""


@dataclass(frozen=True, slots=True, eq=False)
class Portrait:
    """What one latent looks like; RGB in [-1, 1] on the CPU.

    Attributes:
        person: What ``g_ori`` draws of the latent as it was found, however much of the drawing is truncated.
            # [3, R, R].
        drawing: What the style draws. # [3, R, R].
        picture: The drawing at its final size. # [3, S, S]; S is 4 R below 256 pixels, else R.
    """

    person: Tensor
    drawing: Tensor
    picture: Tensor


@torch.no_grad()
def draw_portraits(
    pair: Pair,
    w_plus: Tensor,
    look: Look,
    upscaler: Upscaler | None,
    noise: Sequence[Tensor] | None = None,
    *,
    persons: Tensor | None = None,
) -> list[Portrait]:
    """Draw latents in one look: each person once by ``g_ori``, each drawing once by the style.

    Args:
        pair: The style.
        w_plus: # [N, num_ws, w_dim].
        look: Degree, truncation and colours.
        upscaler: Enlarges small pictures, in the style's own way; None leaves them as the generator draws them.
        noise: Noise maps, each # [N or 1, 1, R_i, R_i]; None: the generator's own.
        persons: What ``g_ori`` draws of ``w_plus`` in [-1, 1], where that is known already. # [N, 3, R, R].

    Returns:
        One portrait a latent.
    """
    g_ori = pair.g_ori.generator
    found = w_plus.to(next(g_ori.parameters()).device)
    maps: Noise = "fixed" if noise is None else [m.to(found.device) for m in noise]
    canvases: list[Canvas] = []
    if persons is None:
        canvases = g_ori.synthesis.draw(found, noise=maps)
        persons = canvases[-1].image.clamp(-1, 1)
    persons = persons.to(found.device)
    generator = blend(pair, look.degree)
    ws = g_ori.mapping.truncate(found, look.truncation_psi)
    if ws is not found:
        canvases = []  # They show other latents than those that are drawn now.
    if look.colours:
        ws = coloured_latents(pair, generator, ws, persons, look, maps)
    drawings = draw_from_trunk(pair, generator, ws, maps, canvases).clamp(-1, 1)
    pictures = enlarge(drawings, upscaler, pair.upscaler)
    return [
        Portrait(person.cpu(), drawing.cpu(), picture.cpu())
        for person, drawing, picture in zip(persons, drawings, pictures, strict=True)
    ]


@torch.no_grad()
def draw_sketch(pair: Pair, w_plus: Tensor, look: Look) -> Tensor:
    """Draw one latent in the style's own colours and size, in one pass: for previews of a running search.

    Args:
        pair: The style.
        w_plus: # [num_ws, w_dim].
        look: Degree and truncation; its colours are left out.

    Returns:
        RGB in [-1, 1] on the CPU. # [3, R, R].
    """
    ws = pair.g_ori.generator.mapping.truncate(w_plus[None], look.truncation_psi)
    return blend(pair, look.degree).draw_image(ws)[0].clamp(-1, 1).cpu()


@torch.no_grad()
def draw_from_trunk(
    pair: Pair, generator: Generator, ws: Tensor, noise: Noise = "fixed", canvases: Sequence[Canvas] = ()
) -> Tensor:
    """Draw latents in a style; the trunk that it shares with ``g_ori`` is not drawn again.

    Args:
        pair: The style.
        generator: The pair's ``g_fin``, or a blend.
        ws: # [N, num_ws, w_dim].
        noise: Noise mode or maps.
        canvases: What ``g_ori`` drew of latents that have the same styles in the shared trunk; empty: all is drawn.

    Returns:
        Raw range, about [-1, 1]. # [N, 3, R, R].
    """
    trunk = next((canvas for canvas in canvases if canvas.resolution == pair.trunk_resolution), None)
    if trunk is not None and trunk.resolution == generator.architecture.resolution:
        return trunk.image
    return generator.synthesis.draw(ws, noise=noise, start=trunk)[-1].image


def coloured_latents(
    pair: Pair, generator: Generator, ws: Tensor, persons: Tensor, look: Look, noise: Noise = "fixed"
) -> Tensor:
    """Move what a style draws towards the colours of the persons as they were found.

    Between person and style the colours that are asked for lie between the person's own and the palette's answer.

    Args:
        pair: The style.
        generator: Draws it, blended to the degree of ``look``.
        ws: What shall be drawn. # [N, num_ws, w_dim].
        persons: Who was found, in [-1, 1]. # [N, 3, R, R].
        look: Degree, and how far to move.
        noise: Noise mode or maps.

    Returns:
        # [N, num_ws, w_dim]; ``ws`` itself where the style has no palette or nothing of it is drawn.
    """
    palette, styles = pair.g_fin.palette, free_styles(pair.g_fin.card.architecture, pair.trunk_resolution)
    degrees = degrees_by_resolution(look.degree, pair.g_fin.card.architecture.resolutions)
    degree = sum(degrees.values()) / len(degrees)
    if palette is None or degree == 0 or not styles:
        return ws
    own = colour_grid(persons, SIDE)
    moved = transfer_colours(
        generator,
        ws,
        torch.lerp(own, palette.answer(own), degree),
        palette,
        styles=styles,
        axes=principal_axes(pair.g_ori.statistics).to(ws),
        noise=None if isinstance(noise, str) else noise,
    )
    return torch.lerp(ws, moved, look.colours)


def enlarge(drawings: Tensor, upscaler: Upscaler | None, name: UpscalerName) -> Tensor:
    """Enlarge pictures of less than 256 pixels by the factor 4. # [N, 3, R, R] -> [N, 3, S, S].

    Args:
        drawings: RGB in [-1, 1].
        upscaler: None leaves them as they are.
        name: In which way.

    Raises:
        BrokenCheckpoint: The weights of that way are missing or damaged.
    """
    if upscaler is None or drawings.shape[-1] >= MIN_PICTURE:
        return drawings
    return upscaler(drawings, name)
