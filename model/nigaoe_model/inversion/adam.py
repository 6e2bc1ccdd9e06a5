"""Adam for a stack of independent problems: each row has its own step count, learning rate and decays.

Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015, algorithm 1, row by row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from nigaoe_model.inversion.tensors import Batched, per_sample

EPSILON = 1e-8


@dataclass(frozen=True, slots=True)
class Pace:
    """Settings of one row's next step.

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


def coefficients(paces: Sequence[Pace]) -> list[list[float]]:
    """Return what an update must know of every row, in double precision, as four columns of one number a row.

    1 - beta1, 1 - beta2, the learning rate over the first moment's bias, and the root of the second one's inverse.
    """
    return [
        [1 - p.beta1 for p in paces],
        [1 - p.beta2 for p in paces],
        # Both bias corrections are powers of a row's own step count.
        [p.rate / (1 - p.beta1 ** (p.count + 1)) for p in paces],
        [(1 - p.beta2 ** (p.count + 1)) ** -0.5 for p in paces],
    ]


def to_device(columns: Sequence[Sequence[float]], like: Tensor) -> Tensor:
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


@dataclass(frozen=True, slots=True)
class BatchedAdam(Batched):
    """A stack of parameters with their moments, all changed in place.

    Attributes:
        parameters: The rows that are optimised. # [N, ...].
        first_moment: m. # [N, ...].
        second_moment: v. # [N, ...].
    """

    parameters: Tensor
    first_moment: Tensor
    second_moment: Tensor

    @classmethod
    def at(cls, parameters: Tensor) -> Self:
        """Return a stack that has not moved yet."""
        return cls(parameters, torch.zeros_like(parameters), torch.zeros_like(parameters))

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
        self.update(gradient, to_device(coefficients(paces), self.parameters))

    def update(self, gradient: Tensor, columns: Tensor) -> None:
        """Move the first ``n`` rows by coefficients that lie on the device already.

        Args:
            gradient: # [n, ...].
            columns: :func:`coefficients` of each row, in the parameters' type. # [4, n].
        """
        rows = columns.shape[1]
        first_share, second_share, stride, shrink = (per_sample(column, gradient) for column in columns)
        m, v = self.first_moment[:rows], self.second_moment[:rows]
        m.lerp_(gradient, first_share)  # m = beta1 m + (1 - beta1) g
        v.lerp_(gradient.square(), second_share)  # v = beta2 v + (1 - beta2) g^2
        self.parameters[:rows] -= stride * m / (v.sqrt() * shrink + EPSILON)
