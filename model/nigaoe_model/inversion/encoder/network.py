"""The encoder: a residual network of convolutions, and a head a layer of the generator.

He et al., "Identity Mappings in Deep Residual Networks", 2016 (activation before convolution), with group instead of
batch normalisation, so that a picture's latent never depends on its neighbours in the batch.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nigaoe_model.inversion.encoder.architecture import COARSEST, EncoderArchitecture
from nigaoe_model.inversion.feature_distance import resampled
from nigaoe_model.stylegan2.latent_statistics import LatentStatistics

GROUP = 8
"""Channels that are normalised together, at most."""


class Encoder(nn.Module):
    """Pictures # [N, 3, R, R] in [-1, 1] -> w_plus # [N, num_ws, w_dim].

    The heads' output is an offset from the mean face in standard deviations of w; they begin at zero, so an encoder
    that learned nothing returns the mean face.

    Args:
        architecture: Shape.
        statistics: Mean and standard deviation of w; None leaves them at 0 and 1, to be loaded.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, architecture: EncoderArchitecture, statistics: LatentStatistics | None = None) -> None:
        super().__init__()
        self.architecture = architecture
        widths = architecture.widths
        self.stem = nn.Conv2d(3, widths[0], 3, padding=1)
        self.blocks = nn.Sequential(*(_HalvingBlock(i, o) for i, o in pairwise(widths)))
        self.summary = nn.Linear(widths[-1] * COARSEST**2, architecture.features)
        self.heads = nn.Linear(architecture.features, architecture.num_ws * architecture.w_dim)
        nn.init.zeros_(self.heads.weight)
        nn.init.zeros_(self.heads.bias)
        shape = (architecture.num_ws, architecture.w_dim)
        self.register_buffer("mean", statistics.mean.float().clone() if statistics else torch.zeros(shape))
        self.register_buffer("std", statistics.std.float().clone() if statistics else torch.ones(shape))

    def forward(self, image: Tensor) -> Tensor:
        """Guess latents. # [N, 3, R, R] -> [N, num_ws, w_dim]."""
        x = self.stem(resampled(image, self.architecture.side))
        x = F.silu(self.blocks(x))  # [N, C, 4, 4]
        features = F.silu(self.summary(x.flatten(1)))  # [N, features]
        offset: Tensor = self.heads(features).unflatten(1, self.mean.shape)
        return self.mean + offset * self.std

    def each(self, images: Tensor) -> Tensor:
        """Guess latents one picture at a time: exactly what each gets alone, whatever its neighbours.

        Args:
            images: # [N, 3, R, R].

        Returns:
            # [N, num_ws, w_dim]; differentiable in ``images``.
        """
        return torch.cat([self(image[None]) for image in images])


class _HalvingBlock(nn.Module):
    """Half the resolution, another width: a shortcut plus what two convolutions add. # [N, I, S, S]."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm0, self.norm1 = _norm(in_channels), _norm(out_channels)
        self.conv0 = nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1)
        self.conv1 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        nn.init.zeros_(self.conv1.weight)  # Every block begins as its shortcut (Goyal et al., 2017, section 5.1).

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = self.conv0(F.silu(self.norm0(x)))
        added = self.conv1(F.silu(self.norm1(added)))
        shortcut: Tensor = self.shortcut(F.avg_pool2d(x, 2))
        return shortcut + added


def _norm(channels: int) -> nn.GroupNorm:
    groups = max(channels // GROUP, 1)
    return nn.GroupNorm(groups if channels % groups == 0 else 1, channels)
