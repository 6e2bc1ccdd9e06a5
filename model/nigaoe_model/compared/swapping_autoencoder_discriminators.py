"""The two discriminators of the Swapping Autoencoder: of whole pictures, and of patches beside patches.

Park et al., "Swapping Autoencoder for Deep Image Manipulation", 2020: section 3.2 and appendix A. The first one is
StyleGAN2's without the minibatch statistic; the second asks whether a patch belongs to the same picture as others.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from nigaoe_model.compared.swapping_autoencoder_architecture import PatchArchitecture
from nigaoe_model.compared.swapping_autoencoder_layers import FIR_TAPS, UnpaddedConv
from nigaoe_model.stylegan2.architecture import Architecture
from nigaoe_model.stylegan2.discriminator import RESIDUAL_GAIN, ResidualBlock
from nigaoe_model.stylegan2.layers import ConvLayer, EqualLinear
from nigaoe_model.stylegan2.ops.resample import fir_kernel

LAST_SIDE = 2
"""Side of a patch's last feature map: 4 pixels less what the unpadded convolution takes."""


class PictureDiscriminator(nn.Module):
    """Pictures to logits. # [N, 3, R, R] in [-1, 1] -> [N, 1]; large means real. Samples are judged one by one.

    Args:
        architecture: Resolution and channel table; the rest is a generator's.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        width = architecture.channels[4]
        self.fromrgb = ConvLayer(3, architecture.channels[architecture.resolution], 1)
        self.blocks = nn.Sequential(*(ResidualBlock(r, architecture) for r in architecture.resolutions[:0:-1]))
        self.conv = ConvLayer(width, width, 3)
        self.fc = EqualLinear(width * 16, width, activate=True)
        self.out = EqualLinear(width, 1)
        # What convolutions compute in; None: in the type of the pictures.
        self.reduced_dtype: torch.dtype | None = None

    def forward(self, image: Tensor) -> Tensor:
        """Return logits # [N, 1]."""
        x = self.conv(self.blocks(self.fromrgb(image.to(self.reduced_dtype or image.dtype))))
        logits: Tensor = self.out(self.fc(x.to(image.dtype).flatten(1)))
        return logits


class PatchResidualBlock(nn.Module):
    """Two convolutions beside a 1 x 1 shortcut. # [N, I, P, P] -> [N, O, P, P], or # [N, O, P/2, P/2]."""

    def __init__(self, in_channels: int, out_channels: int, *, halve: bool) -> None:
        super().__init__()
        kernel = fir_kernel(FIR_TAPS) if halve else None
        self.conv1 = ConvLayer(in_channels, in_channels, 3)
        self.conv2 = ConvLayer(in_channels, out_channels, 3, resample_kernel=kernel, gain=RESIDUAL_GAIN)
        self.skip = ConvLayer(in_channels, out_channels, 1, resample_kernel=kernel, activate=False, gain=RESIDUAL_GAIN)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of both paths."""
        residual: Tensor = self.conv2(self.conv1(x))
        shortcut: Tensor = self.skip(x)
        return residual + shortcut


class PatchDiscriminator(nn.Module):
    """Judge of whether a patch comes from the picture of the reference patches."""

    def __init__(self, architecture: PatchArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        widths = architecture.channels
        last = widths[-1]
        self.stem = ConvLayer(3, widths[0], 3)
        self.blocks = nn.Sequential(
            *(PatchResidualBlock(i, o, halve=True) for i, o in pairwise(widths)),
            PatchResidualBlock(last, 2 * last, halve=False),
            UnpaddedConv(2 * last, last),
        )
        pair = (2 * last * LAST_SIDE**2, *architecture.pair_widths)
        self.pair = nn.Sequential(
            *(EqualLinear(i, o, activate=True) for i, o in pairwise(pair)), EqualLinear(pair[-1], 1)
        )
        # What convolutions compute in; None: in the type of the patches.
        self.reduced_dtype: torch.dtype | None = None

    def features(self, patches: Tensor) -> Tensor:
        """Describe patches. # [..., 3, P, P] -> [..., F]."""
        x: Tensor = self.blocks(self.stem(patches.flatten(0, -4).to(self.reduced_dtype or patches.dtype)))
        return x.to(patches.dtype).reshape(*patches.shape[:-3], -1)

    def forward(self, patches: Tensor, reference: Tensor) -> Tensor:
        """Judge patches beside reference patches of the same number of pictures.

        Args:
            patches: # [N, K, 3, P, P].
            reference: Their features are averaged over each picture. # [N, L, 3, P, P].

        Returns:
            Logits # [N, K]; large means: from the same picture.
        """
        return self.compare(self.features(patches), self.features(reference))

    def compare(self, features: Tensor, reference: Tensor) -> Tensor:
        """The same from features # [N, K, F] and # [N, L, F]."""
        mean = reference.mean(dim=1, keepdim=True).expand_as(features)
        logits: Tensor = self.pair(torch.cat([mean, features], dim=2).flatten(0, 1))  # [N * K, 1]
        return logits.reshape(features.shape[:2])
