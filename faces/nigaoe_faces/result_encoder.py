"""Results as files: marked as made by a machine, and signed where the operator has a certificate."""

from collections.abc import Sequence
from typing import Final, Self

from nigaoe_core.settings import Settings
from nigaoe_faces.content_credentials import ContentCredentials, load_credentials
from nigaoe_faces.encoding import DigitalSource, encode_animation, encode_png, encode_webp
from nigaoe_faces.sheet import Picture, cross_fade, resized

GENERATED, COMPOSITE = DigitalSource.GENERATED, DigitalSource.COMPOSITE

FILM_SIDE: Final = 256
"""Films are not larger, whatever the portrait is."""
FILM_FPS: Final = 12.0
FADE_FRAMES: Final = 10
HOLD_SECONDS: Final = 2.0


class ResultEncoder:
    """Encoder of everything that leaves Nigaoe as a result; each file says how it came to be.

    Args:
        credentials: Sign every file; None: files are only marked.
    """

    def __init__(self, credentials: ContentCredentials | None = None) -> None:
        self._credentials = credentials

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Use the operator's certificate, where there is one.

        Raises:
            InvalidSettings: It cannot sign.
        """
        return cls(load_credentials(settings))

    def png(self, picture: Picture, source: DigitalSource = GENERATED) -> bytes:
        """Write an RGB picture, # [H, W, 3], exactly."""
        return self._signed(encode_png(picture, source=source), source)

    def webp(self, picture: Picture, quality: int, source: DigitalSource = GENERATED) -> bytes:
        """Write an RGB picture, # [H, W, 3], with a quality of 0 to 100."""
        return self._signed(encode_webp(picture, quality, source=source), source)

    def animation(self, frames: Sequence[Picture], fps: float, *, hold_s: float) -> bytes:
        """Write frames of one size as an animated WebP whose last one stays for ``hold_s`` seconds."""
        return self._signed(encode_animation(frames, fps, hold_s=hold_s, source=GENERATED), GENERATED)

    def film(self, frames: Sequence[Picture], person: Picture, picture: Picture) -> bytes:
        """Write the film of a portrait; see :func:`encode_film`."""
        return self._signed(encode_film(frames, person, picture), GENERATED)

    def _signed(self, data: bytes, source: DigitalSource) -> bytes:
        return data if self._credentials is None else self._credentials.sign(data, source)


def frames_of(strip: Picture) -> list[Picture]:
    """Cut a strip, the form in which frames are stored, into its frames. # [N S, S, 3] -> N of [S, S, 3]."""
    side = strip.shape[1]
    return [strip[top : top + side] for top in range(0, strip.shape[0] - side + 1, side)]


def encode_film(frames: Sequence[Picture], person: Picture, picture: Picture) -> bytes:
    """Write the film of a portrait, from the first frame to the person and on to the drawing, as an animated WebP.

    Args:
        frames: Of the search, oldest first; each is square.
        person: The face as it was found. # [R, R, 3].
        picture: The portrait. # [S, S, 3].
    """
    side = min(picture.shape[0], FILM_SIDE)
    last, drawing = resized(person, side), resized(picture, side)
    film = [*(resized(frame, side) for frame in frames), last, *cross_fade(last, drawing, FADE_FRAMES)]
    return encode_animation(film, FILM_FPS, hold_s=HOLD_SECONDS, effort=0, source=DigitalSource.GENERATED)
