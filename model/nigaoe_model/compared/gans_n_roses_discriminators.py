"""The discriminators of GANs N' Roses: of the pictures of a domain, and of style codes.

Chong & Forsyth, "GANs N' Roses: Stable, Controllable, Diverse Image to Image Translation", 2021. Both compare the
members of a batch, because a generator could otherwise draw every picture in the same style.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from nigaoe_model.compared.gans_n_roses_architecture import (
    DEVIATION_FEATURES,
    GLOBAL_SIZE,
    STYLE_LAYERS,
    STYLE_WIDTH,
    GansNRosesArchitecture,
)
from nigaoe_model.stylegan2.discriminator import ResidualBlock
from nigaoe_model.stylegan2.layers import ConvLayer, EqualLinear
from nigaoe_model.stylegan2.ops.activation import add_bias
from nigaoe_model.stylegan2.ops.resample import fir_kernel

DEVIATION_EPSILON = 1e-8


class PatchLogits(nn.Module):
    """One logit a position: a 1 x 1 convolution with bias. # [N, C, R, R] -> [N, 1, R, R]."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.conv = ConvLayer(in_channels, 1, 1, activate=False)
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return add_bias(self.conv(x), self.bias)


def batch_deviation(x: Tensor) -> Tensor:
    """Return the standard deviation of every feature over the batch; 1e-4, the root of epsilon, for equal rows.

    Args:
        x: # [N, F].

    Returns:
        # [1, F].
    """
    exact = x.to(torch.promote_types(x.dtype, torch.float32))  # epsilon is nothing beside 16-bit numbers
    return torch.sqrt(exact.var(dim=0, unbiased=False, keepdim=True) + DEVIATION_EPSILON)


class DeviationHead(nn.Module):
    """Judge how much the pictures of a batch differ. # [N, C, 8, 8] -> [N, 1], the same number for all."""

    def __init__(self, architecture: GansNRosesArchitecture) -> None:
        super().__init__()
        width = architecture.channels[4]
        kernel = fir_kernel(architecture.stylegan2.resample_filter)
        self.conv = ConvLayer(architecture.channels[GLOBAL_SIZE], width, 3, resample_kernel=kernel)
        self.fc = EqualLinear(16 * width, DEVIATION_FEATURES, activate=True)
        self.out = EqualLinear(DEVIATION_FEATURES, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logit of the batch, once a picture."""
        deviation = batch_deviation(self.fc(self.conv(x).flatten(1)))  # [1, F]
        logit: Tensor = self.out(deviation)
        return logit.expand(x.shape[0], 1)


class Tower(nn.Module):
    """FromRGB and residual blocks down to ``last`` pixels. # [N, 3, S, S] -> [N, C, last, last]."""

    def __init__(self, last: int, architecture: GansNRosesArchitecture) -> None:
        super().__init__()
        self.fromrgb = ConvLayer(3, architecture.channels[architecture.size], 1)
        resolutions = architecture.tower_resolutions(last)
        self.blocks = nn.ModuleDict({f"b{r}": ResidualBlock(r, architecture.stylegan2) for r in resolutions})

    def forward(self, image: Tensor) -> Tensor:
        """Return the features at ``last`` pixels."""
        x: Tensor = self.fromrgb(image)
        for block in self.blocks.values():
            x = block(x)
        return x


class GansNRosesDiscriminator(nn.Module):
    """Pictures of one domain to three outputs: local patches, global patches, deviation over the batch."""

    def __init__(self, architecture: GansNRosesArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.local_tower = Tower(architecture.local_size, architecture)
        self.local_logits = PatchLogits(architecture.channels[architecture.local_size])
        self.global_tower = Tower(GLOBAL_SIZE, architecture)
        self.global_logits = PatchLogits(architecture.channels[GLOBAL_SIZE])
        self.deviation = DeviationHead(architecture)
        # What the towers compute in; None: in the type of the pictures.
        self.reduced_dtype: torch.dtype | None = None

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Judge pictures # [N, 3, S, S] in [-1, 1]; large means real.

        Returns:
            Local # [N, 1, local_size, local_size], global # [N, 1, 8, 8], deviation # [N, 1].
        """
        shown = image if self.reduced_dtype is None else image.to(self.reduced_dtype)
        features = self.global_tower(shown)
        local, overall = self.local_logits(self.local_tower(shown)), self.global_logits(features)
        return local.to(image.dtype), overall.to(image.dtype), self.deviation(features).to(image.dtype)


class StyleDiscriminator(nn.Module):
    """Style codes to logits: does a code come from N(0, I)? # [N, latent_dim] -> [N, 1]; the batch is judged too."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        widths = [latent_dim] + [STYLE_WIDTH] * STYLE_LAYERS
        self.layers = nn.ModuleList(EqualLinear(i, o, activate=True) for i, o in pairwise(widths))
        self.fc = EqualLinear(STYLE_WIDTH + 1, STYLE_WIDTH, activate=True)
        self.out = EqualLinear(STYLE_WIDTH, 1)

    def forward(self, code: Tensor) -> Tensor:
        """Return one logit a code; the mean deviation over the batch is one of the features."""
        for layer in self.layers:
            code = layer(code)
        deviation = batch_deviation(code).mean().expand(code.shape[0], 1)
        logits: Tensor = self.out(self.fc(torch.cat([code, deviation], dim=1)))
        return logits
