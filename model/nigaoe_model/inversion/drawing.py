"""The heavy half of a step: draw a batch of iterates, measure them, and find where each has to go.

What the host has to say is gathered first; what follows reads and writes the device's memory alone, asks nothing back
and looks at no number, so that it can be recorded once and replayed (see `nigaoe_model.inversion.step_graphs`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Self

import torch
from torch import Tensor

from nigaoe_model.inversion.objective import Iterate, Objective, Target, weight_columns
from nigaoe_model.inversion.slot import Slot
from nigaoe_model.inversion.slot_table import SlotTable
from nigaoe_model.stylegan2.inference.linear_maps import sample_sum
from nigaoe_model.stylegan2.inference.synthesis import FrozenSynthesis


@dataclass(frozen=True, slots=True)
class StepInput:
    """All that the heavy half of a step reads, on its device, without gradients.

    Attributes:
        w_plus: Latents to be drawn, noise on w included. # [n, num_ws, w_dim].
        noise: Maps to be drawn with, each # [n, 1, R_i, R_i]; None where no slot optimises them.
        target: The same number of samples.
        weights: Of every term that steers any sample, each # [n].
    """

    w_plus: Tensor
    noise: Sequence[Tensor] | None
    target: Target
    weights: Mapping[str, Tensor]

    @property
    def rows(self) -> int:
        """Number of samples."""
        return self.w_plus.shape[0]

    @property
    def columns(self) -> list[Tensor]:
        """All tensors in a fixed order; the first axis of each is the sample."""
        return [self.w_plus, *(self.noise or []), *self.target.columns, *self.weights.values()]

    def map(self, change: Callable[[Tensor], Tensor]) -> "StepInput":
        """Return the same structure with every tensor changed."""
        noise = None if self.noise is None else [change(maps) for maps in self.noise]
        weights = {name: change(column) for name, column in self.weights.items()}
        return StepInput(change(self.w_plus), noise, self.target.map(change), weights)


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a step saw.

    Attributes:
        iterate: Latents as drawn (noise on w included) and their pictures, detached.
        verdicts: Reported distance, loss, and sum of the gradient's squares. # [n, 3].
        gradients: Of w_plus # [n, num_ws, w_dim] and, where any slot optimises noise, of every map.
    """

    iterate: Iterate
    verdicts: Tensor
    gradients: Sequence[Tensor]

    @property
    def columns(self) -> list[Tensor]:
        """All tensors in a fixed order; the first axis of each is the sample."""
        return [*self.iterate.columns, self.verdicts, *self.gradients]

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Put the parts of one batch together again."""
        if len(parts) == 1:
            return parts[0]
        columns = [torch.cat(column) for column in zip(*(part.iterate.columns for part in parts), strict=True)]
        w_plus, image, *noise = columns
        gradients = [torch.cat(column) for column in zip(*(part.gradients for part in parts), strict=True)]
        return cls(Iterate(w_plus, image, noise or None), torch.cat([part.verdicts for part in parts]), gradients)


def gathered(objective: Objective, table: SlotTable, slots: Sequence[Slot], rows: slice) -> StepInput:
    """Put together what some rows of the table are drawn from; whatever the host adds is sent to the device here.

    Args:
        objective: On the table's device.
        table: Where the rows lie.
        slots: The slots of those rows.
        rows: Which rows.
    """
    latents = table.latent.parameters[rows]
    w_noise = _w_noise(slots, objective)
    w_plus = latents.clone() if w_noise is None else latents + w_noise
    noise = None if table.noise is None else [adam.parameters[rows].clone() for adam in table.noise]
    weights = weight_columns(tuple(slot.weights for slot in slots), w_plus.device)
    return StepInput(w_plus, noise, table.targets(rows), weights)


@torch.enable_grad()
def draw(synthesis: FrozenSynthesis, objective: Objective, given: StepInput) -> Drawn:
    """Draw, measure and differentiate a batch, also for a caller who turned gradients off.

    Args:
        synthesis: Draws the pictures.
        objective: On the same device.
        given: Read, and not changed.
    """
    # Leaves of this call's own: a leaf remembers the stream on which it first was used, and a recording has another.
    w_plus = given.w_plus.detach().requires_grad_()
    noise = None if given.noise is None else [maps.detach().requires_grad_() for maps in given.noise]
    iterate = Iterate(w_plus, synthesis(w_plus, noise), noise)
    measured = objective.measure(iterate, given.target, given.weights)
    # Samples share nothing, so the gradient of the sum holds each sample's own gradient.
    gradients = torch.autograd.grad(measured.loss.sum(), [w_plus, *(noise or [])])
    slope = reduce(add, (sample_sum(gradient.square()) for gradient in gradients))
    verdicts = torch.stack([measured.distance, measured.loss.detach(), slope], dim=1)
    return Drawn(iterate.map(Tensor.detach), verdicts, gradients)


def _w_noise(slots: Sequence[Slot], objective: Objective) -> Tensor | None:
    """Return each slot's own noise on w, the same for all layers; None where all are silent. # [n, 1, w_dim]."""
    prior = objective.prior
    w_dim = prior.mean.shape[1]
    noises = [slot.w_noise(w_dim) for slot in slots]
    if all(noise is None for noise in noises):
        return None
    silence = torch.zeros(1, w_dim)
    return torch.stack([silence if noise is None else noise * prior.spread for noise in noises]).to(prior.mean.device)
