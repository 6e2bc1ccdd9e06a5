"""The thesis's figure for any photos: each photo beside what every method draws of it.

Two columns come from one style of reverse generation, with the same ``g_ori``, ``g_fin`` and enlargement, so that they
differ by method alone:

* ``thesis`` is the thesis's plain cross-domain reverse generation: the whole picture is searched for in ``g_ori`` from
  the mean face, in 1,000 steps without priors (`nigaoe_model.inversion.settings.THESIS`), and ``g_fin`` draws the very
  latent that was found: no encoder's guess, no truncation, no colour transfer, degree 1.
* ``nigaoe`` is what people get who ask for nothing else.

The other columns are feed-forward styles, the methods that the thesis compares itself with.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from nigaoe.batch import BatchProgress
from nigaoe.library import ConvertOptions, Nigaoe
from nigaoe.photos import FramedFace, Photo, read_pixels
from nigaoe.results import Result
from nigaoe_core.errors import NigaoeError, UnknownStyle, UsageError
from nigaoe_core.jobs import Method, Preset
from nigaoe_core.registry import Style
from nigaoe_core.style_methods import (
    GANS_N_ROSES,
    METHOD_TITLES,
    REFERENCE,
    SEED,
    SWAPPING_AUTOENCODER,
    feed_forward_method,
)
from nigaoe_faces.figure import Caption, figure
from nigaoe_faces.reference import frame_reference
from nigaoe_faces.sheet import Picture
from nigaoe_model.inversion.settings import PRESETS, THESIS

THESIS_NAME: Final = "thesis"
NIGAOE_NAME: Final = "nigaoe"

COMPARED: Final = (GANS_N_ROSES, SWAPPING_AUTOENCODER, THESIS_NAME, NIGAOE_NAME)
"""The columns of the thesis's figure, from left to right."""

PLAIN: Final[ConvertOptions] = {"method": Method.CROSS, "preset": THESIS, "truncation": 1.0, "colours": 0.0}
"""The thesis's method in the library's options."""

DEFAULT_SIDE: Final = 384
"""Of a cell of the figure in pixels."""

REFERENCE_SIDE: Final = 512
"""Of the reference that a figure shows, in pixels."""


@dataclass(frozen=True, slots=True)
class Column:
    """One method of a figure.

    Attributes:
        name: As in `COMPARED`, or the name of a feed-forward style.
        style: The style that draws.
        caption: What stands above the column.
        options: Of every conversion.
    """

    name: str
    style: str
    caption: Caption
    options: ConvertOptions


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A method that cannot be shown.

    Attributes:
        name: As it was asked for.
        message: Why, and what helps.
    """

    name: str
    message: str


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


def columns_of(
    nigaoe: Nigaoe,
    names: Sequence[str] = COMPARED,
    *,
    style: str | None = None,
    seed: int = 0,
    reference: Photo | None = None,
) -> tuple[list[Column], list[LeftOut]]:
    """Return the columns of a figure, and what cannot be shown.

    Args:
        nigaoe: Knows what is installed.
        names: As in `COMPARED`, or names of feed-forward styles; of a method with several styles the first one draws.
        style: In which `thesis` and `nigaoe` draw; None: the first that photos are searched for.
        seed: Of everything random.
        reference: Anime picture whose style or texture is used by the methods that read one.

    Raises:
        UnknownStyle: There is no such style.
        MethodMismatch: Photos are not searched for ``style``.
        UsageError: A name is neither a method nor a feed-forward style, or is there twice.
    """
    if repeated := {name for name in names if names.count(name) > 1}:
        raise UsageError(f"`{min(repeated)}` is there twice; name every method once.")
    columns: list[Column] = []
    left_out: list[LeftOut] = []
    for name in names:
        if name in (THESIS_NAME, NIGAOE_NAME):
            columns.append(_searched_column(name, searched_style(nigaoe, style), seed))
            continue
        column = _feed_forward_column(nigaoe, name, seed, reference)
        if isinstance(column, LeftOut):
            left_out.append(column)
        else:
            columns.append(column)
    return columns, left_out


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


def searched_style(nigaoe: Nigaoe, name: str | None = None) -> Style:
    """Return a style of reverse generation.

    Args:
        nigaoe: Knows what is installed.
        name: Of the style; None: the first whose files were readable.

    Raises:
        UnknownStyle: There is none.
        MethodMismatch: The style is a feed-forward one.
    """
    registry = nigaoe.pipeline.registry
    if name is not None:
        registry.parent_of(name)  # Raises for a style that photos are not searched for.
        return registry.style(name)
    for style in registry.styles():
        if style.is_usable and not style.is_feed_forward:
            return style
    raise UnknownStyle("No style that photos are searched for can be drawn; see `nigaoe weights list`.")


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


def _searched_column(name: str, style: Style, seed: int) -> Column:
    if name == THESIS_NAME:
        caption = Caption("Reverse generation", f"the thesis: {THESIS.steps:,} steps, drawn as found")
        return Column(name, style.name, caption, {**PLAIN, "seed": seed})
    caption = Caption("Nigaoe", f"{PRESETS[Preset.STANDARD].steps:,} steps, in the person's colours")
    return Column(name, style.name, caption, {"seed": seed})


def _feed_forward_column(nigaoe: Nigaoe, name: str, seed: int, reference: Photo | None) -> Column | LeftOut:
    """Return the column of the style of this name, or of the first style of the method of this name."""
    styles = [style for style in nigaoe.styles if style.is_feed_forward]
    meant = [style for style in styles if name in (style.method, style.name)]
    # Of damaged ones alone the first is taken all the same: loading it says what is wrong.
    style = next((style for style in meant if style.is_usable), meant[0] if meant else None)
    method = feed_forward_method(name) if style is None else style.method
    if method is None:
        known = ", ".join(dict.fromkeys([*COMPARED, *(style.name for style in styles)]))
        raise UsageError(f"There is no method `{name}` to compare; choose among {known}.")
    title = METHOD_TITLES[method]
    if style is None:
        return LeftOut(
            name,
            f"{title} is left out, for no style of this method is installed: train one with `nigaoe train --method "
            f"{method} PHOTOS ANIME`, or import published weights with `nigaoe weights import`.",
        )
    if reference is not None and REFERENCE in style.options:
        what = "style" if method == GANS_N_ROSES else "texture"
        return Column(name, style.name, Caption(title, f"{what} of the reference"), {"reference": reference})
    if SEED in style.options:
        return Column(name, style.name, Caption(title, f"style of seed {seed}"), {"seed": seed})
    if style.needs_reference:
        return LeftOut(
            name,
            f"{title} is left out, for `{style.name}` has no texture of its own: name an anime picture with "
            "--reference.",
        )
    return Column(name, style.name, Caption(title, "mean texture of its anime pictures"), {})


def _picture(drawn: Drawn | None) -> Picture | None:
    return None if drawn is None else np.asarray(drawn.result.picture)


def _shown_reference(nigaoe: Nigaoe, columns: Sequence[Column]) -> Picture | None:
    """Return the reference of the first column that has one, as its style frames it. # [S, S, 3]."""
    for column in columns:
        if (reference := column.options.get("reference")) is not None:
            template, _ = nigaoe.pipeline.framing(column.style)
            return frame_reference(read_pixels(reference), template, REFERENCE_SIDE, nigaoe.detector)
    return None
