"""The named tensors of a batch of searches: targets, iterates, evaluations, and the state that the searches move.

The first axis of every tensor is the sample, N: one search. Symbols in brackets are those of
`nigaoe_model.inversion.algorithm`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from torch import Tensor

from nigaoe_model.inversion.adam import BatchedAdam, Pace, coefficients, to_device
from nigaoe_model.inversion.tensors import Batched


@dataclass(frozen=True, slots=True)
class Target(Batched):
    """Photos and everything about them that the objective needs; computed once a search.

    Attributes:
        image: The photo [x], in [-1, 1]. # [N, 3, R, R].
        region: Weight of every pixel [m], summing to 1 a sample. # [N, 1, R, R].
        features: For each feature network [phi(x)], one # [N, C_l, H_l, W_l] a level.
        regions: For each feature network, the region at each of its levels. # [N, 1, H_l, W_l].
    """

    image: Tensor
    region: Tensor
    features: Mapping[str, Sequence[Tensor]]
    regions: Mapping[str, Sequence[Tensor]]


@dataclass(frozen=True, slots=True)
class Iterate(Batched):
    """Latents and the pictures that the generator makes of them.

    Attributes:
        w_plus: [w]. # [N, num_ws, w_dim].
        image: [x_hat], raw range. # [N, 3, R, R].
        noise: Optimised noise maps [n], each # [N, 1, R_i, R_i]; None where no search of the batch optimises them.
    """

    w_plus: Tensor
    image: Tensor
    noise: Sequence[Tensor] | None = None


@dataclass(frozen=True, slots=True)
class StepInput(Batched):
    """Input of an evaluation, on its device, without gradients.

    Attributes:
        w_plus: Latents to evaluate, noise on w included. # [N, num_ws, w_dim].
        noise: Noise maps, each # [N, 1, R_i, R_i]; None where no search optimises them.
        target: The same number of samples.
        weights: Of every term that steers any sample [lambda_k], each # [N].
    """

    w_plus: Tensor
    noise: Sequence[Tensor] | None
    target: Target
    weights: Mapping[str, Tensor]

    @property
    def rows(self) -> int:
        """Number of samples."""
        return self.w_plus.shape[0]


@dataclass(frozen=True, slots=True)
class Evaluation(Batched):
    """Result of an evaluation, detached.

    Attributes:
        iterate: Latents as evaluated (noise on w included) and their pictures.
        measures: Reported distance [d], loss [L], and squared norm of the gradient. # [N, 3].
        gradients: Of w_plus # [N, num_ws, w_dim] and, where any search optimises noise, of every map.
    """

    iterate: Iterate
    measures: Tensor
    gradients: Sequence[Tensor]


@dataclass(frozen=True, slots=True)
class SearchState(Batched):
    """State of the searches of a batch; a step changes its tensors in place.

    Attributes:
        latent: w_plus with its moments. # [N, num_ws, w_dim].
        noise: Noise maps with their moments, each # [N, 1, R_i, R_i]; None until a search optimises them.
        best: The iterate of the smallest reported distance.
        best_distance: That distance; infinite before the first step. # [N].
    """

    latent: BatchedAdam
    noise: Sequence[BatchedAdam] | None
    best: Iterate
    best_distance: Tensor


@dataclass(frozen=True, slots=True)
class Move:
    """Optimiser settings of one search at its present step, on the host.

    Attributes:
        pace: Step count, betas, and the learning rate in units of w's root mean square standard deviation.
        tied: Whether all layers share one style (W).
        noise: Whether the noise maps move, too.
    """

    pace: Pace
    tied: bool
    noise: bool


@dataclass(frozen=True, slots=True)
class StepSizes:
    """The moves of a batch, on its device.

    Attributes:
        tied: # [N], bool.
        moves_noise: # [N], bool.
        latent: Adam's coefficients for w_plus. # [4, N].
        noise: The same for noise maps, whose unit is 1. # [4, N].
    """

    tied: Tensor
    moves_noise: Tensor
    latent: Tensor
    noise: Tensor

    @classmethod
    def of(cls, moves: Sequence[Move], unit: float, like: Tensor) -> Self:
        """Send the moves to the device as one tensor.

        Args:
            moves: One a search.
            unit: Length of a learning rate of 1 in w.
            like: Gives type and device.
        """
        flags = [[float(move.tied) for move in moves], [float(move.noise) for move in moves]]
        latent = coefficients([replace(move.pace, rate=move.pace.rate * unit) for move in moves])
        noise = coefficients([move.pace for move in moves])
        columns = to_device([*flags, *latent, *noise], like)  # [10, N]
        tied, moves_noise = columns[:2].bool()
        return cls(tied, moves_noise, columns[2:6], columns[6:])
