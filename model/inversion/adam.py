"""Adam for a stack of independent problems: each row has its own clock, learning rate and memory.

Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015, algorithm 1, row by row.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

EPSILON = 1e-8


@dataclass(frozen=True, slots=True)
class Pace:
    """How one row takes one step.

    Attributes:
        count: Steps taken before.
        rate: Learning rate.
        beta1: Decay of the first moment, 0..1.
        beta2: Decay of the second.
    """

    count: int
    rate: float
    beta1: float = 0.9
    beta2: float = 0.999


class BatchedAdam:
    """First and second moments of a stack of parameters.

    Args:
        parameters: Stack whose rows are optimised, changed in place. # [width, ...].
        epsilon: Added to the root of the second moment.
    """

    def __init__(self, parameters: Tensor, *, epsilon: float = EPSILON) -> None:
        self.parameters = parameters
        self.first_moment = torch.zeros_like(parameters)
        self.second_moment = torch.zeros_like(parameters)
        self.epsilon = epsilon

    @property
    def columns(self) -> list[Tensor]:
        """Everything that belongs to a row, the parameters included."""
        return [self.parameters, self.first_moment, self.second_moment]

    def restart(self, row: int, start: Tensor) -> None:
        """Put one row to ``start`` and forget its moments."""
        self.parameters[row] = start
        self.first_moment[row] = 0
        self.second_moment[row] = 0

    def step(self, gradient: Tensor, paces: Sequence[Pace]) -> None:
        """Move the first ``n`` rows.

        Args:
            gradient: # [n, ...].
            paces: One a row.
        """
        rows = len(paces)
        first, second = self.first_moment[:rows], self.second_moment[:rows]
        first.lerp_(gradient, self._per_row(1 - p.beta1 for p in paces))
        second.lerp_(gradient.square(), self._per_row(1 - p.beta2 for p in paces))
        # Both bias corrections are powers of a row's own clock, computed in double precision.
        stride = self._per_row(p.rate / (1 - p.beta1 ** (p.count + 1)) for p in paces)
        shrink = self._per_row((1 - p.beta2 ** (p.count + 1)) ** -0.5 for p in paces)
        self.parameters[:rows] -= stride * first / (second.sqrt() * shrink + self.epsilon)

    def _per_row(self, values: Iterable[float]) -> Tensor:
        column = torch.tensor(list(values), dtype=self.parameters.dtype, device=self.parameters.device)
        return column.reshape(-1, *([1] * (self.parameters.ndim - 1)))
