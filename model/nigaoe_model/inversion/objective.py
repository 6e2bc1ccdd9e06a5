"""How far an iterate is from its target: the reported distance, and the loss that the optimiser follows.

**The reported distance** is one fixed measure, so that curves compare: the perceptual term, EfficientNet-Lite0 feature
distance over all its levels (0..4), weighted by the request's region. Everything else only steers.

Every term is a vector # [N]: one number a sample, which no neighbour in the batch changes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from operator import add

import torch
from torch import Tensor, nn

from nigaoe_model.features import EfficientNetFeatures
from nigaoe_model.inversion.encoder.network import Encoder
from nigaoe_model.inversion.feature_distance import FeatureEye, pooled_region
from nigaoe_model.inversion.noise_maps import noise_autocorrelation
from nigaoe_model.inversion.prior import LatentPrior
from nigaoe_model.inversion.settings import LossWeights
from nigaoe_model.stylegan2.discriminator import Discriminator
from nigaoe_model.stylegan2.inference.features import frozen_features
from nigaoe_model.stylegan2.inference.linear_maps import sample_sum
from nigaoe_model.stylegan2.latent_statistics import LatentStatistics

REPORTED = "perceptual"
PIXEL_SOFTNESS = 0.05


@dataclass(frozen=True, slots=True)
class Target:
    """All that the objective must know about target pictures; computed once a slot.

    Attributes:
        image: # [N, 3, R, R] in [-1, 1].
        region: Weight of every pixel, summing to 1 a sample. # [N, 1, R, R].
        features: For each eye, one # [N, C_l, H_l, W_l] a level.
        regions: For each eye, the region at each of its levels. # [N, 1, H_l, W_l].
    """

    image: Tensor
    region: Tensor
    features: Mapping[str, Sequence[Tensor]]
    regions: Mapping[str, Sequence[Tensor]]

    @property
    def columns(self) -> list[Tensor]:
        """All tensors in a fixed order; the first axis of each is the sample."""
        nested = [*self.features.values(), *self.regions.values()]
        return [self.image, self.region, *(level for levels in nested for level in levels)]

    def map(self, change: Callable[[Tensor], Tensor]) -> "Target":
        """Return the same structure with every tensor changed."""
        return Target(
            change(self.image),
            change(self.region),
            {name: [change(level) for level in levels] for name, levels in self.features.items()},
            {name: [change(level) for level in levels] for name, levels in self.regions.items()},
        )


@dataclass(frozen=True, slots=True)
class Iterate:
    """A batch of iterates as they were drawn.

    Attributes:
        w_plus: # [N, num_ws, w_dim].
        image: Raw range. # [N, 3, R, R].
        noise: Optimised maps, each # [N, 1, R_i, R_i]; None where no slot of the batch optimises them.
    """

    w_plus: Tensor
    image: Tensor
    noise: Sequence[Tensor] | None = None

    @property
    def columns(self) -> list[Tensor]:
        """All tensors in a fixed order; the first axis of each is the sample."""
        return [self.w_plus, self.image, *(self.noise or [])]

    def map(self, change: Callable[[Tensor], Tensor]) -> "Iterate":
        """Return the same structure with every tensor changed."""
        noise = None if self.noise is None else [change(maps) for maps in self.noise]
        return Iterate(change(self.w_plus), change(self.image), noise)


@dataclass(frozen=True, slots=True)
class Measurement:
    """What the objective says about a batch.

    Attributes:
        distance: Reported distance. # [N].
        loss: Weighted sum of all terms. # [N].
    """

    distance: Tensor
    loss: Tensor


class Objective(nn.Module):
    """The terms of one generator's inversions; which of them count is each slot's choice.

    Args:
        statistics: Moments of w, for the priors.
        perceptual: The eye of the reported distance; all five levels.
        perceptual_size: Side at which that eye looks.
        discriminator: Makes the ``discriminator`` term possible.
        lpips: Makes the ``lpips`` term possible.
        encoder: Makes the ``in_domain`` term possible, and guesses where slots start.
    """

    def __init__(
        self,
        statistics: LatentStatistics,
        perceptual: EfficientNetFeatures,
        *,
        perceptual_size: int | None = None,
        discriminator: Discriminator | None = None,
        lpips: FeatureEye | None = None,
        encoder: Encoder | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.prior = LatentPrior(statistics)
        self.eyes = nn.ModuleDict({REPORTED: FeatureEye(frozen_features(perceptual), size=perceptual_size)})
        if discriminator is not None:
            self.eyes["discriminator"] = FeatureEye(discriminator.features)
        if lpips is not None:
            self.eyes["lpips"] = lpips

    def check(self, weights: LossWeights) -> None:
        """Refuse weights of terms that this objective cannot compute.

        Raises:
            ValueError: Such a weight is not 0.
        """
        possible = {*self.eyes, *(("in_domain",) if self.encoder is not None else ())}
        for name in ("discriminator", "lpips", "in_domain"):
            if getattr(weights, name) and name not in possible:
                raise ValueError(f"the `{name}` term has a weight, but the objective was built without it")

    @torch.no_grad()
    def describe(self, image: Tensor, region: Tensor | None = None) -> Target:
        """Look at target pictures once.

        Args:
            image: # [N, 3, R, R] in [-1, 1].
            region: Weight of every pixel, not negative. # [N, 1, R, R]; None: all the same.
        """
        if region is None:
            region = torch.ones_like(image[:, :1])
        features = {name: self._eye(name).features(image) for name in self.eyes}
        regions = {name: pooled_region(region, levels) for name, levels in features.items()}
        return Target(image, region / region.sum(dim=(1, 2, 3), keepdim=True), features, regions)

    def measure(self, iterate: Iterate, target: Target, weights: Mapping[str, Tensor]) -> Measurement:
        """Compare a batch of iterates with their targets.

        Args:
            iterate: What was drawn.
            target: The same number of samples.
            weights: Of every term that steers any sample; see :func:`weight_columns`.
        """
        asked = weights.keys() | {REPORTED}
        terms = {name: self._look(name, iterate.image, target) for name in self.eyes if name in asked}
        terms |= {name: term(iterate, target) for name, term in self._plain_terms(iterate).items() if name in asked}
        loss = reduce(add, (weights[name] * term for name, term in terms.items() if name in weights))
        return Measurement(distance=terms[REPORTED].detach(), loss=loss)

    @torch.no_grad()
    def distance(self, image: Tensor, target: Target) -> Tensor:
        """Return the reported distance of pictures # [N, 3, R, R] from as many targets. # [N]."""
        return self._look(REPORTED, image, target)

    def _look(self, name: str, image: Tensor, target: Target) -> Tensor:
        eye = self._eye(name)
        return eye.distance(eye.features(image), target.features[name], target.regions[name])

    def _plain_terms(self, iterate: Iterate) -> dict[str, Callable[[Iterate, Target], Tensor]]:
        terms: dict[str, Callable[[Iterate, Target], Tensor]] = {
            "pixel": lambda iterate, target: pixel_distance(iterate.image, target.image, target.region),
            "layer_spread": lambda iterate, _: self.prior.layer_spread(iterate.w_plus),
            "mahalanobis": lambda iterate, _: self.prior.mahalanobis(iterate.w_plus),
        }
        encoder = self.encoder
        if encoder is not None:
            terms["in_domain"] = lambda iterate, _: in_domain_distance(encoder, iterate) / self.prior.variance
        maps = iterate.noise
        if maps is not None:
            terms["noise"] = lambda *_: noise_autocorrelation(maps)
        return terms

    def _eye(self, name: str) -> FeatureEye:
        eye = self.eyes[name]
        assert isinstance(eye, FeatureEye)  # noqa: S101 - narrows ModuleDict's type
        return eye


def in_domain_distance(encoder: Encoder, iterate: Iterate) -> Tensor:
    """Return the mean squared distance of latents from what an encoder guesses of their pictures. # [N].

    Zhu et al., "In-Domain GAN Inversion for Real Image Editing", 2020, equation 4.
    """
    guessed = encoder.each(iterate.image)
    return (iterate.w_plus - guessed).square().mean(dim=(1, 2))


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
    """Stack the weights of several samples: one column # [N] for each term that any of them uses."""
    rows = [row.model_dump() for row in weights]
    return {
        name: torch.tensor([row[name] for row in rows], device=device)
        for name in LossWeights.model_fields
        if any(row[name] for row in rows)
    }
