"""The thesis's figure for any photos: each photo beside what every method draws of it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from nigaoe.batch import BatchProgress
from nigaoe.comparison_columns import Column
from nigaoe.library import Nigaoe
from nigaoe.photos import FramedFace, Photo, read_pixels
from nigaoe.results import Result
from nigaoe_core.errors import NigaoeError, UsageError
from nigaoe_faces.figure import Caption, figure
from nigaoe_faces.reference import frame_reference
from nigaoe_faces.sheet import Picture

DEFAULT_SIDE: Final = 384
"""Of a cell of the figure in pixels."""

REFERENCE_SIDE: Final = 512
"""Of the reference that a figure shows, in pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """What one method drew of one photo.

    Attributes:
        result: The drawing and its report.
        seconds: Wall time that the photo took alone, without opening it and finding its face.
        cpu_seconds: Processor time of all that, with opening it and finding its face; it tells a slow method from a
            busy machine.
    """

    result: Result
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class ComparedPhoto:
    """One photo and its drawings.

    Attributes:
        face: The face as its last drawing's style frames it.
        drawn: By the column's name; columns in which it failed are missing.
    """

    face: FramedFace
    drawn: Mapping[str, Drawn]


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Photos beside their drawings.

    Attributes:
        columns: The methods, from left to right.
        photos: Those that were drawn by one method at least, in the order in which they were named.
        reference: Anime picture whose style or texture was used, as it was framed. # [S, S, 3].
    """

    columns: Sequence[Column]
    photos: Sequence[ComparedPhoto]
    reference: Picture | None = None

    def picture(self, side: int = DEFAULT_SIDE) -> Image.Image:
        """Return the figure: the photos, the reference where there is one, and the drawings.

        Args:
            side: Of every cell in pixels.

        Raises:
            UsageError: No photo could be drawn, a photo's file is gone, or cells would be too small.
        """
        if not self.photos:
            raise UsageError("No photo could be drawn, so there is nothing to compare.")
        shared = [] if self.reference is None else [self.reference]
        captions = [Caption("Photo"), *(Caption("Reference") for _ in shared)]
        rows: list[list[Picture | None]] = []
        for photo in self.photos:
            drawn = [_picture(photo.drawn.get(column.name)) for column in self.columns]
            rows.append([photo.face.framed_at(side), *shared, *drawn])
        return Image.fromarray(figure([*captions, *(column.caption for column in self.columns)], rows, side=side))


def compare(
    nigaoe: Nigaoe,
    photos: Sequence[Photo],
    columns: Sequence[Column],
    *,
    on_progress: Callable[[Column, float], None] | None = None,
    on_error: Callable[[Photo, Column, NigaoeError], None] | None = None,
) -> Comparison:
    """Draw the largest face of every photo by every method, photo by photo, so that each method's seconds are its own.

    Args:
        nigaoe: Draws.
        photos: See `Nigaoe.convert`.
        columns: The methods, at least one.
        on_progress: Called after every step and every photo with the column that is being drawn, and how many of its
            photos are done; the photo that is searched counts by its steps.
        on_error: Called with each photo that a method could not draw; None: the first failure is raised.

    Raises:
        UsageError: There are no columns, or an option makes no sense.
        CheckpointError: The weights of a column cannot be used.
        ImageError: The reference is no usable picture.
        ReferenceWithoutFace: The reference shows no face.
    """
    if not columns:
        raise UsageError("There is no method to compare; see `nigaoe styles` for what is installed.")
    for column in columns:  # Everything is loaded, and judged, before the first photo is opened.
        nigaoe.check(column.style, **column.options)
    drawn: list[dict[str, Drawn]] = [{} for _ in photos]
    for column in columns:
        for number, photo in enumerate(photos):
            tell = _teller(on_progress, column, number)
            try:
                drawn[number][column.name] = _draw(nigaoe, photo, column, tell)
            except NigaoeError as error:
                if on_error is None:
                    raise
                on_error(photo, column, error)
            if on_progress is not None:
                on_progress(column, number + 1)
    compared = [ComparedPhoto([*one.values()][-1].result.face, one) for one in drawn if one]
    return Comparison(columns, compared, _shown_reference(nigaoe, columns))


def _teller(
    on_progress: Callable[[Column, float], None] | None, column: Column, number: int
) -> Callable[[BatchProgress], None] | None:
    """Return what tells the listener how far the photo of this number is."""
    if on_progress is None:
        return None
    return lambda news: on_progress(column, number + news.step / max(news.steps, 1))


def _draw(nigaoe: Nigaoe, photo: Photo, column: Column, on_progress: Callable[[BatchProgress], None] | None) -> Drawn:
    start, cpu = time.perf_counter(), time.process_time()
    result = nigaoe.convert(photo, style=column.style, on_progress=on_progress, **column.options)
    seconds = time.perf_counter() - start - sum(result.face.seconds.values())
    return Drawn(result, seconds, time.process_time() - cpu)


def _picture(drawn: Drawn | None) -> Picture | None:
    return None if drawn is None else np.asarray(drawn.result.picture)


def _shown_reference(nigaoe: Nigaoe, columns: Sequence[Column]) -> Picture | None:
    """Return the reference of the first column that has one, as its style frames it. # [S, S, 3]."""
    for column in columns:
        if (reference := column.options.get("reference")) is not None:
            template, _ = nigaoe.pipeline.framing(column.style)
            return frame_reference(read_pixels(reference), template, REFERENCE_SIDE, nigaoe.detector)
    return None
