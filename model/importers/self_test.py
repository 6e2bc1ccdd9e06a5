"""The end of every import: the new generator draws, and its pictures are looked at by number and by eye."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from core.errors import BrokenCheckpoint
from faces.sheet import grid, resized
from model.generator import Generator
from model.latent_statistics import sample_w
from model.pixels import to_rgb

TRUNCATION_PSI = 0.7
COLUMNS = 4
SHEET_SIDE = 256
SEED = 1


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What was seen.

    Attributes:
        mean: Mean of all colours; about -0.1 for photos.
        deviation: Mean over pictures of the standard deviation of their colours; about 0.5 for photos.
        saturated: Share of colours outside of [-1.1, 1.1].
        variety: Mean standard deviation of a colour from picture to picture.
        warnings: What looks wrong, as sentences; empty for a sound generator.
        pictures: What it drew. # COLUMNS x [S, S, 3].
        before: What the parent drew from the same latents; empty without a parent.
        sheet: Both as one picture, the parent's row above.
    """

    mean: float
    deviation: float
    saturated: float
    variety: float
    warnings: tuple[str, ...]
    pictures: tuple[NDArray[np.uint8], ...]
    before: tuple[NDArray[np.uint8], ...]
    sheet: NDArray[np.uint8]


@torch.no_grad()
def run_self_test(generator: Generator, parent: Generator | None = None) -> SelfTest:
    """Draw the same latents with a generator and, for a style, with its parent.

    Args:
        generator: What was imported.
        parent: The generator that it was fine-tuned from: its latents are used, and its pictures stand above.

    Raises:
        BrokenCheckpoint: It draws no finite pictures.
    """
    ws = _latents(parent or generator)
    images = _draw(generator, ws)
    if not all(bool(image.isfinite().all()) for image in images):
        raise BrokenCheckpoint("The imported generator draws infinite or undefined colours: its numbers are damaged.")
    numbers = _statistics(images)
    before = tuple(to_rgb(image) for image in (_draw(parent, ws) if parent is not None else []))
    pictures = tuple(to_rgb(image) for image in images)
    return SelfTest(
        **numbers,
        warnings=_warnings(**numbers),
        pictures=pictures,
        before=before,
        sheet=grid([resized(picture, SHEET_SIDE) for picture in (*before, *pictures)], columns=COLUMNS, gap=4),
    )


def _latents(generator: Generator) -> Tensor:
    w = sample_w(generator.mapping, COLUMNS, seed=SEED)
    return generator.mapping.truncate(w, TRUNCATION_PSI)  # [COLUMNS, w_dim]


def _draw(generator: Generator, ws: Tensor) -> list[Tensor]:
    """Draw one after the other: a batch at 1024 px would take four times the memory."""
    return [_reduced(generator.draw_image(w[None])[0]) for w in ws]


def _reduced(image: Tensor) -> Tensor:
    """Keep only what the sheet shows. # [3, R, R] -> [3, S, S]."""
    side = min(SHEET_SIDE, image.shape[-1])
    return F.interpolate(image[None], size=(side, side), mode="area")[0]


def _statistics(images: Sequence[Tensor]) -> dict[str, float]:
    stack = torch.stack(list(images))  # [COLUMNS, 3, S, S]
    return {
        "mean": float(stack.mean()),
        "deviation": float(stack.flatten(1).std(dim=1).mean()),
        "saturated": float((stack.abs() > 1.1).float().mean()),
        "variety": float(stack.std(dim=0).mean()),
    }


def _warnings(*, mean: float, deviation: float, saturated: float, variety: float) -> tuple[str, ...]:
    found = []
    if deviation < 0.05:
        found.append(f"The pictures are almost one colour (standard deviation {deviation:.3f}).")
    if variety < 0.02:
        found.append(f"All latents give nearly the same picture (variety {variety:.3f}).")
    if saturated > 0.25 or abs(mean) > 0.8:
        found.append(
            f"{saturated:.0%} of the colours lie outside of [-1, 1] (mean {mean:.2f}): the network seems untrained, "
            "or of a variant that draws in another range."
        )
    return tuple(found)
