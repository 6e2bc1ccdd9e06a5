"""EfficientNet-Lite0 with its batch normalisations folded into its convolutions."""

import copy
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nigaoe_model.device import preferred_layout
from nigaoe_model.features import EfficientNetFeatures
from nigaoe_model.stylegan2.inference.linear_maps import Convolution, LinearMap, Pointwise, StridedConvolution


class FoldedConv(nn.Module):
    """A convolution with its batch normalisation folded in, and ReLU6 where it had one.

    Args:
        linear: The convolution, scaled by the normalisation.
        bias: What the normalisation adds. # [O].
        clip: Apply ReLU6.
    """

    bias: Tensor

    def __init__(self, linear: LinearMap, bias: Tensor, *, clip: bool) -> None:
        super().__init__()
        self.linear = linear
        self.register_buffer("bias", bias[:, None, None])
        self.clip = clip

    def forward(self, x: Tensor) -> Tensor:
        """Map # [N, I, H, W] to # [N, O, H', W']."""
        out: Tensor = _FoldedConv.apply(x, self.linear, self.bias, self.clip)
        return out


class _FoldedConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, linear: LinearMap, bias: Tensor, clip: bool) -> Tensor:  # noqa: FBT001 - by position
        out = linear(x).add_(bias)
        if clip:
            F.hardtanh_(out, 0.0, 6.0)
            ctx.save_for_backward(out)
        ctx.linear, ctx.clip = linear, clip
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        gradient = gradients[0]
        if ctx.clip:
            gradient = torch.ops.aten.hardtanh_backward(gradient, ctx.saved_tensors[0], 0.0, 6.0)
        return ctx.linear.adjoint(gradient), None, None, None


class FrozenFeatures:
    """A faster :class:`EfficientNetFeatures` for inference; later changes of its weights are not seen.

    Args:
        network: Its present weights are used.
        memory_format: Layout of activations; None chooses by device.
    """

    def __init__(self, network: EfficientNetFeatures, *, memory_format: torch.memory_format | None = None) -> None:
        self._layout = memory_format or preferred_layout(next(network.parameters()).device)
        self._network = copy.deepcopy(network)
        with torch.no_grad():
            _fold_batch_norms(self._network, self._layout)

    def __call__(self, image: Tensor) -> Sequence[Tensor]:
        """Return features, fine to coarse.

        Args:
            image: RGB in [-1, 1]. # [N, 3, S, S], S a multiple of 32.

        Raises:
            ValueError: The picture cannot be halved five times.
        """
        if image.shape[-1] % 32 or image.shape[-2] % 32:
            raise ValueError(f"the feature network needs sides that are multiples of 32, not {list(image.shape[-2:])}")
        features: list[Tensor] = self._network(image.contiguous(memory_format=self._layout))
        return features


@lru_cache(maxsize=4)
def frozen_features(network: EfficientNetFeatures) -> FrozenFeatures:
    """Return one :class:`FrozenFeatures` a network, however many engines share it."""
    return FrozenFeatures(network)


def _fold_batch_norms(network: nn.Module, layout: torch.memory_format) -> None:
    """Replace every pair of convolution and batch normalisation, as they follow each other in timm's blocks."""
    for block in list(network.modules()):
        for (conv_name, conv), (norm_name, norm) in pairwise(list(block.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(block, conv_name, _folded(conv, norm, layout))
                setattr(block, norm_name, nn.Identity())


def _folded(conv: nn.Conv2d, norm: nn.BatchNorm2d, layout: torch.memory_format) -> FoldedConv:
    assert norm.running_mean is not None  # noqa: S101 - narrows; timm's normalisations track statistics
    assert norm.running_var is not None  # noqa: S101 - the same
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    weight = conv.weight * scale[:, None, None, None]
    bias = norm.bias - norm.running_mean * scale
    return FoldedConv(_linear(conv, weight, layout), bias, clip=isinstance(getattr(norm, "act", None), nn.ReLU6))


def _linear(conv: nn.Conv2d, weight: Tensor, layout: torch.memory_format) -> LinearMap:
    if conv.kernel_size == (1, 1):
        return Pointwise(weight[:, :, 0, 0])
    if conv.stride == (1, 1):
        return Convolution(weight, groups=conv.groups, memory_format=layout)
    return StridedConvolution(weight, groups=conv.groups, memory_format=layout)
