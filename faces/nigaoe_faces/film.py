"""The film of a portrait: from the mean face to the person, and from the person to the drawing.

Its frames are kept as one picture, a strip of squares one above the other: one file is cheaper to write, to store and
to read than two dozen.
"""

from collections.abc import Sequence
from typing import Final

from nigaoe_faces.encoding import encode_animation
from nigaoe_faces.provenance import DigitalSource
from nigaoe_faces.sheet import Picture, cross_fade, resized

FILM_SIDE: Final = 256
"""Films are not larger, whatever the portrait is."""
FILM_FPS: Final = 12.0
FADE_FRAMES: Final = 10
HOLD_SECONDS: Final = 2.0


def frames_of(strip: Picture) -> list[Picture]:
    """Cut a strip into its frames. # [N S, S, 3] -> N of [S, S, 3]."""
    side = strip.shape[1]
    return [strip[top : top + side] for top in range(0, strip.shape[0] - side + 1, side)]


def encode_film(frames: Sequence[Picture], person: Picture, picture: Picture) -> bytes:
    """Write the way to the person and the change into the drawing as an animated WebP.

    Args:
        frames: Of the way, oldest first; each is square.
        person: The face as it was found. # [R, R, 3].
        picture: The portrait. # [S, S, 3].
    """
    side = min(picture.shape[0], FILM_SIDE)
    last, drawing = resized(person, side), resized(picture, side)
    film = [*(resized(frame, side) for frame in frames), last, *cross_fade(last, drawing, FADE_FRAMES)]
    return encode_animation(film, FILM_FPS, hold_s=HOLD_SECONDS, effort=0, source=DigitalSource.GENERATED)
