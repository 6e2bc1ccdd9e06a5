"""LPIPS as an eye of the objective, for whoever has its backbone's weights at hand.

Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", 2018, equation 1. Nothing is
downloaded: the files are torchvision's ``alexnet-owt-7be5be79.pth`` or ``vgg16-397923af.pth``, and the linear weights
``alex.pth`` or ``vgg.pth`` of LPIPS 0.1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Final, Literal

import torch
import torchvision
from torch import Tensor, nn

from nigaoe_core.errors import BrokenCheckpoint
from nigaoe_model.inversion.feature_distance import FeatureEye
from nigaoe_model.stylegan2.inference.linear_maps import in_pairs

Backbone = Literal["alex", "vgg"]

INPUT_SHIFT: Final = (-0.030, -0.088, -0.188)
INPUT_SCALE: Final = (0.458, 0.448, 0.450)


@dataclass(frozen=True, slots=True)
class _Layout:
    taps: tuple[int, ...]  # Indices into torchvision's `features` after which LPIPS looks.
    widths: tuple[int, ...]


_LAYOUTS: Final[Mapping[Backbone, _Layout]] = {
    "alex": _Layout((1, 4, 7, 9, 11), (64, 192, 384, 256, 256)),
    "vgg": _Layout((3, 8, 15, 22, 29), (64, 128, 256, 512, 512)),
}


def lpips_eye(backbone: Backbone, weights: Path, linear: Path | None = None, *, device: str = "cpu") -> FeatureEye:
    """Return LPIPS as an eye.

    Args:
        backbone: Which network.
        weights: torchvision's state dict of it.
        linear: LPIPS's linear weights; None weighs all channels the same (the paper's "baseline").
        device: Where to look.

    Raises:
        BrokenCheckpoint: A file is missing, damaged or of another network.
    """
    layout = _LAYOUTS[backbone]
    taps = _Taps(_network(backbone, weights), layout.taps)
    scales = None if linear is None else _linear_weights(linear, layout.widths)
    return FeatureEye(taps, channel_weights=scales, average_levels=False).to(device)


class _Taps(nn.Module):
    """The backbone's features # [N, 3, S, S] -> one # [N, C_l, H_l, W_l] a tap."""

    shift: Tensor
    scale: Tensor

    def __init__(self, features: nn.Sequential, taps: Sequence[int]) -> None:
        super().__init__()
        self.features = features[: taps[-1] + 1].eval().requires_grad_(requires_grad=False)
        self.taps = frozenset(taps)
        self.register_buffer("shift", torch.tensor(INPUT_SHIFT)[:, None, None])
        self.register_buffer("scale", torch.tensor(INPUT_SCALE)[:, None, None])

    def forward(self, image: Tensor) -> list[Tensor]:
        """Look at pictures in [-1, 1]."""
        x = (image - self.shift) / self.scale
        seen = []
        for index, layer in enumerate(self.features):
            x = in_pairs(layer, x)
            if index in self.taps:
                seen.append(x)
        return seen


def _network(backbone: Backbone, path: Path) -> nn.Sequential:
    build = torchvision.models.alexnet if backbone == "alex" else torchvision.models.vgg16
    network = build(weights=None)
    state = {name: tensor for name, tensor in _read(path).items() if name.startswith("features.")}
    try:
        network.load_state_dict(state | {k: v for k, v in network.state_dict().items() if k not in state})
    except RuntimeError as error:
        raise BrokenCheckpoint(f"`{path.name}` does not hold the weights of {backbone}.") from error
    if not state:
        raise BrokenCheckpoint(f"`{path.name}` does not hold the weights of {backbone}.")
    features: nn.Sequential = network.features
    for layer in features:
        if isinstance(layer, nn.ReLU):
            layer.inplace = False  # What a tap kept must not be overwritten.
    return features


def _linear_weights(path: Path, widths: Sequence[int]) -> list[Tensor]:
    state = _read(path)
    try:
        return [state[f"lin{level}.model.1.weight"].reshape(width) for level, width in enumerate(widths)]
    except (KeyError, RuntimeError) as error:
        raise BrokenCheckpoint(f"`{path.name}` does not hold LPIPS's linear weights for this backbone.") from error


def _read(path: Path) -> Mapping[str, Tensor]:
    try:
        state: Mapping[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, UnpicklingError) as error:
        raise BrokenCheckpoint(f"`{path}` cannot be read as a PyTorch state dict.") from error
    return state
