"""What a finished job leaves on its shelf: pictures, comparison, animation, latent."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from core.blob_store import ANIMATION, COMPARE, PASTED, RESULT_PNG, RESULT_WEBP
from faces.align import AlignmentTemplate, align_face, paste_back
from faces.encoding import encode_animation, encode_png, encode_webp
from faces.sheet import cross_fade, resized, side_by_side
from model.pixels import to_rgb
from model.portrait import Portrait
from worker.shelf import Shelf

Picture = NDArray[np.uint8]

WEBP_QUALITY: Final = 90
ANIMATION_FPS: Final = 12.0
FADE_FRAMES: Final = 10
HOLD_SECONDS: Final = 2.0


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


def put_portrait(shelf: Shelf, portrait: Portrait, crop: Picture | None) -> None:
    """Store what every job leaves.

    Args:
        shelf: Where to.
        portrait: What was drawn.
        crop: The aligned photo # [H, H, 3], for the comparison; None: it is gone.
    """
    picture = to_rgb(portrait.picture)
    row = [to_rgb(portrait.person), picture] if crop is None else [crop, to_rgb(portrait.person), picture]
    shelf.put(RESULT_PNG, encode_png(picture))
    shelf.put(RESULT_WEBP, encode_webp(picture, WEBP_QUALITY))
    shelf.put(COMPARE, encode_png(side_by_side(row, height=picture.shape[0])))


def put_animation(shelf: Shelf, frames: Sequence[Tensor], portrait: Portrait) -> None:
    """Store the way from the mean face to the person, and from there to the drawing.

    Args:
        shelf: Where to.
        frames: Oldest first, in [-1, 1]. # [3, S, S].
        portrait: Where the way ends.
    """
    side = min(portrait.picture.shape[-1], 256)
    person, picture = resized(to_rgb(portrait.person), side), resized(to_rgb(portrait.picture), side)
    way = [resized(to_rgb(frame), side) for frame in frames]
    film = [*way, person, *cross_fade(person, picture, FADE_FRAMES)]
    shelf.put(ANIMATION, encode_animation(film, ANIMATION_FPS, hold_s=HOLD_SECONDS, effort=0))


def put_pasted(shelf: Shelf, frame: PhotoFrame, portrait: Portrait) -> None:
    """Store the photo with the drawing in the place of the face."""
    picture = to_rgb(portrait.picture)
    _, alignment = align_face(frame.photo, np.asarray(frame.landmarks), frame.template, picture.shape[0])
    shelf.put(PASTED, encode_png(paste_back(frame.photo, picture, alignment)))
