"""Features of EfficientNet-Lite0, the network in whose features Nigaoe compares pictures.

Johnson et al., "Perceptual Losses for Real-Time Style Transfer", 2016, with an Apache-2.0 backbone; distances are
unit-normalised over channels as in Zhang et al., "The Unreasonable Effectiveness of Deep Features", 2018, equation 1.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import timm
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from nigaoe_core.bundled import EFFICIENTNET_LITE0
from nigaoe_core.errors import BrokenCheckpoint

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
