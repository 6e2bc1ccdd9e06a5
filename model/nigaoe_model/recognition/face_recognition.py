"""Face descriptors of 128 numbers, by dlib's face recognition network.

King, "High Quality Face Recognition with Deep Metric Learning", 2017: a ResNet of 29 layers, in the weights that
face-api.js ships. Descriptors of one person are nearer to each other than about 0.6, those of two are further apart.
"""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

import torch.nn.functional as F
from torch import Tensor, nn

from nigaoe_core.bundled import FACE_RECOGNITION
from nigaoe_model.recognition.face_network import FaceNetwork

SIDE: Final = 150
DESCRIPTOR: Final = 128
SAME_PERSON: Final = 0.6
"""Euclidean distance below which two descriptors are taken for one person's."""

_STAGES: Final = ((32, 3), (64, 3), (128, 2), (256, 2))
"""Channels and plain residual blocks of each stage; all but the first begin with a block that halves the picture."""


class FaceRecognition(FaceNetwork):
    """Face chips to descriptors; frozen.

    Args:
        path: safetensors file in face-api.js's names, convolutions as [O, I, k, k].

    Raises:
        BrokenCheckpoint: The weight file is missing, damaged or of another network.
    """

    def __init__(self, path: Path = FACE_RECOGNITION) -> None:
        super().__init__()
        self.conv32_down = nn.Conv2d(3, 32, 7, stride=2)
        self.names: list[str] = []
        before = 32
        for channels, count in _STAGES:
            if channels != before:
                self._add(f"conv{channels}_down", _Block(before, channels, halves=True))
            for number in range(1, count + 1):
                self._add(f"conv{channels}_{number}", _Block(channels, channels))
            before = channels
        self._add("conv256_down_out", _Block(256, 256, halves=True))
        self.fc = nn.Linear(256, DESCRIPTOR, bias=False)
        self.load(path, "face recognition", _folded)

    def forward(self, chips: Tensor) -> Tensor:
        """Describe faces.

        Args:
            chips: RGB in [-1, 1], framed by :func:`face_chips`. # [N, 3, 150, 150].

        Returns:
            # [N, 128].
        """
        x = F.max_pool2d(F.relu(self.conv32_down(self.normalised(chips))), 3, stride=2)
        for name in self.names:
            x = self.get_submodule(name)(x)
        descriptors: Tensor = self.fc(x.mean(dim=(2, 3)))
        return descriptors

    def _add(self, name: str, block: nn.Module) -> None:
        self.add_module(name, block)
        self.names.append(name)


class _Block(nn.Module):
    """Two convolutions and a shortcut; a block that halves pools its shortcut and adds zeros where it is too small."""

    def __init__(self, channels_in: int, channels: int, *, halves: bool = False) -> None:
        super().__init__()
        self.halves = halves
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride=2 if halves else 1, padding=0 if halves else 1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(F.relu(self.conv1(x)))
        shortcut = F.avg_pool2d(x, 2) if self.halves else x
        shape = [max(a, b) for a, b in zip(y.shape[1:], shortcut.shape[1:], strict=True)]
        return F.relu(_zero_padded(y, shape) + _zero_padded(shortcut, shape))


def _zero_padded(x: Tensor, shape: list[int]) -> Tensor:
    """Add zeros behind the last channel, at the bottom and at the right. # [N, C, H, W] -> [N, *shape]."""
    channels, height, width = (wanted - size for wanted, size in zip(shape, x.shape[1:], strict=True))
    return F.pad(x, (0, width, 0, height, 0, channels))


def _folded(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Fold each convolution's scale into it: ``scale.weights * (conv(x) + bias) + scale.biases``."""
    state = {"fc.weight": tensors["fc"].T}
    for name, kernel in tensors.items():
        if name.endswith(".conv.filters"):
            stem = name.removesuffix(".conv.filters")
            scale, shift = tensors[f"{stem}.scale.weights"], tensors[f"{stem}.scale.biases"]
            state[f"{stem}.weight"] = kernel * scale[:, None, None, None]
            state[f"{stem}.bias"] = tensors[f"{stem}.conv.bias"] * scale + shift
    return state


@lru_cache(maxsize=2)
def shared_face_recognition(device: str = "cpu") -> FaceRecognition:
    """Return one network a process and device: it is frozen, so all may share it."""
    return FaceRecognition().to(device)
