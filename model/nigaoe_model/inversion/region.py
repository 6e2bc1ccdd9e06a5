"""Face region of an aligned crop: a soft mask from the alignment template alone.

Every crop of a template has its eyes and mouth in the same places, so head and hair are known without looking: an
ellipse around both. What lies outside keeps a small weight, since a background of a wholly wrong brightness would leak
into the hair.
"""

import torch
from torch import Tensor

from nigaoe_faces.align import AlignmentTemplate

ABOVE_EYES, BELOW_EYES = 1.55, 1.75
"""Top of the hair and tip of the chin, in distances from the eyes to the mouth."""

HALF_WIDTH = 1.5
"""Half the width of head and hair, in distances between the eyes."""

SOLID, FADED = 0.85, 1.25
"""Radii, in units of the ellipse, up to which the weight is whole and from which on it is the background's."""


def face_region(template: AlignmentTemplate, resolution: int, *, background: float = 0.1) -> Tensor:
    """Return the weight of every pixel of an aligned crop.

    Args:
        template: How the crop is framed.
        resolution: Side of the crop, R.
        background: Weight far away from the head, 0..1.

    Returns:
        # [1, R, R] in [background, 1].
    """
    left_eye, right_eye, _, left_mouth, right_mouth = (torch.from_numpy(p) for p in template.points(resolution))
    eyes, mouth = (left_eye + right_eye) / 2, (left_mouth + right_mouth) / 2
    across, down = right_eye - left_eye, mouth - eyes  # [2], x and y in pixels
    middle = eyes + down * (BELOW_EYES - ABOVE_EYES) / 2
    half_width, half_height = across.norm() * HALF_WIDTH, down.norm() * (ABOVE_EYES + BELOW_EYES) / 2
    centres = torch.arange(resolution, dtype=torch.float64) + 0.5
    x, y = (centres - middle[0]) / half_width, (centres - middle[1]) / half_height
    radius = torch.hypot(x[None, :], y[:, None])  # [R, R]
    fade = ((radius - SOLID) / (FADED - SOLID)).clamp(0, 1)
    weight = 1 - fade.square() * (3 - 2 * fade) * (1 - background)  # smooth at both ends
    return weight.float()[None]
