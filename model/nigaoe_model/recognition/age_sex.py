"""Apparent age and sex of faces, by face-api.js's network; for measuring fairness alone.

Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions", 2017, made small. It classifies
pictures, never persons; no conversion depends on it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import torch.nn.functional as F
from torch import Tensor, nn

from nigaoe_core.bundled import AGE_GENDER
from nigaoe_model.recognition.face_network import FaceNetwork

SIDE: Final = 112
MAIN_BLOCKS: Final = 2


@dataclass(frozen=True, slots=True, eq=False)
class Appearance:
    """Apparent age and sex.

    Attributes:
        age: In years. # [N].
        male: Probability of looking male, 0..1. # [N].
    """

    age: Tensor
    male: Tensor


class AgeSex(FaceNetwork):
    """Face chips to age and sex; frozen.

    Args:
        path: safetensors file in face-api.js's names, convolutions as [O, I, k, k].

    Raises:
        BrokenCheckpoint: The weight file is missing, damaged or of another network.
    """

    def __init__(self, path: Path = AGE_GENDER) -> None:
        super().__init__()
        self.entry_flow = nn.ModuleDict(
            {
                "conv_in": nn.Conv2d(3, 32, 3, stride=2),
                "reduction_block_0": _Reduction(32, 64, rectifies_input=False),
                "reduction_block_1": _Reduction(64, 128),
            }
        )
        self.middle_flow = nn.ModuleDict({f"main_block_{number}": _Main(128) for number in range(MAIN_BLOCKS)})
        self.exit_flow = nn.ModuleDict(
            {"reduction_block": _Reduction(128, 256), "separable_conv": _Separable(256, 512)}
        )
        self.fc = nn.ModuleDict({"age": nn.Linear(512, 1), "gender": nn.Linear(512, 2)})
        self.load(path, "age and sex", _renamed)

    def forward(self, chips: Tensor) -> Appearance:
        """Classify faces. Chips: RGB in [-1, 1], framed by :func:`face_chips`. # [N, 3, 112, 112]."""
        x = F.relu(self.entry_flow["conv_in"](F.pad(self.normalised(chips), (0, 1, 0, 1))))
        for block in (self.entry_flow["reduction_block_0"], self.entry_flow["reduction_block_1"]):
            x = block(x)
        for block in self.middle_flow.values():
            x = block(x)
        x = F.relu(self.exit_flow["separable_conv"](self.exit_flow["reduction_block"](x)))
        x = F.avg_pool2d(x, 7).flatten(1)  # [N, 512]
        return Appearance(self.fc["age"](x)[:, 0], self.fc["gender"](x).softmax(dim=1)[:, 0])


class _Separable(nn.Module):
    """A 3 x 3 convolution a channel, then one that mixes channels."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels_in, channels_in, 3, padding=1, groups=channels_in, bias=False)
        self.pointwise = nn.Conv2d(channels_in, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.pointwise(self.depthwise(x))
        return mixed


class _Reduction(nn.Module):
    """Two separable convolutions and a maximum over 3 x 3 at every second place, beside a strided shortcut."""

    def __init__(self, channels_in: int, channels: int, *, rectifies_input: bool = True) -> None:
        super().__init__()
        self.rectifies_input = rectifies_input
        self.separable_conv0 = _Separable(channels_in, channels)
        self.separable_conv1 = _Separable(channels, channels)
        self.expansion_conv = nn.Conv2d(channels_in, channels, 1, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.separable_conv0(F.relu(x) if self.rectifies_input else x)
        y = self.separable_conv1(F.relu(y))
        # TensorFlow pads an even picture for a stride of two at its end alone.
        y = F.max_pool2d(F.pad(y, (0, 1, 0, 1), value=float("-inf")), 3, stride=2)
        reduced: Tensor = y + self.expansion_conv(x)
        return reduced


class _Main(nn.Module):
    """Three separable convolutions and a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.separable_conv0 = _Separable(channels, channels)
        self.separable_conv1 = _Separable(channels, channels)
        self.separable_conv2 = _Separable(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for separable in (self.separable_conv0, self.separable_conv1, self.separable_conv2):
            y = separable(F.relu(y))
        return x + y


def _renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return face-api.js's tensors by PyTorch's names."""
    state = {}
    for name, tensor in tensors.items():
        stem, _, kind = name.rpartition(".")
        if kind == "weights":
            state[f"{stem}.weight"] = tensor.T
        elif kind == "filters":
            state[f"{stem}.weight"] = tensor
        elif kind in ("depthwise_filter", "pointwise_filter"):
            state[f"{stem}.{kind.removesuffix('_filter')}.weight"] = tensor
        elif f"{stem}.pointwise_filter" in tensors:
            state[f"{stem}.pointwise.bias"] = tensor
        else:
            state[name] = tensor
    return state


@lru_cache(maxsize=2)
def shared_age_sex(device: str = "cpu") -> AgeSex:
    """Return one network a process and device: it is frozen, so all may share it."""
    return AgeSex().to(device)
