"""The files that a conversion leaves behind, and their names."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nigaoe.photos import FramedFace
from nigaoe.results import Result, style_sheet
from nigaoe_core.errors import UsageError
from nigaoe_faces.result_encoder import COMPOSITE, ResultEncoder
from nigaoe_faces.sheet import cross_fade, resized

ANIMATION_FPS = 12
FADE_FRAMES = 10
HOLD_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Extras:
    """What is written beside the picture itself."""

    compare: bool = False
    animation: bool = False
    paste_back: bool = False
    latent: bool = False


@dataclass(slots=True)
class OutputFolder:
    """Writes results, and gives every drawing a name of its own, also where two folders have a `photo.jpg`.

    Attributes:
        path: Made if it does not exist.
        extras: What is written beside each picture.
        encoder: Encodes pictures.
    """

    path: Path
    extras: Extras
    encoder: ResultEncoder
    _taken: set[str] = field(default_factory=set)

    def write(self, result: Result) -> dict[str, str]:
        """Write the picture and what else was asked for.

        Returns:
            Kind to path.

        Raises:
            UsageError: The folder cannot be written to.
        """
        return self._write_all(self._files(result, self.extras))

    def write_styles(self, name: str, results: Sequence[tuple[str, Result]]) -> dict[str, str]:
        """Write one face in several styles, its latent once, and a sheet that shows all.

        Args:
            name: Takes the place of a style in the sheet's file name.
            results: Title and result of each style, as they shall stand; at least one.

        Returns:
            Kind, of all but sheet and latent with the style's name, to path.

        Raises:
            UsageError: The folder cannot be written to.
        """
        files: dict[str, tuple[str, bytes]] = {}
        for number, (_, result) in enumerate(results):
            extras = self.extras if number == 0 else replace(self.extras, latent=False)
            style = result.report["style"]
            for kind, file in self._files(result, extras).items():
                files[kind if kind == "latent" else f"{kind}-{style}"] = file
        sheet = np.asarray(style_sheet(results))
        stem = self._stem_for(results[0][1].face, name)
        files = {"sheet": (f"{stem}.png", self.encoder.png(sheet, COMPOSITE))} | files
        return self._write_all(files)

    def _files(self, result: Result, extras: Extras) -> dict[str, tuple[str, bytes]]:
        """Return the name and content of each file of a result, by kind."""
        stem = self._stem_for(result.face, result.report["style"])
        picture = np.asarray(result.picture)
        files = {"picture": (f"{stem}.png", self.encoder.png(picture))}
        if extras.compare:
            comparison = np.asarray(result.comparison())
            files["compare"] = (f"{stem}-compare.png", self.encoder.png(comparison, COMPOSITE))
        if extras.paste_back:
            files["pasted"] = (f"{stem}-pasted.png", self.encoder.png(np.asarray(result.pasted()), COMPOSITE))
        if extras.animation:
            animation = self.encoder.animation(_film(result), ANIMATION_FPS, hold_s=HOLD_SECONDS)
            files["animation"] = (f"{stem}-animation.webp", animation)
        if extras.latent:
            files["latent"] = (f"{stem}-latent.safetensors", result.latent.to_bytes())
        return files

    def _stem_for(self, face: FramedFace, style: str) -> str:
        """Return a name without ending, never the same twice."""
        base = Path(face.name).stem + (f"-face{face.index + 1}" if face.index else "") + f"-{style}"
        stem, number = base, 2
        while stem in self._taken:
            stem, number = f"{base}-{number}", number + 1
        self._taken.add(stem)
        return stem

    def _write_all(self, files: dict[str, tuple[str, bytes]]) -> dict[str, str]:
        return {kind: str(_write(self.path / name, data)) for kind, (name, data) in files.items()}


def _film(result: Result) -> list[NDArray[np.uint8]]:
    picture = np.asarray(result.picture)
    side = picture.shape[0]
    person = resized(np.asarray(result.person), side)
    return [*(resized(frame, side) for frame in result.frames), person, *cross_fade(person, picture, FADE_FRAMES)]


def _write(path: Path, data: bytes) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise UsageError(f"`{path}` cannot be written ({error.strerror}); choose another folder with -o.") from error
    return path
