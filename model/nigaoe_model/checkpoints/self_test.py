"""Last step of every import: the new generator draws, and its pictures are checked by numbers and shown to the user."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from nigaoe_core.errors import BrokenCheckpoint
from nigaoe_faces.sheet import grid, resized
from nigaoe_model.pixels import to_rgb
from nigaoe_model.portrait.feed_forward import FeedForwardStyle, OnePassRequest, draw_in_one_pass
from nigaoe_model.stylegan2.generator import Canvas, Generator
from nigaoe_model.stylegan2.latent_statistics import sample_w

TRUNCATION_PSI = 0.7
COLUMNS = 4
SHEET_SIDE = 256
"""Side of the pictures that are checked. Larger generators are stopped there: their skips sum up to a picture at every
resolution. Their last blocks draw the middle of one picture, to see that they work."""

SEED = 1


@dataclass(frozen=True, slots=True)
class SelfTest:
    """Statistics and pictures of the self-test.

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
    return _judged(images, _draw(parent, ws) if parent is not None else images[:0])


@torch.no_grad()
def run_feed_forward_self_test(style: FeedForwardStyle, persons: Generator) -> SelfTest:
    """Draw people who do not exist in a feed-forward style; one that needs references gets each one's neighbour.

    Args:
        style: What was imported.
        persons: A generator of people: its pictures are the photos, and stand above. They are framed as it has learned
            to frame them, which may be wider or narrower than the style would have it.

    Raises:
        BrokenCheckpoint: It draws no finite pictures.
    """
    drawn = _draw(persons, _latents(persons)).clamp(-1, 1)
    side = (style.resolution, style.resolution)
    photos = F.interpolate(drawn, side, mode="bilinear", antialias=True).clamp(-1, 1)
    references = [None if style.has_own_style else photo for photo in photos.roll(1, dims=0)]
    requests = [OnePassRequest(p, seed=i, reference=r) for i, (p, r) in enumerate(zip(photos, references, strict=True))]
    images = torch.stack([drawing.drawing for drawing in draw_in_one_pass(style, requests, None)])
    if not bool(images.isfinite().all()):
        raise BrokenCheckpoint("The imported network draws infinite or undefined colours: its numbers are damaged.")
    return _judged(images, photos)


def _judged(images: Tensor, persons: Tensor) -> SelfTest:
    """Look at what was drawn, and put it below the persons that it was drawn of, if any. # [COLUMNS, 3, S, S]."""
    numbers = _statistics(images)
    before = tuple(to_rgb(image) for image in persons)
    pictures = tuple(to_rgb(image) for image in images)
    return SelfTest(
        **numbers,
        warnings=_warnings(**numbers),
        pictures=pictures,
        before=before,
        sheet=grid([resized(picture, SHEET_SIDE) for picture in (*before, *pictures)], columns=COLUMNS, gap=4),
    )


def _latents(generator: Generator) -> Tensor:
    """Return styles near the mean, where every generator is at its best. # [COLUMNS, num_ws, w_dim]."""
    w = sample_w(generator.mapping, COLUMNS, seed=SEED)
    return generator.mapping.broadcast(generator.mapping.truncate(w, TRUNCATION_PSI))


def _draw(generator: Generator, ws: Tensor) -> Tensor:
    """Draw all up to the sheet's size, one after the other, and of the first the middle to the end.

    Returns:
        # [COLUMNS, 3, S, S].
    """
    resolution = generator.architecture.resolution
    first = _draw_up_to(generator, ws[:1], min(resolution, SHEET_SIDE))
    others = [_draw_up_to(generator, w[None], first.resolution).image for w in ws[1:]]
    pictures = torch.cat([first.image, *others])
    last = _draw_middle(generator, ws[:1], first) if resolution > SHEET_SIDE else pictures
    if not bool(pictures.isfinite().all() and last.isfinite().all()):
        raise BrokenCheckpoint("The imported generator draws infinite or undefined colours: its numbers are damaged.")
    return pictures


def _draw_up_to(generator: Generator, ws: Tensor, resolution: int) -> Canvas:
    return generator.synthesis.draw(ws, noise="fixed", stop=resolution)[-1]


def _draw_middle(generator: Generator, ws: Tensor, canvas: Canvas) -> Tensor:
    """Go on drawing only the middle quarter of a picture: every weight is used, at a fourth of time and memory."""
    maps = []
    for block in (generator.synthesis.block(r) for r in generator.architecture.resolutions):
        drawn = block.resolution <= canvas.resolution
        maps += [conv.noise_const if drawn else _middle(conv.noise_const) for conv in block.convs]
    start = Canvas(canvas.resolution, _middle(canvas.features), _middle(canvas.image))
    noise = [noise_map[None, None] for noise_map in maps]
    return generator.synthesis.draw(ws, noise=noise, start=start)[-1].image


def _middle(x: Tensor) -> Tensor:
    """Cut the middle out. # [..., H, W] -> [..., H / 2, W / 2]."""
    side = x.shape[-1]
    return x[..., side // 4 : side * 3 // 4, side // 4 : side * 3 // 4]


def _statistics(images: Tensor) -> dict[str, float]:
    return {
        "mean": float(images.mean()),
        "deviation": float(images.flatten(1).std(dim=1).mean()),
        "saturated": float((images.abs() > 1.1).float().mean()),
        "variety": float(images.std(dim=0).mean()),
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
