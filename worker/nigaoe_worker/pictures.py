"""What a finished job stores: the portrait, and that from which the other pictures are made on request."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nigaoe_core.store.blob_store import ANIMATION, COMPARE, FRAMES, PASTED, PERSON, RESULT_PNG, RESULT_WEBP
from nigaoe_faces.align import AlignmentTemplate, align_face, paste_back
from nigaoe_faces.encoding import encode_jpeg
from nigaoe_faces.result_encoder import COMPOSITE, ResultEncoder
from nigaoe_model.pixels import to_rgb
from nigaoe_model.portrait.drawing import Portrait
from nigaoe_worker.job_blobs import JobBlobs

Picture = NDArray[np.uint8]

FRAME_QUALITY: Final = 95
"""The film is compressed further, so nobody sees this; without loss it would take fifteen times as long."""


@dataclass(frozen=True)
class PhotoFrame:
    """Where a face came from, so that its portrait can be pasted back.

    Attributes:
        photo: The upright photo. # [H, W, 3].
        landmarks: Of the chosen face, in pixels of the upright photo. # [5, 2].
        template: How the face was framed.
    """

    photo: Picture
    landmarks: Sequence[Sequence[float]]
    template: AlignmentTemplate


def put_portrait(blobs: JobBlobs, portrait: Portrait, results: ResultEncoder) -> None:
    """Store what every job leaves.

    Args:
        blobs: Where to.
        portrait: What was drawn.
        results: Writes the files.
    """
    blobs.put(RESULT_PNG, results.png(to_rgb(portrait.picture)))
    blobs.put(PERSON, results.png(to_rgb(portrait.person)))
    blobs.reserve(RESULT_WEBP)
    blobs.reserve(COMPARE)


def put_frames(blobs: JobBlobs, frames: Sequence[Tensor]) -> None:
    """Store the way from the mean face to the person, for a film.

    Args:
        blobs: Where to.
        frames: Oldest first, in [-1, 1]; none: there will be no film. # [3, S, S].
    """
    if frames:
        blobs.put(FRAMES, encode_jpeg(to_rgb(torch.cat(list(frames), dim=1)), FRAME_QUALITY))  # One above the other.
        blobs.reserve(ANIMATION)


def put_pasted(blobs: JobBlobs, frame: PhotoFrame, portrait: Portrait, results: ResultEncoder) -> None:
    """Store the photo with the drawing in the place of the face."""
    picture = to_rgb(portrait.picture)
    _, alignment = align_face(frame.photo, np.asarray(frame.landmarks), frame.template, picture.shape[0])
    blobs.put(PASTED, results.png(paste_back(frame.photo, picture, alignment), COMPOSITE))
