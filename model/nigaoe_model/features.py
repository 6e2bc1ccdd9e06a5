"""Features of EfficientNet-Lite0, the network in whose features Nigaoe compares pictures.

Johnson et al., "Perceptual Losses for Real-Time Style Transfer", 2016, with an Apache-2.0 backbone; distances are
unit-normalised over channels as in Zhang et al., "The Unreasonable Effectiveness of Deep Features", 2018, equation 1.
Where pictures need gradients and weights do not, :class:`FrozenFeatures` is the same network with its batch
normalisations folded into its convolutions.
"""

import copy
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from nigaoe_core.bundled import EFFICIENTNET_LITE0
from nigaoe_core.errors import BrokenCheckpoint
from nigaoe_model.device import preferred_layout
from nigaoe_model.stylegan2.inference.linear_maps import Convolution, LinearMap, Pointwise, StridedConvolution

INPUT_MEAN, INPUT_STD = 0.498, 0.502
STRIDES = (2, 4, 8, 16, 32)
LEAST_SIDE = max(STRIDES)
"""Smaller pictures have no position left at the coarsest level: enlarge them first."""


class EfficientNetFeatures(nn.Module):
    """Frozen feature pyramid of EfficientNet-Lite0, always in evaluation mode.

    Args:
        path: safetensors file in timm's names.
        strides: Which levels to return, of 2, 4, 8, 16, 32; deeper blocks than the last one are dropped.

    Raises:
        BrokenCheckpoint: The weight file is missing, damaged or of another network.
    """

    mean: Tensor

    def __init__(self, path: Path = EFFICIENTNET_LITE0, *, strides: Sequence[int] = STRIDES) -> None:
        super().__init__()
        self.strides = tuple(strides)
        levels = [STRIDES.index(stride) for stride in self.strides]
        self.network = timm.create_model(
            "tf_efficientnet_lite0", pretrained=False, features_only=True, out_indices=levels
        )
        self._load(path)
        self.eval().requires_grad_(requires_grad=False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return features, fine to coarse.

        Args:
            image: RGB in [-1, 1]. # [N, 3, H, W], H and W at least 32.

        Returns:
            One # [N, C_s, H / s, W / s] for each stride s.
        """
        x = ((image + 1) / 2 - INPUT_MEAN) / INPUT_STD
        features: list[Tensor] = self.network(x)
        return features

    def train(self, mode: bool = True) -> "EfficientNetFeatures":  # noqa: ARG002, FBT001, FBT002 - nn.Module's signature
        """Stay in evaluation mode: batch statistics must never move."""
        return super().train(mode=False)

    def _load(self, path: Path) -> None:
        try:
            state = {name: tensor.float() for name, tensor in load_file(path).items()}
            wanted = self.network.state_dict()
            self.network.load_state_dict({name: state[name] for name in wanted if name in state}, strict=False)
        except (OSError, SafetensorError, RuntimeError) as error:
            raise BrokenCheckpoint(f"The feature network `{path}` cannot be read; reinstall Nigaoe.") from error
        counters = {name for name in wanted if name.endswith("num_batches_tracked")}
        if missing := wanted.keys() - state.keys() - counters:
            raise BrokenCheckpoint(f"`{path}` is no EfficientNet-Lite0: it lacks `{min(missing)}`.")


@lru_cache(maxsize=4)
def shared_features(strides: tuple[int, ...] = STRIDES, device: str = "cpu") -> EfficientNetFeatures:
    """Return one feature network a process, device and choice of levels: it is frozen, so all may share it."""
    return EfficientNetFeatures(strides=strides).to(device)


def unit_normalised(features: Tensor) -> Tensor:
    """Scale every position's feature vector to length one. # [N, C, H, W]."""
    return F.normalize(features, dim=1, eps=1e-6)


def feature_distance(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
    """Return the mean over levels and positions of the squared distance of unit feature vectors. # [N], 0..4."""
    levels = [
        (unit_normalised(a) - unit_normalised(b)).square().sum(dim=1).mean(dim=(1, 2))
        for a, b in zip(first, second, strict=True)
    ]
    return torch.stack(levels).mean(dim=0)


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
