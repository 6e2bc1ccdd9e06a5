"""The files that a conversion leaves behind, and their names."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nigaoe.photos import FramedFace, read_file
from nigaoe_core.errors import UsageError
from nigaoe_faces.align import crop_aligned, paste_back
from nigaoe_faces.result_encoder import COMPOSITE, ResultEncoder
from nigaoe_faces.sheet import TITLE_HEIGHT, cross_fade, resized, side_by_side, titled
from nigaoe_model.pixels import to_rgb
from nigaoe_model.portrait.convert import Conversion
from nigaoe_model.portrait.drawing import Portrait

ANIMATION_FPS = 12
FADE_FRAMES = 10
HOLD_SECONDS = 2.0
SHEET_SIDE = 256


@dataclass(frozen=True, slots=True)
class Extras:
    """What is written beside the picture itself."""

    compare: bool = False
    animation: bool = False
    paste_back: bool = False
    latent: bool = False


@dataclass(slots=True)
class OutputNames:
    """Gives every drawing a name of its own, also where two folders hold a `photo.jpg`."""

    _taken: set[str] = field(default_factory=set)

    def stem_for(self, face: FramedFace, style: str) -> str:
        """Return a name without ending, never the same twice."""
        base = face.source.stem + (f"-face{face.index + 1}" if face.index else "") + f"-{style}"
        stem, number = base, 2
        while stem in self._taken:
            stem, number = f"{base}-{number}", number + 1
        self._taken.add(stem)
        return stem


def write_outputs(
    folder: Path,
    stem: str,
    face: FramedFace,
    conversion: Conversion,
    extras: Extras,
    frames: Sequence[NDArray[np.uint8]],
    results: ResultEncoder,
) -> dict[str, str]:
    """Write the picture and what else was asked for.

    Args:
        folder: Made if it does not exist.
        stem: Name without ending.
        face: Whose portrait it is.
        conversion: The portrait.
        extras: What else to write.
        frames: Reconstructions on the way, oldest first, for the animation.
        results: Writes the files.

    Returns:
        Kind to path.

    Raises:
        UsageError: The folder cannot be written to.
    """
    picture = to_rgb(conversion.portrait.picture)
    files: dict[str, tuple[str, bytes]] = {"picture": (f"{stem}.png", results.png(picture))}
    if extras.compare:
        files["compare"] = (f"{stem}-compare.png", results.png(_comparison(face, conversion, picture), COMPOSITE))
    if extras.paste_back:
        alignment = face.alignment.for_resolution(picture.shape[0])
        pasted = paste_back(read_file(face.source), picture, alignment)
        files["pasted"] = (f"{stem}-pasted.png", results.png(pasted, COMPOSITE))
    if extras.animation:
        film = _film(frames, conversion, picture)
        animation = results.animation(film, ANIMATION_FPS, hold_s=HOLD_SECONDS)
        files["animation"] = (f"{stem}-animation.webp", animation)
    if extras.latent:
        files["latent"] = (f"{stem}-latent.safetensors", conversion.latent.to_bytes())
    return {kind: str(_write(folder / name, data)) for kind, (name, data) in files.items()}


def write_sheet(
    folder: Path, stem: str, face: FramedFace, drawings: Sequence[tuple[str, Portrait]], results: ResultEncoder
) -> dict[str, str]:
    """Write one picture that shows a face in several styles: photo, person, and the drawings, each with its title.

    Args:
        folder: Made if it does not exist.
        stem: Name without ending.
        face: Whose sheet it is.
        drawings: Title and portrait of each style, as they shall stand; at least one.
        results: Writes the file.

    Returns:
        Kind to path.

    Raises:
        UsageError: The folder cannot be written to.
    """
    photo = crop_aligned(read_file(face.source), face.alignment.for_resolution(SHEET_SIDE))
    pictures = [("Photo", photo), ("Person", to_rgb(drawings[0][1].person))]
    pictures += [(title, to_rgb(portrait.picture)) for title, portrait in drawings]
    parts = [titled(resized(picture, SHEET_SIDE), title) for title, picture in pictures]
    sheet = side_by_side(parts, height=SHEET_SIDE + TITLE_HEIGHT)
    return {"sheet": str(_write(folder / f"{stem}.png", results.png(sheet, COMPOSITE)))}


def _comparison(face: FramedFace, conversion: Conversion, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    person = to_rgb(conversion.portrait.person)
    return side_by_side([read_file(face.source), face.crop, person, picture], height=picture.shape[0])


def _film(
    frames: Sequence[NDArray[np.uint8]], conversion: Conversion, picture: NDArray[np.uint8]
) -> list[NDArray[np.uint8]]:
    side = picture.shape[0]
    way = [resized(frame, side) for frame in frames]
    person = resized(to_rgb(conversion.portrait.person), side)
    return [*way, person, *cross_fade(person, picture, FADE_FRAMES)]


def _write(path: Path, data: bytes) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise UsageError(f"`{path}` cannot be written ({error.strerror}); choose another folder with -o.") from error
    return path
