"""From 64 to 256 pixels, in the way that a style's manifest entry names.

Networks that were made for anime draw crisp outlines, and where a style is soft they close eyes and cut lines into
cheeks. So each style says how its drawings are enlarged: by a network, by a share of it, or not by a network at all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from nigaoe_core.bundled import BUNDLED_WEIGHTS, REALESR_ANIMEVIDEOV3
from nigaoe_core.manifest import DEFAULT_UPSCALER, UpscalerName
from nigaoe_model.portrait.super_resolution import FACTOR, CompactUpscaler, ResidualDenseUpscaler

COMPACT_FILE: Final = REALESR_ANIMEVIDEOV3.name
LARGE_FILE: Final = "realesrgan-x4plus-anime.safetensors"


@dataclass(frozen=True, slots=True)
class Way:
    """How drawings are enlarged four times.

    Attributes:
        file: Weight file of the network; None: Lanczos interpolation alone.
        share: Share of the network's picture, the rest is Lanczos's: less means fewer and softer lines; 0..1.
        halved: Whether the network's picture is reduced by two and enlarged again, which softens its lines.
    """

    file: str | None = None
    share: float = 1.0
    halved: bool = False


WAYS: Final[Mapping[UpscalerName, Way]] = {
    "realesr-animevideov3": Way(COMPACT_FILE),
    "realesr-animevideov3-2x": Way(COMPACT_FILE, halved=True),
    "realesr-animevideov3-soft": Way(COMPACT_FILE, share=0.35),
    "realesrgan-x4plus-anime": Way(LARGE_FILE),
    "realesrgan-x4plus-anime-soft": Way(LARGE_FILE, share=0.5),
    "lanczos": Way(),
}
"""By the names that a manifest may use."""


class Upscaler:
    """Enlarges drawings four times; a network is read when it is first needed.

    Args:
        device: Where the networks compute.
        folders: Where weight files are looked for, before the bundled folder.
    """

    def __init__(self, device: torch.device | str = "cpu", folders: Sequence[Path] = ()) -> None:
        self.device = torch.device(device)
        self._folders = (*folders, BUNDLED_WEIGHTS)
        self._networks: dict[str, nn.Module] = {}

    def prepare(self, name: UpscalerName) -> None:
        """Read what enlarging in a way needs.

        Raises:
            BrokenCheckpoint: The network's weights are missing or damaged.
        """
        if (file := WAYS[name].file) is not None:
            self._network(file)

    @torch.no_grad()
    def __call__(self, drawings: Tensor, name: UpscalerName = DEFAULT_UPSCALER) -> Tensor:
        """Enlarge.

        Args:
            drawings: RGB in [-1, 1]. # [N, 3, H, W].
            name: In which way.

        Returns:
            RGB in [-1, 1]. # [N, 3, 4H, 4W].

        Raises:
            BrokenCheckpoint: The network's weights are missing or damaged.
        """
        way = WAYS[name]
        height, width = (side * FACTOR for side in drawings.shape[2:])
        if way.file is None:
            return resampled(drawings, height, width)
        enlarged: Tensor = self._network(way.file)(drawings)
        if way.halved:
            enlarged = resampled(resampled(enlarged, height // 2, width // 2), height, width)
        if way.share < 1:
            enlarged = torch.lerp(resampled(drawings, height, width), enlarged, way.share)
        return enlarged

    def _network(self, file: str) -> nn.Module:
        if file not in self._networks:
            paths = [folder / file for folder in self._folders]
            path = next((path for path in paths if path.is_file()), paths[0])
            network = CompactUpscaler(path) if file == COMPACT_FILE else ResidualDenseUpscaler(path)
            self._networks[file] = network.to(self.device)
        return self._networks[file]


def resampled(pictures: Tensor, height: int, width: int) -> Tensor:
    """Resample by Lanczos's windowed sinc, as Pillow does. # [N, 3, H, W] -> [N, 3, height, width] in [-1, 1]."""
    rows = _lanczos(pictures.shape[2], height).to(pictures)
    columns = _lanczos(pictures.shape[3], width).to(pictures)
    return (rows @ pictures @ columns.T).clamp(-1, 1)


@lru_cache(maxsize=16)
def _lanczos(before: int, after: int) -> Tensor:
    """Return the linear map that resampling is: Pillow's answer to every unit vector. # [after, before]."""
    unit_vectors = Image.fromarray(np.eye(before, dtype=np.float32))
    return torch.from_numpy(np.array(unit_vectors.resize((before, after), Image.Resampling.LANCZOS)))
