"""Where the colours of a style lie, place by place, beside those of the persons behind its drawings.

A style has a palette of its own: lighter skin, hair of any colour. Which of its colours stands for a person's is a
question of order: who is darker than most people at a place should be darker than most drawings there, by as many
standard deviations. So a palette has mean and spread of both, on the cells of a coarse grid over the aligned face; to
match first and second moments is how colours are transferred between pictures (Reinhard et al., "Color Transfer between
Images", 2001), here between two populations of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from nigaoe_core.errors import CheckpointMismatch
from nigaoe_core.jobs import DEFAULT_TRUNCATION
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.stylegan2.inference.synthesis import FrozenSynthesis
from nigaoe_model.stylegan2.latent_statistics import sample_w

SIDE: Final = 8
"""Cells a side of the grid."""

REACH: Final = 2.0
"""Standard deviations beyond which nobody is darker or redder: a style has drawn nothing out there."""

TEMPER: Final = 0.8
"""How many deviations of a style's answer one of a person's. With all of them people are found again as often, and
drawings are further from the style's data: photos differ more than what ``g_ori`` draws of z."""

_BATCH: Final = 8


def opponent_colours(image: Tensor) -> Tensor:
    """Turn red, green and blue into lightness, red against green, and yellow against blue. # [N, 3, ...] both."""
    red, green, blue = image.unbind(dim=1)
    return torch.stack([image.mean(dim=1), red - green, (red + green) / 2 - blue], dim=1)


def colour_grid(image: Tensor, side: int) -> Tensor:
    """Return the mean opponent colours of each cell. # [N, 3, R, R] -> [N, 3, side, side]."""
    return opponent_colours(F.adaptive_avg_pool2d(image.float(), side))


def background_mask(side: int) -> Tensor:
    """Return where an aligned portrait shows background: the upper corners and the sides. # [R, R] bool."""
    line = (torch.arange(side) + 0.5) / side
    y, x = torch.meshgrid(line, line, indexing="ij")
    return ((x - 0.5).abs() > 0.4) & (y < 0.7) | ((x - 0.5).abs() > 0.3) & (y < 0.15)


def person_weights(resolution: int, side: int) -> Tensor:
    """Return how much of each cell is no background, as shares of the whole. # [1, side, side], sum 1."""
    middle = (~background_mask(resolution)).float()[None]
    weights = F.adaptive_avg_pool2d(middle, side)
    return weights / weights.sum()


@dataclass(frozen=True, slots=True, eq=False)
class Palette:
    """Moments of colours over w; each # [3, SIDE, SIDE] in opponent colours of pictures in [-1, 1].

    Attributes:
        person_mean: Of what ``g_ori`` draws.
        person_spread: Its standard deviation.
        drawing_mean: Of what ``g_fin`` draws at the truncation at which photos are drawn.
        drawing_spread: Standard deviation of what it draws without truncation, which narrows colours down, too.
    """

    person_mean: Tensor
    person_spread: Tensor
    drawing_mean: Tensor
    drawing_spread: Tensor

    def answer(self, persons: Tensor) -> Tensor:
        """Return the colours that drawings of some persons should have.

        Args:
            persons: Their colours. # [N, 3, SIDE, SIDE].

        Returns:
            # [N, 3, SIDE, SIDE].
        """
        scores = (persons - self.person_mean) / self.person_spread
        return self.drawing_mean + self.drawing_spread * (TEMPER * scores.clamp(-REACH, REACH))

    def to(self, device: torch.device) -> "Palette":
        """Return the same palette on a device."""
        return Palette(**{name: tensor.to(device) for name, tensor in self.tensors().items()})

    def tensors(self) -> dict[str, Tensor]:
        """Return what a checkpoint stores."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """Rebuild from a checkpoint.

        Raises:
            CheckpointMismatch: A tensor is missing or has another shape.
        """
        names = [field.name for field in fields(cls)]
        for name in names:
            if name not in tensors or tuple(tensors[name].shape) != (3, SIDE, SIDE):
                raise CheckpointMismatch(f"The checkpoint's palette lacks `{name}` of shape {[3, SIDE, SIDE]}.")
        return cls(**{name: tensors[name].float() for name in names})


@torch.no_grad()
def measure_palette(g_ori: Generator, g_fin: Generator, *, samples: int | None = None, seed: int = 0) -> Palette:
    """Draw the same latents as persons and in a style.

    Args:
        g_ori: Draws the persons.
        g_fin: Draws the style; on the same device.
        samples: Number of latents; None: see `enough_samples`.
        seed: Seed of z.
    """
    samples = samples or enough_samples(g_ori.architecture.resolution)
    ws = g_ori.mapping.broadcast(sample_w(g_ori.mapping, samples, seed=seed))
    persons, drawings = _colours(g_ori, ws), _colours(g_fin, ws)
    truncated = _colours(g_fin, g_ori.mapping.truncate(ws, DEFAULT_TRUNCATION))
    return Palette(persons.mean(dim=0), persons.std(dim=0), truncated.mean(dim=0), drawings.std(dim=0)).to(
        torch.device("cpu")
    )


def enough_samples(resolution: int) -> int:
    """Return how many latents to draw: 256 up to 64 px, fewer where a picture takes a CPU seconds, at least 32.

    A spread is known to 4 % by 256 samples, to 13 % by 32.
    """
    return min(256, max(32, 256 * 64 // resolution))


def _colours(generator: Generator, ws: Tensor) -> Tensor:
    """Draw latents and return their colours. # [N, num_ws, w_dim] -> [N, 3, SIDE, SIDE]."""
    synthesis = FrozenSynthesis(generator.synthesis)
    return torch.cat([colour_grid(synthesis(part).clamp(-1, 1), SIDE) for part in torch.split(ws, _BATCH)])
