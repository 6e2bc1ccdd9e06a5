"""Framing of references: anime pictures whose style or texture a feed-forward style takes over.

MTCNN has learned human faces. It finds some drawn ones, those with human proportions, and misses most: of the twelve
sample drawings of the bundled styles it finds the four softly painted ones and none of the eight others. So a face that
it is sure of is framed like a photo's; of any other picture a square is taken, as such pictures are usually composed,
and only one that can hold no drawing at all is refused.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from nigaoe_core.errors import ReferenceWithoutFace
from nigaoe_faces.align import AlignmentTemplate, align_face, crop_aligned, square_box_alignment
from nigaoe_faces.detect import FaceDetector

SURE: Final = 0.95
"""Certainty of the detector from which a find in a drawing is taken for its face."""

LEAST_DEVIATION: Final = 4.0
"""Standard deviation of colours, in 0..255, below which a picture is blank."""


def frame_reference(
    rgb: NDArray[np.uint8], template: AlignmentTemplate, resolution: int, detector: FaceDetector
) -> NDArray[np.uint8]:
    """Frame a reference for a style: its face, where one is found, else a square.

    Args:
        rgb: # [H, W, 3], sRGB.
        template: The style's framing.
        resolution: Side of the crop in pixels.
        detector: Finds faces.

    Returns:
        # [resolution, resolution, 3].

    Raises:
        ReferenceWithoutFace: It is blank.
    """
    faces = [face for face in detector.detect(rgb) if face.confidence >= SURE]
    if faces:
        crop, _ = align_face(rgb, max(faces, key=lambda face: face.size).landmarks, template, resolution)
        return crop
    crop = crop_aligned(rgb, square_box_alignment(_square(rgb), resolution))
    if crop.std(axis=(0, 1)).max() < LEAST_DEVIATION:
        raise ReferenceWithoutFace("The reference is blank; send a picture of an anime face.")
    return crop


def _square(rgb: NDArray[np.uint8]) -> tuple[float, float, float, float]:
    """Return the middle of a wide picture, and the upper end of a tall one: portraits have the head there."""
    height, width, _ = rgb.shape
    side = min(height, width)
    left = (width - side) / 2
    return (left, 0.0, left + side, float(side))
