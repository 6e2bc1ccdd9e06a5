"""Layers with equalised learning rate, of which generator and discriminator consist.

Equalised learning rate (Karras et al. 2018, section 4.1): weights are stored with unit variance and scaled when used,
so that Adam moves every layer at the same pace.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nigaoe_model.stylegan2.architecture import Architecture
from nigaoe_model.stylegan2.ops.activation import add_bias, bias_leaky_relu
from nigaoe_model.stylegan2.ops.folding import downsampling_taps, folded_downsampling, folded_shortcut, pays
from nigaoe_model.stylegan2.ops.modulation import modulated_conv2d
from nigaoe_model.stylegan2.ops.resample import downsample2d, filter2d

NoiseMode = Literal["random", "fixed", "none"]

FOLDED_SIZE = 3
"""Side of the kernels that a filter is folded into."""


class EqualLinear(nn.Module):
    """Fully connected layer. # [N, in] -> [N, out].

    Args:
        in_features: Input width.
        out_features: Output width.
        bias_init: Start value of every bias.
        lr_multiplier: Factor on the layer's effective learning rate (0.01 in the mapping network).
        activate: Apply the leaky rectifier.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias_init: float = 0.0,
        lr_multiplier: float = 1.0,
        activate: bool = False,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((out_features,), bias_init / lr_multiplier))
        self.weight_gain = lr_multiplier / math.sqrt(in_features)
        self.bias_gain = lr_multiplier
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        """Map # [N, in] to # [N, out]."""
        weight = self.weight * self.weight_gain
        bias = self.bias * self.bias_gain
        if self.activate:
            return bias_leaky_relu(F.linear(x, weight.to(x.dtype)), bias)
        return F.linear(x, weight.to(x.dtype), bias.to(x.dtype))


class ModulatedConv2d(nn.Module):
    """Weights and style input of one modulated convolution; noise, bias and activation belong to its owner.

    Args:
        in_channels: Input channels, I.
        out_channels: Output channels, O.
        kernel_size: 1 or 3.
        w_dim: Width of the style vector.
        demodulate: False in ToRGB.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, w_dim: int, *, demodulate: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.affine = EqualLinear(w_dim, in_channels, bias_init=1.0)
        self.weight_gain = 1.0 / math.sqrt(in_channels * kernel_size**2)
        self.demodulate = demodulate

    def forward(self, x: Tensor, w: Tensor, up_kernel: Tensor | None = None, up_taps: Tensor | None = None) -> Tensor:
        """Convolve ``x`` # [N, I, H, W] under the style ``w`` # [N, w_dim]; see :func:`modulated_conv2d`."""
        style = self.affine(w)  # [N, I]
        weight = self.weight * self.weight_gain
        return modulated_conv2d(x, weight, style, demodulate=self.demodulate, up_kernel=up_kernel, up_taps=up_taps)


class StyledConv(nn.Module):
    """One layer of a synthesis block: modulated convolution, noise, bias, leaky rectifier."""

    noise_const: Tensor

    def __init__(self, in_channels: int, out_channels: int, resolution: int, architecture: Architecture) -> None:
        super().__init__()
        self.resolution = resolution
        self.clamp = architecture.conv_clamp
        self.conv = ModulatedConv2d(in_channels, out_channels, 3, architecture.w_dim)
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))

    def forward(
        self,
        x: Tensor,
        w: Tensor,
        noise: Tensor | NoiseMode,
        up_kernel: Tensor | None = None,
        up_taps: Tensor | None = None,
    ) -> Tensor:
        """Draw one layer. ``w`` # [N, w_dim]; ``noise`` a mode or maps # [N or 1, 1, R, R]."""
        x = self.conv(x, w, up_kernel, up_taps)
        noise_map = self._noise(noise, x)
        if noise_map is not None:
            x = x + noise_map.to(x.dtype) * self.noise_strength.to(x.dtype)
        return bias_leaky_relu(x, self.bias, clamp=self.clamp)

    def _noise(self, noise: Tensor | NoiseMode, x: Tensor) -> Tensor | None:
        if isinstance(noise, Tensor):
            return noise
        if noise == "random":
            return torch.randn(x.shape[0], 1, self.resolution, self.resolution, device=x.device, dtype=x.dtype)
        return self.noise_const if noise == "fixed" else None


class ToRGB(nn.Module):
    """Modulated 1 x 1 convolution to three channels, without demodulation."""

    def __init__(self, in_channels: int, architecture: Architecture) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(in_channels, 3, 1, architecture.w_dim, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(3))
        self.clamp = architecture.conv_clamp

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Map features # [N, C, R, R] to colours # [N, 3, R, R]."""
        return add_bias(self.conv(x, w), self.bias, clamp=self.clamp)


class ConvLayer(nn.Module):
    """Plain convolution of the discriminator, optionally filtered and strided down by two.

    Args:
        in_channels: Input channels, I.
        out_channels: Output channels, O.
        kernel_size: 1 or 3.
        resample_kernel: FIR kernel # [t, t]; when given the output is half as large.
        activate: Bias, leaky rectifier and clamp; without it the layer is a bare convolution.
        gain: Factor on the output, 1 / sqrt(2) in residual branches.
        clamp: See :func:`nigaoe_model.stylegan2.ops.activation.bias_leaky_relu`.

    Attributes:
        fold: Whether the filter becomes part of the convolution; None: where that pays
        (:mod:`nigaoe_model.stylegan2.ops.folding`).
    """

    resample_kernel: Tensor | None
    down_taps: Tensor | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        resample_kernel: Tensor | None = None,
        activate: bool = True,
        gain: float = 1.0,
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if activate else None
        self.register_buffer("resample_kernel", resample_kernel, persistent=False)
        down_taps = None
        if resample_kernel is not None and kernel_size == FOLDED_SIZE:
            down_taps = downsampling_taps(resample_kernel)
        self.register_buffer("down_taps", down_taps, persistent=False)
        self.fold: bool | None = None
        self.weight_gain = 1.0 / math.sqrt(in_channels * kernel_size**2)
        self.gain = gain
        self.clamp = clamp

    def forward(self, x: Tensor) -> Tensor:
        """Convolve # [N, I, H, W] to # [N, O, H, W], or # [N, O, H/2, W/2] when resampling."""
        x = self._convolve(x, self.weight * self.weight_gain)
        if self.bias is None:
            return x * self.gain
        return bias_leaky_relu(x, self.bias, gain=self.gain, clamp=self.clamp)

    def _convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        size, kernel = weight.shape[-1], self.resample_kernel
        if kernel is None:
            return F.conv2d(x, weight.to(x.dtype), padding=size // 2)
        fold = pays(x) if self.fold is None else self.fold
        if size == 1:
            # Filtering only the positions that the stride keeps gives the same numbers.
            return folded_shortcut(x, weight, kernel) if fold else F.conv2d(downsample2d(x, kernel), weight.to(x.dtype))
        if fold and self.down_taps is not None:
            return folded_downsampling(x, weight, self.down_taps)
        spare = kernel.shape[-1] - 2 + size - 1
        x = filter2d(x, kernel, padding=((spare + 1) // 2, spare // 2))
        return F.conv2d(x, weight.to(x.dtype), stride=2)
