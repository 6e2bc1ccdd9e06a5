"""The heavy half of a step: draw a batch of iterates, measure them, and find where each has to go."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Self

import torch
from torch import Tensor

from model.frozen.linear_maps import sample_sum
from model.frozen.synthesis import FrozenSynthesis
from model.inversion.objective import Iterate, Objective, weight_columns
from model.inversion.slot import Slot
from model.inversion.slot_table import SlotTable


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

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Put the parts of one batch together again."""
        if len(parts) == 1:
            return parts[0]
        columns = [torch.cat(column) for column in zip(*(part.iterate.columns for part in parts), strict=True)]
        w_plus, image, *noise = columns
        gradients = [torch.cat(column) for column in zip(*(part.gradients for part in parts), strict=True)]
        return cls(Iterate(w_plus, image, noise or None), torch.cat([part.verdicts for part in parts]), gradients)


@torch.enable_grad()
def draw(
    synthesis: FrozenSynthesis, objective: Objective, table: SlotTable, slots: Sequence[Slot], rows: slice
) -> Drawn:
    """Draw, measure and differentiate some rows of the table, also for a caller who turned gradients off.

    Args:
        synthesis: Draws the pictures.
        objective: On the same device.
        table: Where the rows lie.
        slots: The slots of those rows.
        rows: Which rows.
    """
    w_plus = (table.latent.parameters[rows] + _w_noise(slots, objective)).requires_grad_()
    noise = None if table.noise is None else [adam.parameters[rows].clone().requires_grad_() for adam in table.noise]
    image = synthesis(w_plus, noise)
    iterate = Iterate(w_plus, image, noise)
    weights = weight_columns(tuple(slot.weights for slot in slots), w_plus.device)
    measured = objective.measure(iterate, table.targets(rows), weights)
    # Samples share nothing, so the gradient of the sum holds each sample's own gradient.
    gradients = torch.autograd.grad(measured.loss.sum(), [w_plus, *(noise or [])])
    slope = reduce(add, (sample_sum(gradient.square()) for gradient in gradients))
    verdicts = torch.stack([measured.distance, measured.loss.detach(), slope], dim=1)
    return Drawn(iterate.map(Tensor.detach), verdicts, gradients)


def _w_noise(slots: Sequence[Slot], objective: Objective) -> Tensor:
    """Return each slot's own noise on w, the same for all layers. # [n, 1, w_dim]."""
    prior = objective.prior
    w_dim = prior.mean.shape[1]
    silence = torch.zeros(1, w_dim)
    noises = [slot.w_noise(w_dim) for slot in slots]
    return torch.stack([silence if noise is None else noise * prior.spread for noise in noises]).to(prior.mean.device)
