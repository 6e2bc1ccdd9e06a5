"""Contact sheets: several pictures composed into one that people show each other."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from nigaoe_core.errors import UsageError

Picture = NDArray[np.uint8]
GAP = 8
BACKGROUND = (255, 255, 255)
INK = (40, 40, 40)
TITLE_HEIGHT = 28
TITLE_SIZE = 15
ELLIPSIS = "..."


def side_by_side(pictures: Sequence[Picture], *, height: int = 256, gap: int = GAP) -> Picture:
    """Scale pictures to one height and place them in a row.

    Args:
        pictures: Each # [H_i, W_i, 3].
        height: Common height in pixels.
        gap: White pixels between neighbours.

    Returns:
        # [height, W, 3].

    Raises:
        UsageError: There are no pictures.
    """
    if not pictures:
        raise UsageError("A comparison needs at least one picture.")
    scaled = [_fit_height(picture, height) for picture in pictures]
    width = sum(image.width for image in scaled) + gap * (len(scaled) - 1)
    sheet = Image.new("RGB", (width, height), BACKGROUND)
    left = 0
    for image in scaled:
        sheet.paste(image, (left, 0))
        left += image.width + gap
    return np.asarray(sheet)


def titled(picture: Picture, title: str) -> Picture:
    """Write a title above a picture; what does not fit into its width is left out.

    Args:
        picture: # [H, W, 3].
        title: One line; the font has Western letters only.

    Returns:
        # [H + TITLE_HEIGHT, W, 3].
    """
    height, width, _ = picture.shape
    font = ImageFont.load_default(size=TITLE_SIZE)
    if font.getlength(title) > width:
        while title and font.getlength(title + ELLIPSIS) > width:
            title = title[:-1]
        title += ELLIPSIS
    sheet = Image.new("RGB", (width, height + TITLE_HEIGHT), BACKGROUND)
    ImageDraw.Draw(sheet).text((width / 2, TITLE_HEIGHT / 2), title, fill=INK, font=font, anchor="mm")
    sheet.paste(Image.fromarray(picture), (0, TITLE_HEIGHT))
    return np.asarray(sheet)


def grid(pictures: Sequence[Picture], *, columns: int, gap: int = 2) -> Picture:
    """Place pictures of one size in rows.

    Args:
        pictures: Each # [H, W, 3].
        columns: Pictures a row.
        gap: White pixels between neighbours.

    Raises:
        UsageError: There are no pictures, or their sizes differ.
    """
    if not pictures or len({picture.shape for picture in pictures}) > 1:
        raise UsageError("A grid needs pictures of one size.")
    height, width, _ = pictures[0].shape
    rows = -(-len(pictures) // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, dtype=np.uint8)
    for index, picture in enumerate(pictures):
        top, left = (index // columns) * (height + gap), (index % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = picture
    return sheet


def resized(picture: Picture, side: int) -> Picture:
    """Scale a square picture to ``side`` pixels. # [H, H, 3] -> [side, side, 3]."""
    return np.asarray(_fit_height(picture, side))


def cross_fade(first: Picture, second: Picture, steps: int) -> list[Picture]:
    """Return ``steps`` pictures that go from the first (excluded) to the second (included)."""
    a, b = first.astype(np.float32), second.astype(np.float32)
    shares = np.linspace(0, 1, steps + 1)[1:]
    return [np.clip(a + (b - a) * share + 0.5, 0, 255).astype(np.uint8) for share in shares]


def _fit_height(picture: Picture, height: int) -> Image.Image:
    image = Image.fromarray(picture)
    if image.height == height:
        return image
    return image.resize((max(1, round(image.width * height / image.height)), height), Image.Resampling.LANCZOS)
