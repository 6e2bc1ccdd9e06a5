"""What a conversion gives back: pictures as people handle them, the latent, and the report."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from nigaoe.photos import FramedFace, read_pixels
from nigaoe_faces.align import crop_aligned, paste_back
from nigaoe_faces.sheet import TITLE_HEIGHT, resized, side_by_side, titled
from nigaoe_model.pixels import to_rgb
from nigaoe_model.portrait.convert import Conversion
from nigaoe_model.portrait.stored_latent import StoredLatent

SHEET_SIDE = 256


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """A latent, drawn as a person and in a style; a notebook shows its picture.

    Attributes:
        conversion: The same as tensors.
    """

    conversion: Conversion

    @property
    def picture(self) -> Image.Image:
        """The drawing at its final size."""
        return _image(self.conversion.portrait.picture)

    @property
    def person(self) -> Image.Image:
        """The person whose latent was found, as ``g_ori`` draws it."""
        return _image(self.conversion.portrait.person)

    @property
    def latent(self) -> StoredLatent:
        """What was found; it can rebuild the face, so it is personal data."""
        return self.conversion.latent

    @property
    def report(self) -> dict[str, Any]:
        """Style, method, distances, steps and models, JSON-ready."""
        return self.conversion.report

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
        """Photo, face, pose, warnings, distances, steps, wall seconds by stage and models, JSON-ready."""
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
        """Return photo, crop, person and drawing side by side, as high as the drawing.

        Raises:
            UsageError: The photo's file is gone.
        """
        person, picture = (to_rgb(p) for p in (self.conversion.portrait.person, self.conversion.portrait.picture))
        pictures = [read_pixels(self.face.source), self.face.crop, person, picture]
        return Image.fromarray(side_by_side(pictures, height=picture.shape[0]))

    def pasted(self) -> Image.Image:
        """Return the photo with the drawing in the place of the face.

        Raises:
            UsageError: The photo's file is gone.
        """
        picture = to_rgb(self.conversion.portrait.picture)
        alignment = self.face.alignment.for_resolution(picture.shape[0])
        return Image.fromarray(paste_back(read_pixels(self.face.source), picture, alignment))


def style_sheet(results: Sequence[tuple[str, Result]]) -> Image.Image:
    """Return one picture that shows a face in several styles: photo, person, and the drawings, each with its title.

    Args:
        results: Title and result of each style, as they shall stand; at least one, all of the same face.

    Raises:
        UsageError: The photo's file is gone.
    """
    first = results[0][1]
    photo = crop_aligned(read_pixels(first.face.source), first.face.alignment.for_resolution(SHEET_SIDE))
    pictures = [("Photo", photo), ("Person", to_rgb(first.conversion.portrait.person))]
    pictures += [(title, to_rgb(result.conversion.portrait.picture)) for title, result in results]
    parts = [titled(resized(picture, SHEET_SIDE), title) for title, picture in pictures]
    return Image.fromarray(side_by_side(parts, height=SHEET_SIDE + TITLE_HEIGHT))


def _image(planes: Tensor) -> Image.Image:
    return Image.fromarray(to_rgb(planes))
