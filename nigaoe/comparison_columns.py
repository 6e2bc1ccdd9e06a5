"""The columns of a comparison: which methods there are, which style draws for each, and with which options.

Two columns come from one style of reverse generation, with the same ``g_ori``, ``g_fin`` and enlargement, so that they
differ by method alone:

* ``thesis`` is the thesis's plain cross-domain reverse generation: the whole picture is searched for in ``g_ori`` from
  the mean face, in 1,000 steps without priors (`nigaoe_model.inversion.settings.THESIS`), and ``g_fin`` draws the very
  latent that was found: no encoder's guess, no truncation, no colour transfer, degree 1.
* ``nigaoe`` is what people get who ask for nothing else.

The other columns are feed-forward styles, the methods that the thesis compares itself with.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from nigaoe.library import ConvertOptions, Nigaoe
from nigaoe.photos import Photo
from nigaoe_core.errors import UnknownStyle, UsageError
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
from nigaoe_faces.figure import Caption
from nigaoe_model.inversion.settings import PRESETS, THESIS

THESIS_NAME: Final = "thesis"
NIGAOE_NAME: Final = "nigaoe"

COMPARED: Final = (GANS_N_ROSES, SWAPPING_AUTOENCODER, THESIS_NAME, NIGAOE_NAME)
"""The columns of the thesis's figure, from left to right."""

PLAIN: Final[ConvertOptions] = {"method": Method.CROSS, "preset": THESIS, "truncation": 1.0, "colours": 0.0}
"""The thesis's method in the library's options."""


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
