"""The StyleGAN2 discriminator: residual blocks, minibatch standard deviation, one number a picture.

Karras et al. 2020, figure 7 (c); minibatch standard deviation from Karras et al. 2018, section 3.
"""

import math

import torch
from torch import Tensor, nn

from nigaoe_model.stylegan2.architecture import Architecture
from nigaoe_model.stylegan2.layers import ConvLayer, EqualLinear
from nigaoe_model.stylegan2.ops.resample import fir_kernel
from nigaoe_model.stylegan2.tags import tag

RESIDUAL_GAIN = 1.0 / math.sqrt(2.0)


class ResidualBlock(nn.Module):
    """Two convolutions beside a 1 x 1 shortcut, both halving the size. # [N, I, R, R] -> [N, O, R/2, R/2]."""

    def __init__(self, resolution: int, architecture: Architecture) -> None:
        super().__init__()
        width, wider = architecture.channels[resolution], architecture.channels[resolution // 2]
        kernel = fir_kernel(architecture.resample_filter)
        clamp = architecture.conv_clamp
        self.conv0 = ConvLayer(width, width, 3, clamp=clamp)
        self.conv1 = ConvLayer(width, wider, 3, resample_kernel=kernel, gain=RESIDUAL_GAIN, clamp=clamp)
        self.skip = ConvLayer(width, wider, 1, resample_kernel=kernel, activate=False, gain=RESIDUAL_GAIN)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of both paths at half the size."""
        shortcut: Tensor = self.skip(x)
        residual: Tensor = self.conv1(self.conv0(x))
        return shortcut + residual


def minibatch_standard_deviation(x: Tensor, group: int) -> Tensor:
    """Append one channel: the mean standard deviation over a group of samples.

    Args:
        x: # [N, C, H, W]; N must be a multiple of min(group, N).
        group: Samples that are compared with each other.

    Returns:
        # [N, C + 1, H, W].

    Raises:
        ValueError: N cannot be divided into groups.
    """
    batch, channels, height, width = x.shape
    group = min(group, batch)
    if batch % group:
        raise ValueError(f"a batch of {batch} cannot be divided into groups of {group}")
    grouped = x.reshape(group, batch // group, channels, height, width)
    deviation = torch.sqrt(grouped.var(dim=0, unbiased=False) + 1e-8)  # [N/G, C, H, W]
    statistic = deviation.mean(dim=(1, 2, 3)).reshape(-1, 1, 1, 1)  # [N/G, 1, 1, 1]
    return torch.cat([x, statistic.repeat(group, 1, height, width)], dim=1)


class Epilogue(nn.Module):
    """The 4 x 4 end: minibatch statistic, convolution, two fully connected layers. # [N, C, 4, 4] -> [N, 1]."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        width = architecture.channels[4]
        self.minibatch_std_group = architecture.minibatch_std_group
        self.conv = ConvLayer(width + 1, width, 3, clamp=architecture.conv_clamp)
        self.fc = EqualLinear(width * 16, width, activate=True)
        self.out = EqualLinear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return one logit a picture."""
        x = self.conv(minibatch_standard_deviation(x, self.minibatch_std_group))
        logits: Tensor = self.out(self.fc(x.flatten(1)))
        return logits


class Discriminator(nn.Module):
    """Pictures to logits. # [N, 3, R, R] in [-1, 1] -> [N, 1]; large means real.

    Tags: ``fromrgb``, ``b1024`` ... ``b8`` for the residual blocks, ``epilogue`` (FreezeD asks for them).
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.fromrgb = ConvLayer(3, architecture.channels[architecture.resolution], 1, clamp=architecture.conv_clamp)
        self.blocks = nn.ModuleDict({f"b{r}": ResidualBlock(r, architecture) for r in architecture.resolutions[:0:-1]})
        self.epilogue = Epilogue(architecture)
        # Blocks of at least `reduced_from` pixels compute in `reduced_dtype`; see `use_reduced_precision`.
        self.reduced_from: int | None = None
        self.reduced_dtype = torch.float32
        self._tag_parameters()

    def forward(self, image: Tensor) -> Tensor:
        """Return logits # [N, 1]. The minibatch statistic couples the samples of a batch."""
        logits: Tensor = self.epilogue(self.features(image)[-1].to(image.dtype))
        return logits

    def use_reduced_precision(self, dtype: torch.dtype, *, from_resolution: int) -> None:
        """Compute blocks of ``from_resolution`` and more in bf16 or fp16; the epilogue stays in float32."""
        self.reduced_from, self.reduced_dtype = from_resolution, dtype

    def features(self, image: Tensor) -> list[Tensor]:
        """Return the outputs of FromRGB and all residual blocks, fine to coarse.

        The minibatch statistic is left out: features of one picture never depend on its neighbours in the batch.
        """
        x = self.fromrgb(image.to(self._dtype(self.architecture.resolution, image.dtype)))
        taps = [x]
        for resolution, block in zip(self.architecture.resolutions[:0:-1], self.blocks.values(), strict=True):
            x = block(x.to(self._dtype(resolution, image.dtype)))
            taps.append(x)
        return taps

    def _dtype(self, resolution: int, default: torch.dtype) -> torch.dtype:
        reduced = self.reduced_from is not None and resolution >= self.reduced_from
        return self.reduced_dtype if reduced else default

    def _tag_parameters(self) -> None:
        tag(self.fromrgb, "fromrgb")
        for name, block in self.blocks.items():
            tag(block, name)
        tag(self.epilogue, "epilogue")
