"""Ways to go from a start to a photo's latent, to be compared by `benchmarks/experiments/inversion_optimisers.py`.

Every candidate walks a batch of independent problems in lockstep and hands out each iterate that it measured. What none
of them does is look across samples: they could all become the slot engine's optimiser.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from nigaoe_model.inversion.adam import EPSILON
from nigaoe_model.inversion.algorithm import Objective, learning_rate_at, weight_columns
from nigaoe_model.inversion.batch import Iterate, Target
from nigaoe_model.inversion.regularisers import VARIANCE_FLOOR
from nigaoe_model.inversion.settings import InversionSettings, LossWeights
from nigaoe_model.stylegan2.inference.linear_maps import rows_times, sample_sum
from nigaoe_model.stylegan2.inference.synthesis import FrozenSynthesis
from nigaoe_model.stylegan2.latent_statistics import LatentStatistics


@dataclass(frozen=True)
class Seen:
    """One iterate of a batch. ``w_plus`` # [N, num_ws, w_dim], ``distance`` # [N], None where it was not measured."""

    w_plus: Tensor
    distance: Tensor | None


@dataclass(frozen=True)
class Look:
    """What one evaluation says. ``loss`` and ``distance`` # [N], ``gradient`` # [N, num_ws, w_dim]."""

    distance: Tensor
    loss: Tensor
    gradient: Tensor


@dataclass(frozen=True)
class Problem:
    """Some photos to be found, as the slot engine sees them with default weights.

    Attributes:
        synthesis: Draws.
        objective: Measures.
        target: The photos, described.
        weights: Of the objective's terms.
    """

    synthesis: FrozenSynthesis
    objective: Objective
    target: Target
    weights: LossWeights

    @property
    def count(self) -> int:
        """Number of photos."""
        return self.target.image.shape[0]

    @cached_property
    def columns(self) -> dict[str, Tensor]:
        """Weights of the terms, one # [N] a term; without noise maps."""
        weights = self.weights.model_copy(update={"noise": 0.0})
        return dict(weight_columns((weights,) * self.count, self.target.image.device))

    def look(self, w_plus: Tensor) -> Look:
        """Measure and differentiate."""
        w_plus = w_plus.detach().requires_grad_()
        measured = self.objective.measure(Iterate(w_plus, self.synthesis(w_plus)), self.target, self.columns)
        (gradient,) = torch.autograd.grad(measured.loss.sum(), w_plus)
        return Look(measured.distance, measured.loss.detach(), gradient)


@dataclass(frozen=True)
class Axes:
    """Coordinates along the eigenvectors of w's covariance. ``out`` maps rows of them to w, # [w_dim, w_dim]."""

    out: Tensor

    @classmethod
    def of(cls, statistics: LatentStatistics, unit: float, *, power: float) -> "Axes":
        """Return axes of a length that grows with w's spread along them: by ``power`` 0 not at all, 1 whitens.

        ``unit`` is the length of a learning rate of 1 in w.
        """
        variances, vectors = torch.linalg.eigh(statistics.covariance.double())
        lengths = (variances.clamp_min(VARIANCE_FLOOR * float(variances.mean())).sqrt() / unit) ** power
        return cls((vectors * lengths).t().float().contiguous())

    def to_w(self, coordinates: Tensor) -> Tensor:
        """Map # [N, num_ws, w_dim] coordinates to offsets in w."""
        return rows_times(coordinates, self.out)

    def gradient(self, gradient: Tensor) -> Tensor:
        """Map a gradient of w to a gradient of the coordinates."""
        return rows_times(gradient, self.out.t().contiguous())


def adam(
    problem: Problem,
    start: Tensor,
    settings: InversionSettings,
    *,
    layer_rates: Tensor | None = None,
    axes: Axes | None = None,
) -> Iterator[Seen]:
    """Adam as the slot engine has it, or with a rate a layer # [num_ws], or along axes of w."""
    w, unit = start.clone(), problem.objective.prior.unit
    first, second = torch.zeros_like(w), torch.zeros_like(w)
    beta1, beta2 = settings.beta1, settings.beta2
    for step in range(settings.steps):
        look = problem.look(w)
        yield Seen(w, look.distance)
        gradient = look.gradient if axes is None else axes.gradient(look.gradient)
        first = torch.lerp(gradient, first, beta1)
        second = torch.lerp(gradient.square(), second, beta2)
        root = (second / (1 - beta2 ** (step + 1))).sqrt() + EPSILON
        move = first / (1 - beta1 ** (step + 1)) / root
        if layer_rates is not None:
            move = move * layer_rates[:, None]
        if axes is not None:
            move = axes.to_w(move)
        w = w - learning_rate_at(settings, step) * unit * move


def then(first: Iterator[Seen], second: Callable[[Tensor], Iterator[Seen]]) -> Iterator[Seen]:
    """Go on with another way from where the first one ended."""
    for seen in first:
        yield seen
    yield from second(seen.w_plus)


def coarsely(coarse: Problem, start: Tensor, settings: InversionSettings) -> Iterator[Seen]:
    """Adam at half the resolution: the finest block is not drawn, its styles stay."""
    layers = coarse.objective.prior.mean.shape[0]
    for seen in adam(coarse, start[:, :layers], settings):
        yield Seen(torch.cat([seen.w_plus, start[:, layers:]], dim=1), None)


def lbfgs(problem: Problem, start: Tensor, steps: int, *, axes: Axes, memory: int = 8) -> Iterator[Seen]:
    """Limited-memory BFGS, every sample with a history and a line search of its own (Nocedal and Wright, 7.4).

    A step that does not lower a sample's loss enough (Armijo) is taken back and repeated at a quarter of its length, in
    lockstep with its neighbours; every evaluation counts as a step.
    """
    base, offset = start, torch.zeros_like(start)
    here = problem.look(base)
    yield Seen(base, here.distance)
    gradient = axes.gradient(here.gradient)
    loss = here.loss
    history: list[tuple[Tensor, Tensor, Tensor]] = []  # Moves, changes of the gradient, and which samples they hold.
    direction = _first_direction(gradient)
    length = torch.ones_like(loss)
    for _ in range(steps - 1):
        tried = offset + rows(length) * direction
        w = base + axes.to_w(tried)
        look = problem.look(w)
        yield Seen(w, look.distance)
        slope = dot(gradient, direction)
        good = look.loss <= loss + 1e-4 * length * slope
        tried_gradient = axes.gradient(look.gradient)
        move, change = tried - offset, tried_gradient - gradient
        curved = good & (dot(move, change) > 1e-10)
        history = [*history, (move, change, curved)][-memory:]
        offset = torch.where(rows(good), tried, offset)
        gradient = torch.where(rows(good), tried_gradient, gradient)
        loss = torch.where(good, look.loss, loss)
        fresh = _two_loops(gradient, history)
        fresh = torch.where(rows(dot(fresh, gradient) < 0), fresh, _first_direction(gradient))
        length = torch.where(good, torch.ones_like(length), length / 4)
        direction = torch.where(rows(good), fresh, direction)


def _first_direction(gradient: Tensor) -> Tensor:
    """Go down the slope by a typical distance: a tenth of a standard deviation a coordinate."""
    return -gradient * rows(0.1 * math.sqrt(gradient[0].numel()) / dot(gradient, gradient).sqrt().clamp_min(1e-12))


def _two_loops(gradient: Tensor, history: Sequence[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    """Multiply by the approximate inverse Hessian (Nocedal and Wright, algorithm 7.4), each sample by its own."""
    q, alphas = gradient, []
    scale, known = torch.ones_like(gradient[:, 0, 0]), torch.zeros_like(gradient[:, 0, 0], dtype=torch.bool)
    for move, change, holds in reversed(history):
        alpha = torch.where(holds, dot(move, q) / torch.where(holds, dot(move, change), 1.0), 0.0)
        alphas.append(alpha)
        q = q - rows(alpha) * change
        newest = holds & ~known
        scale = torch.where(newest, dot(move, change) / dot(change, change).clamp_min(1e-20), scale)
        known = known | holds
    r = rows(scale) * q
    for (move, change, holds), alpha in zip(history, reversed(alphas), strict=True):
        beta = torch.where(holds, dot(change, r) / torch.where(holds, dot(move, change), 1.0), 0.0)
        r = r + rows(alpha - beta) * move
    return torch.where(rows(known), -r, _first_direction(gradient))


def rows(column: Tensor) -> Tensor:
    return column[:, None, None]


def dot(first: Tensor, second: Tensor) -> Tensor:
    return sample_sum(first * second)
