"""Adam for a stack of independent problems: each row has its own clock and its own learning rate.

Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015, algorithm 1, row by row.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

BETAS = (0.9, 0.999)
EPSILON = 1e-8


class BatchedAdam:
    """First and second moments of a stack of parameters.

    Args:
        parameters: Stack whose rows are optimised, changed in place. # [width, ...].
        betas: Decay of the moments.
        epsilon: Added to the root of the second moment.
    """

    def __init__(self, parameters: Tensor, *, betas: tuple[float, float] = BETAS, epsilon: float = EPSILON) -> None:
        self.parameters = parameters
        self.first_moment = torch.zeros_like(parameters)
        self.second_moment = torch.zeros_like(parameters)
        self.betas = betas
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

    def step(self, gradient: Tensor, counts: Sequence[int], rates: Sequence[float]) -> None:
        """Move the first ``n`` rows.

        Args:
            gradient: # [n, ...].
            counts: How many times each row moved before.
            rates: Learning rate of each row.
        """
        rows = gradient.shape[0]
        beta1, beta2 = self.betas
        first, second = self.first_moment[:rows], self.second_moment[:rows]
        first.mul_(beta1).add_(gradient, alpha=1 - beta1)
        second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        # Both bias corrections are powers of a row's own clock, computed in double precision.
        stride = self._per_row([rate / (1 - beta1 ** (t + 1)) for t, rate in zip(counts, rates, strict=True)])
        shrink = self._per_row([(1 - beta2 ** (t + 1)) ** -0.5 for t in counts])
        self.parameters[:rows] -= stride * first / (second.sqrt() * shrink + self.epsilon)

    def _per_row(self, values: Sequence[float]) -> Tensor:
        column = torch.tensor(values, dtype=self.parameters.dtype, device=self.parameters.device)
        return column.reshape(-1, *([1] * (self.parameters.ndim - 1)))
