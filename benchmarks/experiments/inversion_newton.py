"""Gauss-Newton for photos' latents, one of the candidates of `benchmarks/experiments/inversion_optimisers.py`."""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from benchmarks.experiments.inversion_candidates import Axes, Problem, Seen, dot, rows
from nigaoe_model.inversion.algorithm import PIXEL_SOFTNESS, REPORTED
from nigaoe_model.stylegan2.inference.linear_maps import sample_sum

PROBE = 0.02
"""Length of a finite difference, in units of w's root mean square standard deviation."""


def levenberg_marquardt(
    problem: Problem, start: Tensor, outer: int, *, axes: Axes, inner: int, damping: float = 1e-5, tied: bool = False
) -> Iterator[Seen]:
    """Gauss-Newton with damping, its equations solved by conjugate gradients; ``tied`` moves all layers alike.

    The Jacobian is never formed: forwards it is a finite difference (one more drawing), backwards a vector-Jacobian
    product. Every sample has its own damping, and takes a step back that made its loss larger. One outer step costs
    one evaluation and ``inner`` products of both kinds.
    """
    w = start
    damp = torch.full_like(start[:, 0, 0], damping)
    previous: tuple[Tensor, Tensor] | None = None
    for _ in range(outer):
        point = _Linearised(problem, w, axes, tied=tied)
        yield Seen(w, point.distance)
        if previous is not None:
            worse = point.loss > previous[1]
            damp = torch.where(worse, damp * 8, damp / 3)
            if bool(worse.any()):
                w = torch.where(rows(worse), previous[0], w)
                point = _Linearised(problem, w, axes, tied=tied)
        previous = (w, point.loss)
        w = w + axes.to_w(_conjugate_gradients(point.curvature, -point.gradient, damp, inner))


class _Linearised:
    """The objective around one iterate: features and colours as linear functions of the coordinates."""

    def __init__(self, problem: Problem, w_plus: Tensor, axes: Axes, *, tied: bool) -> None:
        self._problem, self._axes, self._tied = problem, axes, tied
        self._network = problem.objective.networks[REPORTED]
        self._w = w_plus.detach().requires_grad_()
        self._outputs = self._draw(self._w)
        target = problem.target
        picture, *features = (output.detach() for output in self._outputs)
        self._factors = [self._colour_factor(picture)] + [
            2 * problem.weights.perceptual * region / len(features) for region in target.regions[REPORTED]
        ]
        seen = [target.image, *target.features[REPORTED]]
        pull = [f * (o.detach() - t) for f, o, t in zip(self._factors, self._outputs, seen, strict=True)]
        gradient = self._back(pull) + self._prior_slope(self._w.detach() - problem.objective.prior.mean)
        self.gradient = self._coordinates(gradient)
        levels = self._network.distance(features, target.features[REPORTED], target.regions[REPORTED])
        soft = ((picture - target.image).square() + PIXEL_SOFTNESS**2).sqrt() - PIXEL_SOFTNESS
        pixels = sample_sum(soft.mean(dim=1, keepdim=True) * target.region)
        prior = problem.objective.prior
        weights = problem.weights
        with torch.no_grad():
            far = weights.mahalanobis * prior.mahalanobis(w_plus) + weights.layer_spread * prior.layer_spread(w_plus)
        self.distance = levels
        self.loss = weights.perceptual * levels + weights.pixel * pixels + far

    def curvature(self, direction: Tensor) -> Tensor:
        """Multiply by the Gauss-Newton matrix."""
        towards = self._axes.to_w(direction)
        size = dot(towards, towards).sqrt() / math.sqrt(towards[0].numel())
        probe = PROBE * self._problem.objective.prior.unit / size.clamp_min(1e-12)
        with torch.no_grad():
            moved = self._draw(self._w + rows(probe) * towards)
        changes = [
            factor * (after - before.detach()) / probe[:, None, None, None]
            for factor, after, before in zip(self._factors, moved, self._outputs, strict=True)
        ]
        return self._coordinates(self._back(changes) + self._prior_slope(towards))

    def _coordinates(self, gradient: Tensor) -> Tensor:
        gradient = self._axes.gradient(gradient)
        return gradient.mean(dim=1, keepdim=True).expand_as(gradient) if self._tied else gradient

    def _draw(self, w_plus: Tensor) -> list[Tensor]:
        image = self._problem.synthesis(w_plus)
        return [image, *self._network.features(image)]

    def _colour_factor(self, picture: Tensor) -> Tensor:
        target = self._problem.target
        soft = ((picture - target.image).square() + PIXEL_SOFTNESS**2).rsqrt()
        return self._problem.weights.pixel * soft * target.region / 3

    def _back(self, pulls: Sequence[Tensor]) -> Tensor:
        (gradient,) = torch.autograd.grad(self._outputs, self._w, list(pulls), retain_graph=True)
        return gradient

    def _prior_slope(self, offset: Tensor) -> Tensor:
        """Gradient of both priors, which are quadratic, at an offset from the mean face."""
        prior, weights = self._problem.objective.prior, self._problem.weights
        with torch.enable_grad():
            at = (prior.mean + offset).requires_grad_()
            far = weights.mahalanobis * prior.mahalanobis(at) + weights.layer_spread * prior.layer_spread(at)
            (slope,) = torch.autograd.grad(far.sum(), at)
        return slope


def _conjugate_gradients(matrix: Callable[[Tensor], Tensor], right: Tensor, damping: Tensor, iterations: int) -> Tensor:
    """Solve (matrix + damping) x = right approximately, every sample by itself."""
    x, residual = torch.zeros_like(right), right
    direction, energy = right, dot(right, right)
    for _ in range(iterations):
        mapped = matrix(direction) + rows(damping) * direction
        alpha = energy / dot(direction, mapped).clamp_min(1e-20)
        x, residual = x + rows(alpha) * direction, residual - rows(alpha) * mapped
        fresh = dot(residual, residual)
        direction, energy = residual + rows(fresh / energy.clamp_min(1e-30)) * direction, fresh
    return x
