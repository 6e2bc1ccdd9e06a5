"""From a latent to finished pictures: truncate, blend, draw, enlarge.

This half of a conversion costs a fraction of a second, so changing the style, the degree or the truncation of a face
that was found once needs no new inversion.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.errors import UsageError
from model.blend import Degree, blend
from model.generator import Noise
from model.pair import Pair, draw_styles
from model.upscale import Upscaler

MIN_PICTURE = 256
"""Pictures below this resolution are enlarged; a 256 px generator is sharp enough by itself."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a latent shall be drawn.

    Attributes:
        degree: 0 draws the person, 1 the style; one number or one a resolution, see `model.blend`.
        truncation_psi: 1 keeps the latent, 0 is the mean face; 0..1.
    """

    degree: Degree = 1.0
    truncation_psi: float = 1.0

    def __post_init__(self) -> None:
        """Check the range.

        Raises:
            UsageError: ``truncation_psi`` is outside 0..1.
        """
        if not 0 <= self.truncation_psi <= 1:
            raise UsageError("truncation lies between 0 (the mean face) and 1 (the face as it was found).")


@dataclass(frozen=True, slots=True, eq=False)
class Portrait:
    """What one latent looks like; RGB in [-1, 1] on the CPU.

    Attributes:
        person: What ``g_ori`` draws. # [3, R, R].
        drawing: What the style draws. # [3, R, R].
        picture: The drawing at the size that people get. # [3, S, S] with S at least 256.
    """

    person: Tensor
    drawing: Tensor
    picture: Tensor


@torch.no_grad()
def draw_portraits(
    pair: Pair, w_plus: Tensor, look: Look, upscaler: Upscaler | None, noise: Sequence[Tensor] | None = None
) -> list[Portrait]:
    """Draw latents in one look.

    Args:
        pair: The style.
        w_plus: # [N, num_ws, w_dim].
        look: Degree and truncation.
        upscaler: Enlarges small pictures; None leaves them as the generator draws them.
        noise: Noise maps, each # [N or 1, 1, R_i, R_i]; None: the generator's own.

    Returns:
        One portrait a latent.
    """
    device = next(pair.g_ori.generator.parameters()).device
    ws = pair.g_ori.generator.mapping.truncate(w_plus.to(device), look.truncation_psi)
    maps: Noise = "fixed" if noise is None else [m.to(device) for m in noise]
    people, (drawings,) = draw_styles([pair], ws, noise=maps, g_fins=[blend(pair, look.degree)])
    people, drawings = people.clamp(-1, 1), drawings.clamp(-1, 1)
    pictures = enlarge(drawings, upscaler)
    return [
        Portrait(person.cpu(), drawing.cpu(), picture.cpu())
        for person, drawing, picture in zip(people, drawings, pictures, strict=True)
    ]


def enlarge(drawings: Tensor, upscaler: Upscaler | None) -> Tensor:
    """Enlarge pictures of less than 256 pixels by the factor 4. # [N, 3, R, R] -> [N, 3, S, S]."""
    if upscaler is None or drawings.shape[-1] >= MIN_PICTURE:
        return drawings
    enlarged: Tensor = upscaler(drawings)
    return enlarged
