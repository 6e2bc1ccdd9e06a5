"""Statistics of w: where styles live, how far each layer's spread, and along which axes.

Inversion starts from the mean, scales its noise by the spread (Karras et al. 2020, appendix D), and its prior measures
Mahalanobis distances (Zhu et al., "Improved StyleGAN Embedding", 2020, section 3.1).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from nigaoe_core.errors import CheckpointMismatch
from nigaoe_model.stylegan2.architecture import Architecture
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.stylegan2.generator import Mapping as MappingNetwork
from nigaoe_model.weak_cache import WeakCache

DEFAULT_SAMPLES = 10_000

_axes: WeakCache[Tensor] = WeakCache(8)


@dataclass(frozen=True, slots=True, eq=False)
class LatentStatistics:
    """Moments of w under z ~ N(0, 1), in float32.

    Attributes:
        mean: Mean of each layer's style. # [num_ws, w_dim].
        std: Standard deviation of each coordinate. # [num_ws, w_dim].
        covariance: Covariance of w, shared by all layers. # [w_dim, w_dim].
    """

    mean: Tensor
    std: Tensor
    covariance: Tensor

    @property
    def spread(self) -> float:
        """Root of the mean squared distance of w from its mean: ``w_std`` of the official projector."""
        return float(self.covariance.diagonal().sum().clamp_min(0).sqrt())

    def tensors(self) -> dict[str, Tensor]:
        """Return what a checkpoint stores."""
        return {"mean": self.mean, "std": self.std, "covariance": self.covariance}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], architecture: Architecture) -> Self:
        """Rebuild from a checkpoint.

        Raises:
            CheckpointMismatch: A tensor is missing or has a shape that does not fit the architecture.
        """
        layered = (architecture.num_ws, architecture.w_dim)
        shapes = {"mean": layered, "std": layered, "covariance": (architecture.w_dim, architecture.w_dim)}
        for name, shape in shapes.items():
            if name not in tensors or tuple(tensors[name].shape) != shape:
                raise CheckpointMismatch(f"The checkpoint's latent statistics lack `{name}` of shape {list(shape)}.")
        return cls(**{name: tensors[name].float() for name in shapes})


def principal_axes(statistics: LatentStatistics) -> Tensor:
    """Return the axes along which w varies, each as long as its standard deviation, as rows. # [w_dim, w_dim]."""
    covariance = statistics.covariance
    return _axes.get((covariance,), lambda: _axes_of(covariance))


def _axes_of(covariance: Tensor) -> Tensor:
    variances, axes = torch.linalg.eigh(covariance.double())
    scaled: Tensor = axes * variances.clamp_min(0).sqrt()
    return scaled.t().float().contiguous()


@torch.no_grad()
def measure_latents(generator: Generator, *, samples: int = DEFAULT_SAMPLES, seed: int = 0) -> LatentStatistics:
    """Sample the mapping network.

    Args:
        generator: On any device.
        samples: Number of z; 10,000 in the official projector.
        seed: Seed of z.
    """
    return moments_of(sample_w(generator.mapping, samples, seed=seed), generator.architecture.num_ws)


def moments_of(w: Tensor, num_ws: int) -> LatentStatistics:
    """Return the statistics of styles # [samples, w_dim] that ``num_ws`` layers share."""
    mean, std = w.mean(dim=0), w.std(dim=0)
    return LatentStatistics(
        mean=mean.expand(num_ws, -1).contiguous().cpu(),
        std=std.expand(num_ws, -1).contiguous().cpu(),
        covariance=torch.cov(w.t()).cpu(),
    )


@torch.no_grad()
def sample_w(mapping: MappingNetwork, count: int, *, seed: int) -> Tensor:
    """Return ``count`` styles of a seeded normal z. # [count, w_dim]."""
    w: Tensor = mapping(sample_z(mapping, count, seed=seed))
    return w


def sample_z(mapping: MappingNetwork, count: int, *, seed: int) -> Tensor:
    """Return ``count`` seeded normal z on the network's device. # [count, z_dim]."""
    first = mapping.layers[0]
    weight = first.weight
    assert isinstance(weight, Tensor)  # noqa: S101 - narrows ModuleList's type
    random = torch.Generator().manual_seed(seed)
    return torch.randn(count, weight.shape[1], generator=random).to(weight.device)
