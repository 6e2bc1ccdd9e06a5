"""Adam for a stack of independent problems: each row has its own clock, learning rate and memory.

Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015, algorithm 1, row by row.
"""

from collections.abc import Sequence
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


def pace_columns(paces: Sequence[Pace]) -> list[list[float]]:
    """Return what a step must know of every row, in double precision, as four columns of one number a row.

    1 - beta1, 1 - beta2, the learning rate over the first moment's bias, and the root of the second one's inverse.
    """
    return [
        [1 - p.beta1 for p in paces],
        [1 - p.beta2 for p in paces],
        # Both bias corrections are powers of a row's own clock.
        [p.rate / (1 - p.beta1 ** (p.count + 1)) for p in paces],
        [(1 - p.beta2 ** (p.count + 1)) ** -0.5 for p in paces],
    ]


def sent(columns: Sequence[Sequence[float]], like: Tensor) -> Tensor:
    """Return columns of numbers in the type and on the device of ``like``: one copy, for which CUDA's host never waits.

    Args:
        columns: As many numbers in each.
        like: Any tensor.

    Returns:
        # [columns, rows].
    """
    if like.device.type != "cuda":
        return torch.tensor(columns, dtype=like.dtype, device=like.device)
    return torch.tensor(columns, dtype=like.dtype, pin_memory=True).to(like.device, non_blocking=True)


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
        self.step_at(gradient, sent(pace_columns(paces), self.parameters))

    def step_at(self, gradient: Tensor, columns: Tensor) -> None:
        """Move the first ``n`` rows at paces that lie on the device already.

        Args:
            gradient: # [n, ...].
            columns: What :func:`pace_columns` says of each row, in the parameters' type. # [4, n].
        """
        rows = columns.shape[1]
        per_row = columns.reshape(4, rows, *([1] * (self.parameters.ndim - 1)))
        first_share, second_share, stride, shrink = per_row.unbind()
        first, second = self.first_moment[:rows], self.second_moment[:rows]
        first.lerp_(gradient, first_share)
        second.lerp_(gradient.square(), second_share)
        self.parameters[:rows] -= stride * first / (second.sqrt() * shrink + self.epsilon)
