"""The photos of one command line: which files are meant, whose faces are in them, and how each is framed."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nigaoe_core.errors import EmptyImage, UsageError
from nigaoe_faces.align import Alignment, AlignmentTemplate, align_face
from nigaoe_faces.detect import Face, FaceDetector, choose_face, largest_face
from nigaoe_faces.images import read_photo

FaceChoice = Literal["largest", "all"] | int

PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp", ".avif", ".heic", ".heif"})
"""In a folder only these are taken; a file that is named is opened whatever it is called."""


@dataclass(frozen=True, slots=True, eq=False)
class FramedFace:
    """One face of one photo, ready for reverse generation.

    The photo itself is read again where it is needed, so that a thousand large photos fit into memory.

    Attributes:
        source: The photo's file.
        face: Where it was found.
        index: Its number by size, 0 the largest.
        faces_found: How many faces the photo shows.
        crop: # [R, R, 3], aligned to the generator's template.
        alignment: From photo to crop.
        seconds: Wall time by stage.
    """

    source: Path
    face: Face
    index: int
    faces_found: int
    crop: NDArray[np.uint8]
    alignment: Alignment
    seconds: dict[str, float] = field(default_factory=dict)


def find_photos(arguments: Sequence[str]) -> list[Path]:
    """Spell out what the user named: files, folders (searched through), and glob patterns the shell left alone.

    Returns:
        Existing paths in a stable order, each once. A name that matches nothing is returned as it is, so that its
        error is told like any other photo's.
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
    path: Path, choice: FaceChoice, template: AlignmentTemplate, resolution: int, detector: FaceDetector
) -> Iterator[FramedFace]:
    """Read a photo, find its faces and frame the chosen ones.

    Args:
        path: The photo.
        choice: ``largest``, ``all``, or a number by size.
        template: The generator's framing.
        resolution: Side of the crop in pixels.
        detector: Shared by all photos.

    Raises:
        ImageError: The file is no usable picture.
        FaceError: It shows no face, or not the chosen one.
    """
    seconds: dict[str, float] = {}
    start = time.perf_counter()
    photo = read_file(path)
    seconds["read"] = time.perf_counter() - start
    start = time.perf_counter()
    faces = detector.detect(photo)
    chosen = _choose(faces, choice)
    seconds["detect"] = time.perf_counter() - start
    for face in chosen:
        start = time.perf_counter()
        crop, alignment = align_face(photo, face.landmarks, template, resolution)
        stages = seconds | {"align": time.perf_counter() - start}
        yield FramedFace(path, face, faces.index(face), len(faces), crop, alignment, stages)


def _choose(faces: list[Face], choice: FaceChoice) -> list[Face]:
    if choice == "all":
        largest_face(faces)  # Raises NoFace for an empty list.
        return faces
    return [choose_face(faces, choice)]


def read_file(path: Path) -> NDArray[np.uint8]:
    """Read a photo's pixels. # [H, W, 3], sRGB, upright.

    Raises:
        ImageError: The file is no usable picture.
        UsageError: There is no such file, or it may not be read.
    """
    return read_photo(_read(path))


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
