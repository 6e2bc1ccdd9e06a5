"""Two networks of Real-ESRGAN that enlarge drawings four times.

Wang et al., "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic Data", 2021. The compact one
computes at low resolution throughout; the large one is Wang et al., "ESRGAN: Enhanced Super-Resolution Generative
Adversarial Networks", 2018, with six blocks. Both take and return RGB in [-1, 1]; they were trained on [0, 1].
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from nigaoe_core.errors import BrokenCheckpoint

FACTOR = 4
FEATURES = 64
COMPACT_LAYERS = 16
# Each of the 18 convolutions sees one pixel further, so a tile with this margin equals the whole picture.
COMPACT_RADIUS = COMPACT_LAYERS + 2
DEFAULT_TILE = 256

DENSE_BLOCKS = 6
GROWTH = 32
RESIDUAL_SCALE = 0.2
NEGATIVE_SLOPE = 0.2


class CompactUpscaler(nn.Module):
    """`realesr-animevideov3`: convolutions and PReLUs, one pixel shuffle, added to the nearest neighbour.

    Args:
        path: safetensors file with the keys ``body.0`` ... ``body.34``.

    Raises:
        BrokenCheckpoint: The weight file is missing, damaged or of another network.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        layers: list[nn.Module] = [_conv(3, FEATURES), nn.PReLU(FEATURES)]
        for _ in range(COMPACT_LAYERS):
            layers += [_conv(FEATURES, FEATURES), nn.PReLU(FEATURES)]
        layers.append(_conv(FEATURES, 3 * FACTOR**2))
        self.body = nn.Sequential(*layers)
        _load(self, path)

    @torch.no_grad()
    def forward(self, image: Tensor, tile: int = DEFAULT_TILE) -> Tensor:
        """Enlarge, tile by tile where the picture is larger than ``tile`` pixels a side.

        Tiles overlap by the network's receptive field, so the result does not depend on ``tile``.

        Args:
            image: # [N, 3, H, W].
            tile: Side of a tile in pixels.

        Returns:
            # [N, 3, 4H, 4W].
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
        outer_top, outer_left = max(top - COMPACT_RADIUS, 0), max(left - COMPACT_RADIUS, 0)
        outer_bottom, outer_right = min(bottom + COMPACT_RADIUS, height), min(right + COMPACT_RADIUS, width)
        enlarged = self._enlarge(image[:, :, outer_top:outer_bottom, outer_left:outer_right])
        inner_top, inner_left = (top - outer_top) * FACTOR, (left - outer_left) * FACTOR
        inner_height, inner_width = (bottom - top) * FACTOR, (right - left) * FACTOR
        result[:, :, top * FACTOR : bottom * FACTOR, left * FACTOR : right * FACTOR] = enlarged[
            :, :, inner_top : inner_top + inner_height, inner_left : inner_left + inner_width
        ]

    def _enlarge(self, image: Tensor) -> Tensor:
        x = _to_unit(image)
        details = F.pixel_shuffle(self.body(x), FACTOR)
        return _from_unit(details + F.interpolate(x, scale_factor=FACTOR, mode="nearest"))


class ResidualDenseUpscaler(nn.Module):
    """`realesrgan-x4plus-anime`: residual-in-residual dense blocks, then twice nearest neighbour and a convolution.

    Args:
        path: safetensors file in BasicSR's names.

    Raises:
        BrokenCheckpoint: The weight file is missing, damaged or of another network.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.conv_first = _conv(3, FEATURES)
        self.body = nn.Sequential(*(_ResidualOfResiduals() for _ in range(DENSE_BLOCKS)))
        self.conv_body = _conv(FEATURES, FEATURES)
        self.conv_up1 = _conv(FEATURES, FEATURES)
        self.conv_up2 = _conv(FEATURES, FEATURES)
        self.conv_hr = _conv(FEATURES, FEATURES)
        self.conv_last = _conv(FEATURES, 3)
        _load(self, path)

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        """Enlarge. # [N, 3, H, W] -> [N, 3, 4H, 4W]."""
        x = self.conv_first(_to_unit(image))
        x = x + self.conv_body(self.body(x))
        for conv in (self.conv_up1, self.conv_up2):
            x = _rectified(conv(F.interpolate(x, scale_factor=2, mode="nearest")))
        return _from_unit(self.conv_last(_rectified(self.conv_hr(x))))


class _ResidualOfResiduals(nn.Module):
    """Three dense blocks; what they change is added at a fifth."""

    def __init__(self) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = _DenseBlock(), _DenseBlock(), _DenseBlock()

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.rdb3(self.rdb2(self.rdb1(x)))
        return x + RESIDUAL_SCALE * changed


class _DenseBlock(nn.Module):
    """Five convolutions, each of which sees what all earlier ones found."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = _conv(FEATURES, GROWTH)
        self.conv2 = _conv(FEATURES + GROWTH, GROWTH)
        self.conv3 = _conv(FEATURES + 2 * GROWTH, GROWTH)
        self.conv4 = _conv(FEATURES + 3 * GROWTH, GROWTH)
        self.conv5 = _conv(FEATURES + 4 * GROWTH, FEATURES)

    def forward(self, x: Tensor) -> Tensor:
        known = x
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            known = torch.cat([known, _rectified(conv(known))], dim=1)
        changed: Tensor = self.conv5(known)
        return x + RESIDUAL_SCALE * changed


def _conv(channels_in: int, channels_out: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, padding=1)


def _rectified(x: Tensor) -> Tensor:
    return F.leaky_relu(x, NEGATIVE_SLOPE)


def _to_unit(image: Tensor) -> Tensor:
    return (image.clamp(-1, 1) + 1) / 2


def _from_unit(x: Tensor) -> Tensor:
    return (x * 2 - 1).clamp(-1, 1)


def _load(network: nn.Module, path: Path) -> None:
    try:
        network.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()})
    except (OSError, SafetensorError, RuntimeError) as error:
        raise BrokenCheckpoint(
            f"The upscaler's weights `{path}` cannot be read; put its file there, or choose another upscaler in the "
            "style's manifest entry (see docs/weights.md)."
        ) from error
    network.eval().requires_grad_(requires_grad=False)
