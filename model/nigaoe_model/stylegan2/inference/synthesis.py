"""Synthesis network for inference, with everything precomputed that depends on frozen weights alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nigaoe_model.device import preferred_layout
from nigaoe_model.precision import check_support
from nigaoe_model.stylegan2.architecture import Architecture
from nigaoe_model.stylegan2.generator import Canvas, Synthesis, SynthesisBlock
from nigaoe_model.stylegan2.inference.linear_maps import Convolution, LinearMap, UpConvolution, rows_times
from nigaoe_model.stylegan2.layers import ModulatedConv2d, StyledConv, ToRGB
from nigaoe_model.stylegan2.ops.activation import LEAKY_GAIN, LEAKY_SLOPE
from nigaoe_model.stylegan2.ops.modulation import DEMODULATION_EPSILON


@dataclass(frozen=True, slots=True)
class _Storage:
    """Memory layout and type of weights and activations."""

    layout: torch.memory_format
    dtype: torch.dtype | None  # Of the convolutions' weights; None: as they come.


@dataclass(frozen=True, slots=True)
class _Affine:
    """From a style vector to the scale of each input channel."""

    matrix: Tensor  # [w_dim, I]
    bias: Tensor  # [I]

    @classmethod
    def of(cls, conv: ModulatedConv2d) -> "_Affine":
        affine = conv.affine
        matrix = (affine.weight * affine.weight_gain).t().contiguous()
        return cls(matrix, affine.bias * affine.bias_gain)

    def __call__(self, w: Tensor) -> Tensor:  # [N, w_dim] -> [N, I]
        return rows_times(w[:, None], self.matrix)[:, 0] + self.bias


@dataclass(frozen=True, slots=True)
class _Layer:
    """A styled convolution."""

    affine: _Affine
    linear: LinearMap
    energy: Tensor  # Squared norm of every filter a channel, transposed. [I, O]
    bias: Tensor  # With the rectifier's gain. [1, O, 1, 1]
    noise_strength: Tensor  # With the rectifier's gain. []
    fixed_shift: Tensor  # Bias and the generator's own noise. [1, O, R, R]
    layout: torch.memory_format
    clamp: float | None

    @classmethod
    def of(cls, layer: StyledConv, up_kernel: Tensor | None, storage: _Storage) -> "_Layer":
        weight = layer.conv.weight * layer.conv.weight_gain
        stored, memory_format = weight.to(storage.dtype or weight.dtype), storage.layout
        linear = (
            Convolution(stored, memory_format=memory_format)
            if up_kernel is None
            else UpConvolution(stored, up_kernel, memory_format=memory_format)
        )
        bias = (layer.bias * LEAKY_GAIN)[None, :, None, None]
        strength = layer.noise_strength * LEAKY_GAIN
        shift = (bias + layer.noise_const * strength).contiguous(memory_format=memory_format)
        energy = weight.square().sum(dim=(2, 3)).t().contiguous()
        return cls(_Affine.of(layer.conv), linear, energy, bias, strength, shift, memory_format, layer.clamp)

    def __call__(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        style = self.affine(w)
        energy = rows_times(style.square()[:, None], self.energy)[:, 0]  # [N, O]
        demodulation = torch.rsqrt(energy + DEMODULATION_EPSILON) * LEAKY_GAIN
        out = styled_layer(x, style, demodulation, self._shift(noise), self.linear)
        return out if self.clamp is None else out.clamp(-self.clamp, self.clamp)

    def _shift(self, noise: Tensor | None) -> Tensor:
        if noise is None:
            return self.fixed_shift
        return (self.bias + noise * self.noise_strength).contiguous(memory_format=self.layout)  # [N, O, R, R]


@dataclass(frozen=True, slots=True)
class _Colours:
    """A block's ToRGB."""

    affine: _Affine
    matrix: Tensor  # [I, 3]
    bias: Tensor  # [1, 3, 1, 1]
    clamp: float | None

    @classmethod
    def of(cls, torgb: ToRGB) -> "_Colours":
        weight = torgb.conv.weight * torgb.conv.weight_gain  # [3, I, 1, 1]
        matrix = weight[:, :, 0, 0].t().contiguous()
        return cls(_Affine.of(torgb.conv), matrix, torgb.bias[None, :, None, None], torgb.clamp)

    def __call__(self, x: Tensor, w: Tensor) -> Tensor:
        modulated = self.affine(w)[:, :, None] * self.matrix  # [N, I, 3]
        positions = x.permute(0, 2, 3, 1).contiguous()  # [N, R, R, I]
        # One product a picture row: the gradient's sum over positions is split here, not by a library's thread count.
        per_row = modulated[:, None].expand(-1, x.shape[2], -1, -1)  # [N, R, I, 3]
        rgb = torch.matmul(positions, per_row).permute(0, 3, 1, 2) + self.bias
        return rgb if self.clamp is None else rgb.clamp(-self.clamp, self.clamp)


@dataclass(frozen=True, slots=True)
class _Block:
    """All layers of one resolution."""

    resolution: int
    layers: Sequence[_Layer]
    colours: _Colours
    styles: range  # Which styles its layers and then its ToRGB read.

    @classmethod
    def of(cls, block: SynthesisBlock, architecture: Architecture, storage: _Storage) -> "_Block":
        first_kernel = block.resample_kernel if block.resolution > 4 else None
        kernels = [first_kernel, None]
        layers = [_Layer.of(conv, kernel, storage) for conv, kernel in zip(block.convs, kernels, strict=False)]
        return cls(block.resolution, layers, _Colours.of(block.torgb), architecture.layer_range(block.resolution))


class FrozenSynthesis:
    """Draws what a generator's synthesis network draws, for as long as its weights stay as they are.

    Args:
        synthesis: Its present weights are used; later changes are not seen.
        memory_format: Layout of activations; None chooses by device.
        dtype: Type in which convolutions compute, bf16 or fp16; None: the weights' own. Everything else stays exact.

    Raises:
        InvalidSettings: The generator's device has no instructions for ``dtype``.
    """

    def __init__(
        self,
        synthesis: Synthesis,
        *,
        memory_format: torch.memory_format | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.architecture = synthesis.architecture
        blocks = [synthesis.block(resolution) for resolution in self.architecture.resolutions]
        device = blocks[0].const.device
        if dtype is not None:
            check_support(dtype, device, setting="dtype", instead="None")
        layout = memory_format or preferred_layout(device)
        kernel = blocks[0].resample_kernel
        with torch.no_grad():
            self._const = blocks[0].const[None].contiguous(memory_format=layout)  # [1, C, 4, 4]
            self._blocks = [_Block.of(block, self.architecture, _Storage(layout, dtype)) for block in blocks]
            self._up_taps = (kernel * 4)[None, None].expand(3, 1, -1, -1).contiguous()

    def __call__(self, ws: Tensor, noise: Sequence[Tensor] | None = None, *, start: Canvas | None = None) -> Tensor:
        """Return raw pictures; differentiable in ``ws`` and ``noise``.

        Args:
            ws: # [N, num_ws, w_dim].
            noise: One # [N, 1, R_i, R_i] a convolution; None: the generator's own.
            start: Go on from here; what is drawn already is not drawn again.

        Returns:
            # [N, 3, R, R].
        """
        return self._drawn(ws, noise, start, self.architecture.resolution).image

    def up_to(self, resolution: int, ws: Tensor, noise: Sequence[Tensor] | None = None) -> Canvas:
        """Draw only the blocks up to ``resolution``; see :meth:`__call__`."""
        return self._drawn(ws, noise, None, resolution)

    def _drawn(self, ws: Tensor, noise: Sequence[Tensor] | None, start: Canvas | None, resolution: int) -> Canvas:
        maps: Iterator[Tensor | None] = repeat(None) if noise is None else iter(noise)
        x = self._const.expand(ws.shape[0], -1, -1, -1) if start is None else start.features
        image = None if start is None else start.image
        for block in self._blocks:
            if block.resolution > resolution:
                break
            own_maps = [next(maps) for _ in block.layers]
            if start is not None and block.resolution <= start.resolution:
                continue
            styles = iter(ws[:, block.styles.start : block.styles.stop].unbind(dim=1))
            for layer, noise_map in zip(block.layers, own_maps, strict=True):
                x = layer(x, next(styles), noise_map)
            rgb = block.colours(x, next(styles))
            image = rgb if image is None else rgb + self._doubled(image)
        assert image is not None  # noqa: S101 - there is always a 4 x 4 block
        return Canvas(resolution, x, image)

    def _doubled(self, image: Tensor) -> Tensor:
        return F.conv_transpose2d(image, self._up_taps, stride=2, padding=1, groups=3)


def styled_layer(x: Tensor, style: Tensor, demodulation: Tensor, shift: Tensor, linear: LinearMap) -> Tensor:
    """Modulate, convolve, demodulate, add noise and bias, rectify (Karras et al. 2020, figure 2 d).

    The rectifier's gain is already part of ``demodulation`` and ``shift``: a leaky rectifier passes positive factors.

    Args:
        x: # [N, I, H, W].
        style: # [N, I].
        demodulation: # [N, O].
        shift: Noise and bias. # [N or 1, O, H', W'].
        linear: The convolution.

    Returns:
        # [N, O, H', W'].
    """
    out: Tensor = _StyledLayer.apply(x, style, demodulation, shift, linear)
    return out


class _StyledLayer(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, style: Tensor, demodulation: Tensor, shift: Tensor, linear: LinearMap) -> Tensor:
        style, demodulation = style[:, :, None, None], demodulation[:, :, None, None]
        convolved = linear(x * style)
        out = F.leaky_relu_(torch.addcmul(shift, convolved, demodulation), LEAKY_SLOPE)
        ctx.save_for_backward(x, style, demodulation, convolved, out)
        ctx.linear = linear
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, Tensor, Tensor | None, None]:
        x, style, demodulation, convolved, out = ctx.saved_tensors
        shifted = torch.ops.aten.leaky_relu_backward(gradients[0], out, LEAKY_SLOPE, True)  # noqa: FBT003 - by position
        for_demodulation = (shifted * convolved).sum(dim=(2, 3))
        modulated = ctx.linear.adjoint(shifted * demodulation)
        for_style = (modulated * x).sum(dim=(2, 3))
        for_x = modulated.mul_(style) if ctx.needs_input_grad[0] else None
        return for_x, for_style, for_demodulation, shifted if ctx.needs_input_grad[3] else None, None
