"""Figures: pictures in captioned columns on a card of paper, for a page that may be white or dark."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from nigaoe_core.errors import UsageError
from nigaoe_faces.sheet import ELLIPSIS, Picture, resized

PAPER: Final = (252, 249, 242)
EDGE: Final = (226, 218, 202)
INK: Final = (35, 30, 26)
PALE_INK: Final = (112, 102, 92)

LEAST_SIDE: Final = 64
"""Captions of smaller cells could not be read."""

_OVERSAMPLING: Final = 4


@dataclass(frozen=True, slots=True)
class Caption:
    """What stands above a column; the font has Western letters only.

    Attributes:
        title: What the column shows.
        detail: How it came to be, smaller; may be empty.
    """

    title: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class _Measures:
    """Lengths in pixels, which follow the side of a cell.

    Attributes:
        side: Of a cell.
        margin: Around everything.
        gap: Between neighbours.
        header: Height of the captions.
        title: Where titles stand, below the margin.
        detail: Where details stand, below the margin.
        corner: Radius of a cell's corners.
    """

    side: int
    margin: int
    gap: int
    header: int
    title: int
    detail: int
    corner: int

    @classmethod
    def of(cls, side: int, *, details: bool) -> "_Measures":
        shares = (0.09, 0.045, 0.19, 0.075, 0.135, 0.02) if details else (0.09, 0.045, 0.13, 0.075, 0.075, 0.02)
        return cls(side, *(round(side * share) for share in shares))

    def left(self, column: int) -> int:
        """Return the left edge of a column; the first one, the input, stands apart."""
        return self.margin + column * (self.side + self.gap) + (self.gap if column else 0)

    def top(self, row: int) -> int:
        """Return the upper edge of a row."""
        return self.margin + self.header + row * (self.side + self.gap)


def figure(columns: Sequence[Caption], rows: Sequence[Sequence[Picture | None]], *, side: int = 384) -> Picture:
    """Set pictures in rows of equal cells, under one caption a column; the first column stands apart.

    Args:
        columns: The captions.
        rows: One picture a column, square, each # [S, S, 3]; None leaves an empty frame.
        side: Of a cell in pixels; pictures are scaled to it.

    Returns:
        An opaque card with an edge of its own. # [H, W, 3].

    Raises:
        UsageError: There is nothing to show, a row has another number of pictures, or the cells are too small.
    """
    if not columns or not rows or any(len(row) != len(columns) for row in rows):
        raise UsageError("A figure needs columns, and rows with one picture for each of them.")
    if side < LEAST_SIDE:
        raise UsageError(f"The cells of a figure are at least {LEAST_SIDE} pixels wide, not {side}.")
    at = _Measures.of(side, details=any(caption.detail for caption in columns))
    size = (at.left(len(columns) - 1) + side + at.margin, at.top(len(rows) - 1) + side + at.margin)
    card = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(card)
    pen.rectangle((0, 0, size[0] - 1, size[1] - 1), outline=EDGE, width=max(1, side // 256))
    cell = _rounded_square(side, at.corner)
    for column, caption in enumerate(columns):
        _write_caption(pen, caption, at, at.left(column))
        for number, row in enumerate(rows):
            corner = (at.left(column), at.top(number))
            if (picture := row[column]) is None:
                _draw_empty(card, corner, cell)
            else:
                card.paste(Image.fromarray(resized(picture, side)), corner, cell)
    return np.asarray(card)


def _rounded_square(side: int, corner: int) -> Image.Image:
    """Return how much of a cell shows: all of it, but for its corners."""
    large = Image.new("L", (side * _OVERSAMPLING, side * _OVERSAMPLING))
    last = side * _OVERSAMPLING - 1
    ImageDraw.Draw(large).rounded_rectangle((0, 0, last, last), corner * _OVERSAMPLING, fill=255)
    return large.resize((side, side), Image.Resampling.BOX)


def _write_caption(pen: ImageDraw.ImageDraw, caption: Caption, at: _Measures, left: int) -> None:
    middle = left + at.side / 2
    title, font = _fitted(caption.title, at.side, round(at.side * 0.068))
    pen.text((middle, at.margin + at.title), title, fill=INK, font=font, anchor="ms")
    detail, font = _fitted(caption.detail, at.side, round(at.side * 0.044))
    pen.text((middle, at.margin + at.detail), detail, fill=PALE_INK, font=font, anchor="ms")


def _fitted(text: str, width: int, size: int) -> tuple[str, ImageFont.FreeTypeFont]:
    """Return a text and its font, smaller where it is too wide, down to three quarters; then its end is left out."""
    font = _font(size)
    while font.getlength(text) > width and font.size > 0.75 * size:
        font = _font(int(font.size) - 1)
    if font.getlength(text) > width:
        while text and font.getlength(text + ELLIPSIS) > width:
            text = text[:-1]
        text += ELLIPSIS
    return text, font


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size=size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise UsageError("This Pillow was built without FreeType, which writes captions; install Pillow's own wheel.")
    return font


def _draw_empty(card: Image.Image, corner: tuple[int, int], cell: Image.Image) -> None:
    frame = Image.new("RGB", cell.size, EDGE)
    inner = _rounded_square(cell.width - 4, max(1, cell.width // 50))
    frame.paste(PAPER, (2, 2), inner)
    card.paste(frame, corner, cell)
