"""Building blocks with equalised learning rate, shared by the generator and the discriminator.

Equalised learning rate (Karras et al. 2018, section 4.1): weights are stored with unit variance and scaled when used,
so that Adam moves every layer at the same pace.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.ops.activation import bias_leaky_relu
from model.ops.modulation import modulated_conv2d
from model.ops.resample import filter2d


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

    def forward(self, x: Tensor, w: Tensor, up_kernel: Tensor | None = None) -> Tensor:
        """Convolve ``x`` # [N, I, H, W] under the style ``w`` # [N, w_dim]."""
        style = self.affine(w)  # [N, I]
        return modulated_conv2d(
            x, self.weight * self.weight_gain, style, demodulate=self.demodulate, up_kernel=up_kernel
        )


class ConvLayer(nn.Module):
    """Plain convolution of the discriminator, optionally filtered and strided down by two.

    Args:
        in_channels: Input channels, I.
        out_channels: Output channels, O.
        kernel_size: 1 or 3.
        resample_kernel: FIR kernel # [t, t]; when given the output is half as large.
        activate: Bias, leaky rectifier and clamp; without it the layer is a bare convolution.
        gain: Factor on the output, 1 / sqrt(2) in residual branches.
        clamp: See :func:`model.ops.activation.bias_leaky_relu`.
    """

    resample_kernel: Tensor | None

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
        self.weight_gain = 1.0 / math.sqrt(in_channels * kernel_size**2)
        self.gain = gain
        self.clamp = clamp

    def forward(self, x: Tensor) -> Tensor:
        """Convolve # [N, I, H, W] to # [N, O, H, W], or # [N, O, H/2, W/2] when resampling."""
        x = self._convolve(x, (self.weight * self.weight_gain).to(x.dtype))
        if self.bias is None:
            return x * self.gain
        return bias_leaky_relu(x, self.bias, gain=self.gain, clamp=self.clamp)

    def _convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        size = weight.shape[-1]
        if self.resample_kernel is None:
            return F.conv2d(x, weight, padding=size // 2)
        spare = self.resample_kernel.shape[-1] - 2 + size - 1
        x = filter2d(x, self.resample_kernel, padding=((spare + 1) // 2, spare // 2))
        return F.conv2d(x, weight, stride=2)
