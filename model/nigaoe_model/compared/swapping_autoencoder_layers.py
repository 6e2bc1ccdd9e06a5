"""Layers and blocks of the Swapping Autoencoder that StyleGAN2 does not have, in both flavours.

Park et al., "Swapping Autoencoder for Deep Image Manipulation", 2020, appendix A; Karras et al. 2020 for the rest.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nigaoe_model.compared.swapping_autoencoder_architecture import SwappingAutoencoderArchitecture
from nigaoe_model.stylegan2.discriminator import RESIDUAL_GAIN
from nigaoe_model.stylegan2.layers import ConvLayer, ModulatedConv2d, NoiseMode
from nigaoe_model.stylegan2.ops.activation import add_bias, bias_leaky_relu
from nigaoe_model.stylegan2.ops.folding import pays, upsampling_taps
from nigaoe_model.stylegan2.ops.modulation import DEMODULATION_EPSILON, modulated_conv2d
from nigaoe_model.stylegan2.ops.resample import filter2d, fir_kernel

FIR_TAPS = (1.0, 3.0, 3.0, 1.0)
OFFICIAL_ENCODER_TAPS = (1.0, 2.0, 1.0)


class ReflectedConv(ConvLayer):
    """:class:`ConvLayer` at whose border the picture is mirrored, with filters of any number of taps."""

    def _convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        size, kernel = weight.shape[-1], self.resample_kernel
        if kernel is None:
            return F.conv2d(F.pad(x, (size // 2,) * 4, mode="reflect"), weight.to(x.dtype))
        spare = kernel.shape[-1] - 2 + size - 1
        before, after = (spare + 1) // 2, spare // 2
        x = filter2d(F.pad(x, (before, after, before, after), mode="reflect"), kernel, padding=(0, 0))
        return F.conv2d(x, weight.to(x.dtype), stride=2)


class UnpaddedConv(ConvLayer):
    """:class:`ConvLayer` without padding. # [N, I, H, W] -> [N, O, (H - k) / stride + 1, ...].

    Args:
        in_channels: Input channels, I.
        out_channels: Output channels, O.
        stride: Of the convolution, whose kernel has k = 3.
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, 3)
        self.stride = stride

    def _convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.conv2d(x, weight.to(x.dtype), stride=self.stride)


class LinearConv(ConvLayer):
    """1 x 1 convolution with a bias and no rectifier. # [N, I, H, W] -> [N, O, H, W]."""

    bias: nn.Parameter

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map every position linearly."""
        return add_bias(self._convolve(x, self.weight * self.weight_gain), self.bias)


class EncoderBlock(nn.Module):
    """Two convolutions beside a 1 x 1 shortcut, both halving the size. # [N, I, R, R] -> [N, O, R/2, R/2]."""

    def __init__(self, in_channels: int, out_channels: int, *, is_official: bool) -> None:
        super().__init__()
        halving = ReflectedConv if is_official else ConvLayer
        kernel = fir_kernel(OFFICIAL_ENCODER_TAPS if is_official else FIR_TAPS)
        between = in_channels if is_official else out_channels
        self.conv1 = ReflectedConv(in_channels, between, 3)
        self.conv2 = halving(between, out_channels, 3, resample_kernel=kernel, gain=RESIDUAL_GAIN)
        self.skip = halving(in_channels, out_channels, 1, resample_kernel=kernel, activate=False, gain=RESIDUAL_GAIN)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of both paths at half the size."""
        residual: Tensor = self.conv2(self.conv1(x))
        shortcut: Tensor = self.skip(x)
        return residual + shortcut


class PlainDemodulatedConv(ModulatedConv2d):
    """The paper's own modulation: a style of unit RMS scales the input, and weights are demodulated without it.

    Unlike StyleGAN2's demodulation, what the style does to the output's variance is left in.
    """

    def forward(self, x: Tensor, w: Tensor, up_kernel: Tensor | None = None, up_taps: Tensor | None = None) -> Tensor:
        """Convolve ``x`` # [N, I, H, W] under the texture ``w`` # [N, texture_dim]."""
        style, weight = self.affine(w), self.weight * self.weight_gain
        if self.demodulate:
            style = style * torch.rsqrt(style.square().mean(dim=1, keepdim=True) + DEMODULATION_EPSILON)
            norm = weight.square().sum(dim=(1, 2, 3), keepdim=True)
            weight = weight * torch.rsqrt(norm + DEMODULATION_EPSILON)
        return modulated_conv2d(x, weight, style, demodulate=False, up_kernel=up_kernel, up_taps=up_taps)


class TexturedConv(nn.Module):
    """One layer of the generator: modulated 3 x 3 convolution, noise, bias, leaky rectifier.

    Args:
        in_channels: Input channels, I.
        out_channels: Output channels, O.
        size: Side of the output in pixels.
        architecture: Of the network.
        seed: Of the fixed noise map, which no checkpoint stores.
        up: Double the size.
    """

    noise_const: Tensor
    up_kernel: Tensor | None
    up_taps: Tensor | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: int,
        architecture: SwappingAutoencoderArchitecture,
        *,
        seed: int,
        up: bool = False,
    ) -> None:
        super().__init__()
        modulated = PlainDemodulatedConv if architecture.is_official else ModulatedConv2d
        self.conv = modulated(in_channels, out_channels, 3, architecture.texture_dim)
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        noise = torch.randn(size, size, generator=torch.Generator().manual_seed(seed), device="cpu")
        self.register_buffer("noise_const", noise, persistent=False)
        kernel = fir_kernel(FIR_TAPS) if up else None
        self.register_buffer("up_kernel", kernel, persistent=False)
        self.register_buffer("up_taps", None if kernel is None else upsampling_taps(kernel), persistent=False)

    def forward(self, x: Tensor, texture: Tensor, noise: NoiseMode) -> Tensor:
        """Map # [N, I, H, W] under ``texture`` # [N, texture_dim] to # [N, O, H, W], or twice the size."""
        x = self.conv(x, texture, self.up_kernel, self.up_taps if pays(x) else None)
        if noise != "none":
            drawn = noise == "random"
            maps = torch.randn_like(x[:, :1]) if drawn else self.noise_const.to(x.dtype)
            x = x + maps * self.noise_strength.to(x.dtype)
        return bias_leaky_relu(x, self.bias)


class OfficialSkip(nn.Module):
    """Shortcut of the paper's generator: 1 x 1 convolution and rectifier where the width changes, bilinear doubling."""

    def __init__(self, in_channels: int, out_channels: int, *, up: bool) -> None:
        super().__init__()
        self.up = up
        changes = in_channels != out_channels
        self.conv = ConvLayer(in_channels, out_channels, 1, activate=False) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        """Map # [N, I, H, W] to # [N, O, H, W], or # [N, O, 2H, 2W]."""
        if self.conv is not None:
            x = bias_leaky_relu(self.conv(x), None)
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False) if self.up else x


class RosinalitySkip(nn.Module):
    """Shortcut of rosinality's generator: 1 x 1 convolution, or a transposed one of stride 2 with a filter of sum 1."""

    up_kernel: Tensor | None

    def __init__(self, in_channels: int, out_channels: int, *, up: bool) -> None:
        super().__init__()
        shape = (in_channels, out_channels) if up else (out_channels, in_channels)
        self.weight = nn.Parameter(torch.randn(*shape, 1, 1))
        self.weight_gain = 1.0 / math.sqrt(in_channels)
        self.register_buffer("up_kernel", fir_kernel(FIR_TAPS) if up else None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map # [N, I, H, W] to # [N, O, H, W], or # [N, O, 2H, 2W]."""
        weight = (self.weight * self.weight_gain).to(x.dtype)
        if self.up_kernel is None:
            return F.conv2d(x, weight)
        return filter2d(F.conv_transpose2d(x, weight, stride=2), self.up_kernel, padding=(2, 2))


class GeneratorBlock(nn.Module):
    """Two modulated convolutions beside a shortcut. # [N, I, R, R] -> [N, O, R, R], or # [N, O, 2R, 2R]."""

    def __init__(
        self, widths: tuple[int, int], size: int, architecture: SwappingAutoencoderArchitecture, *, seed: int, up: bool
    ) -> None:
        super().__init__()
        narrow, wide = widths
        self.conv1 = TexturedConv(narrow, wide, size, architecture, seed=2 * seed, up=up)
        self.conv2 = TexturedConv(wide, wide, size, architecture, seed=2 * seed + 1)
        skip = OfficialSkip if architecture.is_official else RosinalitySkip
        self.skip = skip(narrow, wide, up=up)

    def forward(self, x: Tensor, texture: Tensor, noise: NoiseMode) -> Tensor:
        """Return the sum of both paths, divided by sqrt(2)."""
        residual: Tensor = self.conv2(self.conv1(x, texture, noise), texture, noise)
        shortcut: Tensor = self.skip(x)
        return (residual + shortcut) * RESIDUAL_GAIN


class OfficialToRGB(nn.Module):
    """Modulated 1 x 1 convolution to three channels, without demodulation."""

    def __init__(self, in_channels: int, texture_dim: int) -> None:
        super().__init__()
        self.conv = PlainDemodulatedConv(in_channels, 3, 1, texture_dim, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor, texture: Tensor) -> Tensor:
        """Map features # [N, C, R, R] to colours # [N, 3, R, R]."""
        return add_bias(self.conv(x, texture), self.bias)
