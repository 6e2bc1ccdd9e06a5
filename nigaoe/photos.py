"""Photos as callers name them: which files are meant, whose faces are in them, and how each is framed."""

import io
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nigaoe_core.errors import EmptyImage, UsageError
from nigaoe_faces.align import Alignment, AlignmentTemplate, align_face, crop_aligned
from nigaoe_faces.detect import Face, FaceDetector, choose_face, largest_face
from nigaoe_faces.images import ImageLimits, read_photo

Photo = str | Path | bytes | Image.Image | NDArray[np.uint8]
"""A file's path, a file's content, a PIL picture, or RGB pixels # [H, W, 3]."""

FaceChoice = Literal["largest", "all"] | int
"""The largest face, all of them, or one by size from 0."""

PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp", ".avif", ".heic", ".heif"})
"""In a folder only these are taken; a file that is named is opened whatever it is called."""

_DECODED: Final = ImageLimits(max_bytes=2**32)
"""Pictures in memory are handed over uncompressed, so only their pixels are limited."""


@dataclass(frozen=True, slots=True, eq=False)
class FramedFace:
    """One face of one photo, ready to be drawn.

    A photo that is a file is read again where it is needed, so that a thousand large photos fit into memory.

    Attributes:
        source: The photo.
        face: Where it was found.
        index: Its number by size, 0 the largest.
        faces_found: How many faces the photo shows.
        crop: # [R, R, 3], aligned to the generator's template.
        alignment: From photo to crop.
        seconds: Wall time by stage.
    """

    source: Photo
    face: Face
    index: int
    faces_found: int
    crop: NDArray[np.uint8]
    alignment: Alignment
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The path of the photo; ``photo`` where it is no file."""
        return str(self.source) if isinstance(self.source, str | Path) else "photo"

    def framed_at(self, side: int) -> NDArray[np.uint8]:
        """Cut the crop out of the photo once more, at another resolution. # [side, side, 3].

        Raises:
            UsageError: The photo's file is gone.
        """
        return crop_aligned(read_pixels(self.source), self.alignment.for_resolution(side))

    @property
    def warnings(self) -> list[str]:
        """Sentences about what may spoil the likeness."""
        warnings = []
        if self.face.pose.is_profile:
            warnings.append("The face is turned far to the side; a photo from the front gives a better likeness.")
        x0, y0, x1, y1 = self.face.box
        if min(x1 - x0, y1 - y0) < self.alignment.resolution / 2:
            warnings.append("The face is very small in the photo; a closer photo gives a better likeness.")
        return warnings


def find_photos(arguments: Sequence[str]) -> list[Path]:
    """Spell out what the user named: files, folders (searched through), and glob patterns the shell left alone.

    Returns:
        Existing paths in a stable order, each once. A name that matches nothing is returned as it is, so that its
        error is reported like any other photo's.
    """
    found: dict[Path, None] = {}
    for argument in arguments:
        for path in _spell_out(argument):
            found.setdefault(path)
    return list(found)


def _spell_out(argument: str) -> list[Path]:
    path = Path(argument).expanduser()
    if path.is_dir():
        return sorted(p for p in path.rglob("*") if p.is_file() and p.suffix.lower() in PHOTO_SUFFIXES)
    if path.exists() or not any(sign in argument for sign in "*?["):
        return [path]
    root = Path(path.anchor) if path.is_absolute() else Path()
    return sorted(p for p in root.glob(str(path.relative_to(path.anchor))) if p.is_file()) or [path]


def frame_faces(
    photo: Photo, choice: FaceChoice, template: AlignmentTemplate, resolution: int, detector: FaceDetector
) -> Iterator[FramedFace]:
    """Read a photo, find its faces and frame the chosen ones.

    Args:
        photo: The photo.
        choice: ``largest``, ``all``, or a number by size.
        template: The generator's framing.
        resolution: Side of the crop in pixels.
        detector: Shared by all photos.

    Raises:
        ImageError: It is no usable picture.
        FaceError: It shows no face, or not the chosen one.
        UsageError: There is no such file, or it may not be read.
    """
    seconds: dict[str, float] = {}
    start = time.perf_counter()
    pixels = read_pixels(photo)
    seconds["read"] = time.perf_counter() - start
    start = time.perf_counter()
    faces = detector.detect(pixels)
    chosen = _choose(faces, choice)
    seconds["detect"] = time.perf_counter() - start
    for face in chosen:
        start = time.perf_counter()
        crop, alignment = align_face(pixels, face.landmarks, template, resolution)
        stages = seconds | {"align": time.perf_counter() - start}
        yield FramedFace(photo, face, faces.index(face), len(faces), crop, alignment, stages)


def _choose(faces: list[Face], choice: FaceChoice) -> list[Face]:
    if choice == "all":
        largest_face(faces)  # Raises NoFace for an empty list.
        return faces
    return [choose_face(faces, choice)]


def read_pixels(photo: Photo) -> NDArray[np.uint8]:
    """Read a photo, upright and in sRGB. # [H, W, 3].

    Raises:
        ImageError: It is no usable picture.
        UsageError: There is no such file, it may not be read, or an array is no picture.
    """
    if isinstance(photo, bytes):
        return read_photo(photo)
    if isinstance(photo, str | Path):
        return read_photo(_read(Path(photo)))
    if isinstance(photo, np.ndarray):
        photo = _picture(photo)
    file = io.BytesIO()
    # One reader judges all photos: their size, which way is up, their colour profile and what is transparent.
    try:
        photo.save(file, "PNG", compress_level=0, exif=photo.getexif(), icc_profile=photo.info.get("icc_profile"))
    except OSError as error:
        raise UsageError(f"A picture of mode {photo.mode} cannot be read; give `picture.convert('RGB')`.") from error
    return read_photo(file.getvalue(), _DECODED)


def _picture(pixels: NDArray[np.uint8]) -> Image.Image:
    try:
        return Image.fromarray(pixels)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"An array of shape {list(pixels.shape)} and type {pixels.dtype} is no picture; give uint8 [H, W, 3]."
        ) from error


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise UsageError(f"There is no file `{path}`; check the name.") from error
    except (IsADirectoryError, PermissionError) as error:
        raise UsageError(f"`{path}` cannot be read: {error.strerror}.") from error
    if not data:
        raise EmptyImage("The file is empty; choose another photo.")
    return data
