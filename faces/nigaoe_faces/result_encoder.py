"""Results as files: marked as made by a machine, and signed where the operator has a certificate."""

from collections.abc import Sequence
from typing import Self

from nigaoe_core.settings import Settings
from nigaoe_faces.content_credentials import ContentCredentials, load_credentials
from nigaoe_faces.encoding import encode_animation, encode_png, encode_webp
from nigaoe_faces.film import encode_film
from nigaoe_faces.provenance import DigitalSource
from nigaoe_faces.sheet import Picture

GENERATED, COMPOSITE = DigitalSource.GENERATED, DigitalSource.COMPOSITE


class ResultEncoder:
    """Writes everything that leaves Nigaoe as a result; its reader can tell how it came to be.

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
        """Write the way to the person and into the drawing; see :func:`nigaoe_faces.film.encode_film`."""
        return self._signed(encode_film(frames, person, picture), GENERATED)

    def _signed(self, data: bytes, source: DigitalSource) -> bytes:
        return data if self._credentials is None else self._credentials.sign(data, source)
