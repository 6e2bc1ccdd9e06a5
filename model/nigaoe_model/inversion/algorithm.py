"""Reverse generation, the whole algorithm: the objective, its gradient, and one step of a batch of searches.

GAN inversion by optimisation: the generator G is frozen, and latents move until their pictures are the photos.

    w*, n* = argmin L(w, n),    L = sum_k lambda_k L_k(x_hat, w, n, x),    x_hat = G(w, n)

The terms L_k, each one number a search (`Objective.measure`):

    perceptual     mean_l sum_p m_l(p) |phi_l(x_hat)(p) - phi_l(x)(p)|^2        d, the reported distance
    discriminator  the same in the features of a discriminator
    pixel          sum_p m(p) mean_c (sqrt((x_hat - x)^2 + s^2) - s)            `pixel_distance`
    layer_spread   mean_i |w_i - mean_i w_i|^2 / var w                          `LatentPrior`
    mahalanobis    mean_i |(w_i - w_mean) C^(-1/2)|^2                           `LatentPrior`
    in_domain      mean |w - E(x_hat)|^2 / var w,  E the encoder                `in_domain_distance`
    noise          sum of squared autocorrelations of n, on all scales          `noise_autocorrelation`

One step t of a search (`step`), with g the gradient of L:

    w'      = w_t + sigma_t eps,  eps ~ N(0, 1)                                 `w_noise_at`
    d, L, g = forward and backward at (w', n_t)                                 `evaluate`
    w*, n*  = w', n_t  where  d < d*                                            `keep_best`
    w_t+1   = w_t - eta_t m_hat / (sqrt(v_hat) + 1e-8)   (Adam)                 `descend`, `learning_rate_at`
    n_t+1   = (n - mean n) / std n  after Adam's step of n_t                    `descend`, `normalised`

until d* is small enough, nothing improves any more, or steps or time are used up (`stop_reason`).

| symbol   | name                    | meaning                                           | shape                 |
| -------- | ----------------------- | ------------------------------------------------- | --------------------- |
| w, w'    | `w_plus`                | one style a layer (W+), or one for all layers (W) | [N, num_ws, w_dim]    |
| n        | `noise`                 | noise maps: the generator's own, or optimised     | [N, 1, R_i, R_i] each |
| x, x_hat | `target.image`, `image` | the photo, and the picture of the latent          | [N, 3, R, R]          |
| m        | `region`                | weight of every pixel, summing to 1               | [N, 1, R, R]          |
| phi      | `FeatureNetwork`        | unit-length features of EfficientNet-Lite0        | [N, C_l, H_l, W_l]    |
| lambda_k | `weights`               | weight of each term                               | [N] each              |
| eta_t    | `rate`                  | learning rate, in units of sqrt(var w)            | [N]                   |
| sigma_t  | `w_noise`               | noise on w, in units of w's spread                | [N]                   |

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020, appendix D (schedule, noise, projection);
Abdal et al., "Image2StyleGAN", 2019 (W+).

The N searches of a batch share a step and nothing else: every sum is taken over one sample, and each search has a t,
lambda, eta and sigma of its own. `evaluate` reads and writes the device's memory alone and never waits for a number, so
that it can be recorded as a CUDA graph (`nigaoe_model.inversion.graphs`).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial, reduce
from operator import add

import torch
from torch import Tensor, nn

from nigaoe_model.features import EfficientNetFeatures, frozen_features
from nigaoe_model.inversion.batch import Evaluation, Iterate, SearchState, StepInput, StepSizes, Target
from nigaoe_model.inversion.encoder.network import Encoder
from nigaoe_model.inversion.feature_distance import FeatureNetwork, pooled_region
from nigaoe_model.inversion.regularisers import LatentPrior, in_domain_distance, noise_autocorrelation, normalised
from nigaoe_model.inversion.request import StopReason
from nigaoe_model.inversion.settings import InversionSettings, LossWeights
from nigaoe_model.inversion.tensors import per_sample
from nigaoe_model.stylegan2.discriminator import Discriminator
from nigaoe_model.stylegan2.inference.linear_maps import sample_sum
from nigaoe_model.stylegan2.inference.synthesis import FrozenSynthesis
from nigaoe_model.stylegan2.latent_statistics import LatentStatistics

REPORTED = "perceptual"
"""The term that is the reported distance: one fixed measure, so that curves compare; everything else only steers."""

PIXEL_SOFTNESS = 0.05

Evaluate = Callable[[Tensor, Sequence[Tensor] | None], Evaluation]
"""From latents # [N, num_ws, w_dim] and noise maps, each # [N, 1, R_i, R_i], to what :func:`evaluate` finds."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """Values of the objective for a batch.

    Attributes:
        distance: Reported distance [d]. # [N].
        loss: Weighted sum of all terms [L]. # [N].
    """

    distance: Tensor
    loss: Tensor


class Objective(nn.Module):
    """L and the frozen networks that its terms ask; which terms count is each search's choice.

    Args:
        statistics: Moments of w, for the priors.
        perceptual: The feature network of the reported distance; all five levels.
        perceptual_size: Side to which pictures are resampled for it.
        discriminator: Makes the ``discriminator`` term possible.
        encoder: Makes the ``in_domain`` term possible, and guesses where searches start.
    """

    def __init__(
        self,
        statistics: LatentStatistics,
        perceptual: EfficientNetFeatures,
        *,
        perceptual_size: int | None = None,
        discriminator: Discriminator | None = None,
        encoder: Encoder | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.prior = LatentPrior(statistics)
        self.networks = nn.ModuleDict({REPORTED: FeatureNetwork(frozen_features(perceptual), size=perceptual_size)})
        if discriminator is not None:
            self.networks["discriminator"] = FeatureNetwork(discriminator.features)

    def measure(self, iterate: Iterate, target: Target, weights: Mapping[str, Tensor]) -> Measurement:
        """Return d and L of a batch of iterates.

        Args:
            iterate: Latents and their pictures.
            target: The same number of samples.
            weights: Of every term that steers any sample; see :func:`weight_columns`.
        """
        x_hat, w, n, encoder = iterate.image, iterate.w_plus, iterate.noise, self.encoder
        terms: dict[str, Callable[[], Tensor]] = {
            name: partial(self._feature_distance, name, x_hat, target) for name in self.networks
        }
        terms["pixel"] = partial(pixel_distance, x_hat, target.image, target.region)
        terms["layer_spread"] = partial(self.prior.layer_spread, w)
        terms["mahalanobis"] = partial(self.prior.mahalanobis, w)
        if encoder is not None:
            terms["in_domain"] = lambda: in_domain_distance(encoder, iterate) / self.prior.variance
        if n is not None:
            terms["noise"] = partial(noise_autocorrelation, n)
        values = {name: term() for name, term in terms.items() if name in weights or name == REPORTED}
        loss = reduce(add, (weights[name] * value for name, value in values.items() if name in weights))
        return Measurement(values[REPORTED].detach(), loss)

    @torch.no_grad()
    def distance(self, image: Tensor, target: Target) -> Tensor:
        """Return the reported distance of pictures # [N, 3, R, R] from as many targets. # [N]."""
        return self._feature_distance(REPORTED, image, target)

    @torch.no_grad()
    def describe(self, image: Tensor, region: Tensor | None = None) -> Target:
        """Return photos with their features.

        Args:
            image: # [N, 3, R, R] in [-1, 1].
            region: Weight of every pixel, not negative. # [N, 1, R, R]; None: all the same.
        """
        if region is None:
            region = torch.ones_like(image[:, :1])
        features = {name: self._network(name).features(image) for name in self.networks}
        regions = {name: pooled_region(region, levels) for name, levels in features.items()}
        return Target(image, region / region.sum(dim=(1, 2, 3), keepdim=True), features, regions)

    def check(self, weights: LossWeights) -> None:
        """Refuse weights of terms that this objective cannot compute.

        Raises:
            ValueError: Such a weight is not 0.
        """
        possible = {*self.networks, *(("in_domain",) if self.encoder is not None else ())}
        for name in ("discriminator", "in_domain"):
            if getattr(weights, name) and name not in possible:
                raise ValueError(f"the `{name}` term has a weight, but the objective was built without it")

    def _feature_distance(self, name: str, image: Tensor, target: Target) -> Tensor:
        phi = self._network(name)
        return phi.distance(phi.features(image), target.features[name], target.regions[name])

    def _network(self, name: str) -> FeatureNetwork:
        network = self.networks[name]
        assert isinstance(network, FeatureNetwork)  # noqa: S101 - narrows ModuleDict's type
        return network


def pixel_distance(first: Tensor, second: Tensor, region: Tensor) -> Tensor:
    """Return the weighted mean absolute difference of colours, smooth at zero (Charbonnier).

    Args:
        first: # [N, 3, R, R].
        second: # [N, 3, R, R].
        region: Summing to 1 a sample. # [N, 1, R, R].

    Returns:
        # [N], 0..2 for pictures in [-1, 1].
    """
    soft = (first - second).square().add(PIXEL_SOFTNESS**2).sqrt() - PIXEL_SOFTNESS
    return sample_sum(soft.mean(dim=1, keepdim=True) * region)


@lru_cache(maxsize=16)
def weight_columns(weights: tuple[LossWeights, ...], device: torch.device) -> Mapping[str, Tensor]:
    """Stack the weights of several searches: one column # [N] for each term that any of them uses."""
    rows = [row.model_dump() for row in weights]
    return {
        name: torch.tensor([row[name] for row in rows], device=device)
        for name in LossWeights.model_fields
        if any(row[name] for row in rows)
    }


@torch.enable_grad()
def evaluate(synthesis: FrozenSynthesis, objective: Objective, given: StepInput) -> Evaluation:
    """Generate, measure and differentiate a batch, also for a caller who turned gradients off.

    Args:
        synthesis: G.
        objective: L, on the same device.
        given: Read, and not changed.
    """
    # Leaves of this call's own: a leaf remembers the stream on which it first was used, and a recording has another.
    w = given.w_plus.detach().requires_grad_()
    n = None if given.noise is None else [maps.detach().requires_grad_() for maps in given.noise]
    iterate = Iterate(w, synthesis(w, n), n)
    measured = objective.measure(iterate, given.target, given.weights)
    # Samples share nothing, so the gradient of the sum consists of each sample's own gradient.
    gradients = torch.autograd.grad(measured.loss.sum(), [w, *(n or [])])
    slope = reduce(add, (sample_sum(gradient.square()) for gradient in gradients))
    measures = torch.stack([measured.distance, measured.loss.detach(), slope], dim=1)
    return Evaluation(iterate.map(Tensor.detach), measures, gradients)


@torch.no_grad()
def step(state: SearchState, w_noise: Tensor | None, sizes: StepSizes, evaluate_batch: Evaluate) -> Tensor:
    """Take one step of every search; where evaluating raises, none has moved.

    Args:
        state: Changed in place.
        w_noise: sigma_t eps of each search, the same for all layers # [N, 1, w_dim]; None: no search has any.
        sizes: eta_t and Adam's other coefficients.
        evaluate_batch: Evaluates all samples: in parts, or by replaying a recording.

    Returns:
        Distance [d], loss [L] and squared norm of the gradient. # [N, 3].
    """
    w = state.latent.parameters
    w = w.clone() if w_noise is None else w + w_noise
    n = None if state.noise is None else [maps.parameters.clone() for maps in state.noise]
    seen = evaluate_batch(w, n)
    keep_best(state, seen)
    descend(state, seen.gradients, sizes)
    return seen.measures


def keep_best(state: SearchState, seen: Evaluation) -> None:
    """Replace the best iterate of each search that came nearer, by finite numbers alone."""
    distance = seen.measures[:, 0]
    improved = (distance < state.best_distance) & seen.measures.isfinite().all(dim=1)
    best, present = [*state.best.columns, state.best_distance], [*seen.iterate.columns, distance]
    for old, new in zip(best, present, strict=True):
        old.copy_(torch.where(per_sample(improved, new), new, old))


def descend(state: SearchState, gradients: Sequence[Tensor], sizes: StepSizes) -> None:
    """Move latents, and the noise maps of searches that optimise theirs, by one step of Adam.

    Args:
        state: Changed in place.
        gradients: Of w_plus # [N, num_ws, w_dim] and, where any search optimises noise, of every map.
        sizes: One a search.
    """
    g, *noise_gradients = gradients
    g = torch.where(per_sample(sizes.tied, g), g.mean(dim=1, keepdim=True), g)  # One style for all layers stays one.
    state.latent.update(g, sizes.latent)
    for adam, noise_gradient in zip(state.noise or [], noise_gradients, strict=True):
        n = adam.parameters
        before = n.clone()
        adam.update(noise_gradient, sizes.noise)
        n.copy_(torch.where(per_sample(sizes.moves_noise, n), normalised(n), before))


def learning_rate_at(settings: InversionSettings, t: int) -> float:
    """Return eta_t, the rate of step t (from 0): a linear warm-up, and a cosine ramp-down. 0..``learning_rate``."""
    time = (t + 1) / settings.steps
    rate = settings.learning_rate
    if settings.warm_up > 0:
        rate *= min(1.0, time / settings.warm_up)
    if settings.ramp_down > 0:
        left = min(1.0, (1.0 - time) / settings.ramp_down)
        rate *= 0.5 - 0.5 * math.cos(math.pi * left)
    return rate


def w_noise_at(settings: InversionSettings, t: int) -> float:
    """Return sigma_t, which fades with the square of the time that is left, in units of w's spread.

    Step 0 evaluates the start itself, so that every run begins at the distance of its start.
    """
    if t == 0 or settings.w_noise == 0 or settings.w_noise_end == 0:
        return 0.0
    time = t / settings.steps
    return settings.w_noise * max(0.0, 1.0 - time / settings.w_noise_end) ** 2


def stop_reason(settings: InversionSettings, best: Sequence[float], *, late: bool) -> StopReason | None:
    """Return why a search ends after the steps that it has done; None: it goes on.

    Args:
        settings: Stop rules.
        best: Smallest distance [d*] up to each step.
        late: Whether the deadline has passed.
    """
    plateau, now = settings.plateau, best[-1]
    if settings.target_distance is not None and now <= settings.target_distance:
        return StopReason.TARGET_REACHED
    if len(best) >= settings.steps:
        return StopReason.BUDGET
    if plateau is not None and len(best) > plateau.window:
        before = best[-1 - plateau.window]
        if before - now < plateau.epsilon * before:
            return StopReason.PLATEAU
    return StopReason.DEADLINE if late else None
