"""From 64 to 256 pixels: Real-ESRGAN's compact anime network.

Wang et al., "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic Data", 2021; the network is
its `realesr-animevideov3-x4`: convolutions and PReLUs at low resolution, one pixel shuffle, added to the nearest
neighbour.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from core.bundled import REALESR_ANIMEVIDEOV3
from core.errors import BrokenCheckpoint

FACTOR = 4
FEATURES = 64
HIDDEN_LAYERS = 16
# Each of the 18 convolutions sees one pixel further, so a tile with this margin equals the whole picture.
RECEPTIVE_RADIUS = HIDDEN_LAYERS + 2
DEFAULT_TILE = 256


class Upscaler(nn.Module):
    """Enlarge pictures four times. # [N, 3, H, W] -> [N, 3, 4H, 4W], RGB in [-1, 1].

    Args:
        path: safetensors file with the keys ``body.0`` ... ``body.34``.

    Raises:
        BrokenCheckpoint: The weight file is missing, damaged or of another network.
    """

    def __init__(self, path: Path = REALESR_ANIMEVIDEOV3) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, FEATURES, 3, padding=1), nn.PReLU(FEATURES)]
        for _ in range(HIDDEN_LAYERS):
            layers += [nn.Conv2d(FEATURES, FEATURES, 3, padding=1), nn.PReLU(FEATURES)]
        layers.append(nn.Conv2d(FEATURES, 3 * FACTOR**2, 3, padding=1))
        self.body = nn.Sequential(*layers)
        try:
            self.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()})
        except (OSError, SafetensorError, RuntimeError) as error:
            raise BrokenCheckpoint(f"The upscaler `{path}` cannot be read; reinstall Nigaoe.") from error
        self.eval().requires_grad_(requires_grad=False)

    @torch.no_grad()
    def forward(self, image: Tensor, tile: int = DEFAULT_TILE) -> Tensor:
        """Enlarge, tile by tile where the picture is larger than ``tile`` pixels a side.

        Tiles overlap by the network's receptive field, so the result does not depend on ``tile``.
        """
        height, width = image.shape[2:]
        if max(height, width) <= tile:
            return self._enlarge(image)
        result = image.new_empty(image.shape[0], 3, height * FACTOR, width * FACTOR)
        for top in range(0, height, tile):
            for left in range(0, width, tile):
                self._enlarge_tile(image, result, top, left, tile)
        return result

    def _enlarge_tile(self, image: Tensor, result: Tensor, top: int, left: int, tile: int) -> None:
        height, width = image.shape[2:]
        bottom, right = min(top + tile, height), min(left + tile, width)
        outer_top, outer_left = max(top - RECEPTIVE_RADIUS, 0), max(left - RECEPTIVE_RADIUS, 0)
        outer_bottom, outer_right = min(bottom + RECEPTIVE_RADIUS, height), min(right + RECEPTIVE_RADIUS, width)
        enlarged = self._enlarge(image[:, :, outer_top:outer_bottom, outer_left:outer_right])
        inner_top, inner_left = (top - outer_top) * FACTOR, (left - outer_left) * FACTOR
        inner_height, inner_width = (bottom - top) * FACTOR, (right - left) * FACTOR
        result[:, :, top * FACTOR : bottom * FACTOR, left * FACTOR : right * FACTOR] = enlarged[
            :, :, inner_top : inner_top + inner_height, inner_left : inner_left + inner_width
        ]

    def _enlarge(self, image: Tensor) -> Tensor:
        x = (image.clamp(-1, 1) + 1) / 2  # the network was trained on [0, 1]
        details = F.pixel_shuffle(self.body(x), FACTOR)
        return ((details + F.interpolate(x, scale_factor=FACTOR, mode="nearest")) * 2 - 1).clamp(-1, 1)
