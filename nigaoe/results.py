"""What a conversion gives back: pictures as people handle them, the latent, and the report."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nigaoe.photos import FramedFace, read_pixels
from nigaoe_core.errors import UsageError
from nigaoe_faces.align import paste_back
from nigaoe_faces.sheet import TITLE_HEIGHT, resized, side_by_side, titled
from nigaoe_model.pixels import to_rgb
from nigaoe_model.portrait.convert import Conversion
from nigaoe_model.portrait.feed_forward import OnePassDrawing
from nigaoe_model.portrait.stored_latent import StoredLatent

SHEET_SIDE = 256


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """A latent, drawn as a person and in a style, or a photo drawn in one pass; a notebook shows its picture.

    Attributes:
        conversion: The same as tensors.
    """

    conversion: Conversion | OnePassDrawing

    @property
    def is_searched(self) -> bool:
        """Whether there is a latent; feed-forward styles draw without one."""
        return isinstance(self.conversion, Conversion)

    @property
    def picture(self) -> Image.Image:
        """The drawing at its final size."""
        return Image.fromarray(self._pixels)

    @property
    def person(self) -> Image.Image:
        """The person whose latent was found, as ``g_ori`` draws it.

        Raises:
            UsageError: The style is a feed-forward one: nobody was found.
        """
        return Image.fromarray(to_rgb(self.searched().portrait.person))

    @property
    def latent(self) -> StoredLatent:
        """What was found; it can rebuild the face, so it is personal data.

        Raises:
            UsageError: The style is a feed-forward one: nothing was found.
        """
        return self.searched().latent

    @property
    def report(self) -> dict[str, Any]:
        """Style, method, seconds and models, and distances and steps of a search, JSON-ready."""
        return self.conversion.report

    def searched(self) -> Conversion:
        """Return person, latent and drawing of a style that photos are searched for.

        Raises:
            UsageError: The style is a feed-forward one.
        """
        if isinstance(self.conversion, Conversion):
            return self.conversion
        raise UsageError(
            f"The style `{self.conversion.report['style']}` draws in one pass: there is no latent, and no person that "
            "was found. Convert the photo in a style of reverse generation."
        )

    @property
    def _pixels(self) -> NDArray[np.uint8]:
        """The drawing at its final size. # [S, S, 3]."""
        drawn = self.conversion
        return to_rgb(drawn.portrait.picture if isinstance(drawn, Conversion) else drawn.picture)

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.picture.save(file, "PNG")
        return file.getvalue()


@dataclass(frozen=True, slots=True, eq=False)
class Result(Drawing):
    """One face of one photo and its drawing.

    Attributes:
        face: Where it was found, and its aligned crop.
        frames: Reconstructions from the search's start on, oldest first, each # [R, R, 3]; empty unless asked for.
    """

    face: FramedFace
    frames: Sequence[NDArray[np.uint8]] = ()

    @property
    def crop(self) -> Image.Image:
        """The photo's face as the generator frames it."""
        return Image.fromarray(self.face.crop)

    @property
    def report(self) -> dict[str, Any]:
        """Photo, face, pose, warnings, wall seconds by stage, models, distances and steps of a search, JSON-ready."""
        return {
            "photo": self.face.name,
            "face": self.face.index,
            "faces_found": self.face.faces_found,
            **self.face.face.to_json(),
            "warnings": self.face.warnings,
            **self.conversion.report,
            "seconds": self.face.seconds | self.conversion.report["seconds"],
        }

    def comparison(self) -> Image.Image:
        """Return photo, crop, person where one was found, and drawing side by side, as high as the drawing.

        Raises:
            UsageError: The photo's file is gone.
        """
        person = [np.asarray(self.person)] if self.is_searched else []
        pictures = [read_pixels(self.face.source), self.face.crop, *person, self._pixels]
        return Image.fromarray(side_by_side(pictures, height=self._pixels.shape[0]))

    def pasted(self) -> Image.Image:
        """Return the photo with the drawing in the place of the face.

        Raises:
            UsageError: The photo's file is gone.
        """
        picture = self._pixels
        alignment = self.face.alignment.for_resolution(picture.shape[0])
        return Image.fromarray(paste_back(read_pixels(self.face.source), picture, alignment))


def style_sheet(results: Sequence[tuple[str, Result]]) -> Image.Image:
    """Return one picture that shows a face in several styles: photo, person, and the drawings, each with its title.

    Args:
        results: Title and result of each style, as they shall stand; at least one, all of the same latent.

    Raises:
        UsageError: The photo's file is gone.
    """
    first = results[0][1]
    photo = first.face.framed_at(SHEET_SIDE)
    pictures = [("Photo", photo), ("Person", np.asarray(first.person))]
    pictures += [(title, np.asarray(result.picture)) for title, result in results]
    parts = [titled(resized(picture, SHEET_SIDE), title) for title, picture in pictures]
    return Image.fromarray(side_by_side(parts, height=SHEET_SIDE + TITLE_HEIGHT))
