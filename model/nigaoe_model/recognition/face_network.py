"""Parts that face networks share: face chips, their normalisation, and weight files of face-api.js."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from nigaoe_core.errors import BrokenCheckpoint
from nigaoe_faces.align import AlignmentTemplate

MEAN_RGB: Final = (122.782, 117.001, 104.298)
SCALE: Final = 256
"""Of values 0..255, in all networks of face-api.js."""

EYES_TO_MOUTH: Final = 0.45
"""Distance of eyes and mouth in a chip's side; with the centre's place below dlib's framing, as face-api.js cuts it."""

CENTRE: Final = (0.5, 0.43)
"""Position of the mean of both eyes and the mouth in a chip: across, down."""


def face_chips(pictures: Tensor, template: AlignmentTemplate, side: int) -> Tensor:
    """Cut chips out of aligned pictures; beyond an edge its pixels are repeated.

    Args:
        pictures: # [N, 3, R, R].
        template: How they are aligned.
        side: Of a chip in pixels.

    Returns:
        # [N, 3, side, side].
    """
    left, top, width = chip_box(template)
    scaled = F.interpolate(pictures, size=round(side / width), mode="bicubic", antialias=True, align_corners=False)
    whole = scaled.shape[-1]
    x, y = round(left * whole), round(top * whole)
    before_x, before_y = max(-x, 0), max(-y, 0)
    after_x, after_y = max(x + side - whole, 0), max(y + side - whole, 0)
    padded = F.pad(scaled, (before_x, after_x, before_y, after_y), mode="replicate")
    x, y = x + before_x, y + before_y
    return padded[:, :, y : y + side, x : x + side].clamp(-1, 1)


def chip_box(template: AlignmentTemplate) -> tuple[float, float, float]:
    """Return left edge, top edge and side of the chip in shares of an aligned picture's side."""
    points = template.points(1)
    left_eye, right_eye, mouth = points[0], points[1], (points[3] + points[4]) / 2
    distance = (np.linalg.norm(mouth - left_eye) + np.linalg.norm(mouth - right_eye)) / 2
    width = float(distance) / EYES_TO_MOUTH
    centre = (left_eye + right_eye + mouth) / 3
    return float(centre[0]) - CENTRE[0] * width, float(centre[1]) - CENTRE[1] * width, width


class FaceNetwork(nn.Module):
    """Base of frozen networks that read face chips."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN_RGB).reshape(3, 1, 1), persistent=False)

    def normalised(self, chips: Tensor) -> Tensor:
        """Return the network's input. # [N, 3, side, side] in [-1, 1]."""
        return ((chips + 1) * 127.5 - self.mean) / SCALE

    def load(self, path: Path, what: str, renamed: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]) -> None:
        """Fill and freeze the network.

        Args:
            path: safetensors file in face-api.js's names, convolutions as [O, I, k, k].
            what: What the network is called in an error.
            renamed: From a file's tensors to the state dict.

        Raises:
            BrokenCheckpoint: The file is missing, damaged or of another network.
        """
        try:
            self.load_state_dict(renamed({name: tensor.float() for name, tensor in load_file(path).items()}))
        except (OSError, SafetensorError, RuntimeError, KeyError) as error:
            raise BrokenCheckpoint(f"The {what} network `{path}` cannot be read; reinstall Nigaoe.") from error
        self.eval().requires_grad_(requires_grad=False)
