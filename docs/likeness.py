"""Draw the sheets of docs/inversion.md's section on likeness: `python docs/likeness.py`.

The thesis's reverse generation (mean face, plain 1,000 steps, drawn as found) beside today's default, for all photos of
`samples/` and for 24 faces that `g_ori` drew itself; nothing is chosen by hand. `--weights` takes a newer pair. The
1,000 steps take about ten minutes of one core.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pictures import IMAGES, ROOT, SEED, write
from PIL import Image, ImageDraw, ImageFont

from core.jobs import DEFAULT_TRUNCATION, Preset
from core.registry import Registry
from faces.align import align_face
from faces.detect import FaceDetector, choose_face
from faces.images import read_photo
from faces.sheet import resized
from model.conversion import Conversion
from model.device import prepare_device
from model.inversion.presets import PRESETS, THESIS
from model.latent_statistics import sample_w
from model.pipeline import Order, Pipeline, Subject
from model.pixels import to_rgb
from model.portrait import Look, Portrait, draw_portraits

FACES = 24
SAMPLE_SIDE, FACE_SIDE = 176, 96
GAP, WIDE_GAP, TITLE_HEIGHT = 4, 18, 34
INK = (40, 40, 40)

Picture = NDArray[np.uint8]
Row = Sequence[Sequence[Picture]]
"""Groups of pictures that lie beside each other."""


def orders(style: str) -> Mapping[str, Order]:
    """Return what is compared: the thesis's way and today's default."""
    return {
        "thesis": Order(style, settings=THESIS, look=Look()),
        "default": Order(style, settings=PRESETS[Preset.STANDARD], look=Look(truncation_psi=DEFAULT_TRUNCATION)),
    }


def main() -> None:
    """Write both sheets of every style."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=ROOT / "weights")
    parser.add_argument("--out", type=Path, default=IMAGES)
    arguments = parser.parse_args()
    prepare_device("cpu")
    registry = Registry.load(arguments.weights)
    pipeline = Pipeline(registry)
    arguments.out.mkdir(exist_ok=True)
    for style in [style.name for style in registry.styles()]:
        write(f"likeness-samples-{style}.png", samples_sheet(pipeline, style), arguments.out)
        write(f"likeness-faces-{style}.png", faces_sheet(pipeline, style), arguments.out)


def samples_sheet(pipeline: Pipeline, style: str) -> Picture:
    """A row a sample: photo; reconstruction and drawing by the thesis's way; the same by default."""
    template, resolution = pipeline.framing(style)
    crops, large = [], []
    for path in sorted((ROOT / "samples").glob("*.jpg")):
        photo = read_photo(path.read_bytes())
        landmarks = choose_face(FaceDetector().detect(photo)).landmarks
        crops.append(align_face(photo, landmarks, template, resolution)[0])
        large.append(align_face(photo, landmarks, template, SAMPLE_SIDE)[0])
    ways = [converted(pipeline, order, crops) for order in orders(style).values()]
    rows = [
        [[photo], *([to_rgb(way[n].person), to_rgb(way[n].picture)] for way in ways)] for n, photo in enumerate(large)
    ]
    titles = ["photo", "thesis: found, drawn", "default: found, drawn"]
    return sheet([rows], titles, SAMPLE_SIDE)


def faces_sheet(pipeline: Pipeline, style: str) -> Picture:
    """Faces that `g_ori` drew, each beside its known drawing and what both ways made of the face alone."""
    pair = pipeline.pair(style)
    mapping = pair.g_ori.generator.mapping
    ws = mapping.broadcast(sample_w(mapping, FACES, seed=SEED))
    truths = draw_portraits(pair, ws, Look(), pipeline.upscaler)
    crops = [to_rgb(truth.person) for truth in truths]
    ways = [converted(pipeline, order, crops) for order in orders(style).values()]
    rows = [
        [[crop, to_rgb(truth.picture)], *([to_rgb(way[n].picture)] for way in ways)]
        for n, (crop, truth) in enumerate(zip(crops, truths, strict=True))
    ]
    third = FACES // 3
    return sheet(
        [rows[:third], rows[third:-third], rows[-third:]], ["face, its drawing", "thesis", "default"], FACE_SIDE
    )


def converted(pipeline: Pipeline, order: Order, crops: Sequence[Picture]) -> list[Portrait]:
    """Convert crops # [R, R, 3], in their order."""
    subjects = [Subject(crop, seed=number) for number, crop in enumerate(crops)]
    portraits = {}
    for subject, outcome in pipeline.convert(order, subjects):
        if not isinstance(outcome, Conversion):
            raise outcome
        portraits[subject] = outcome.portrait
    return [portraits[subject] for subject in subjects]


def sheet(blocks: Sequence[Sequence[Row]], titles: Sequence[str], side: int) -> Picture:
    """Set blocks beside each other, each of rows of titled groups of pictures.

    Args:
        blocks: Pictures by block, row and group; every row has one group a title.
        titles: What is written above each group.
        side: Every picture is scaled to this many pixels.
    """
    parts = [_block(rows, titles, side) for rows in blocks]
    space = np.full((parts[0].shape[0], 2 * WIDE_GAP, 3), 255, np.uint8)
    columns = [column for part in parts for column in (part, space)]
    return np.concatenate(columns[:-1], axis=1)


def _block(rows: Sequence[Row], titles: Sequence[str], side: int) -> Picture:
    step, lefts, left = side + GAP, [], 0
    for group in rows[0]:
        lefts.append(left)
        left += len(group) * step - GAP + WIDE_GAP
    canvas = Image.new("RGB", (left - WIDE_GAP, TITLE_HEIGHT + len(rows) * step - GAP), (255, 255, 255))
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=15)
    for group, title, start in zip(rows[0], titles, lefts, strict=True):
        middle = start + (len(group) * step - GAP) / 2
        pen.text((middle, TITLE_HEIGHT / 2), title, fill=INK, font=font, anchor="mm")
    for number, row in enumerate(rows):
        for group, start in zip(row, lefts, strict=True):
            for place, picture in enumerate(group):
                corner = (start + place * step, TITLE_HEIGHT + number * step)
                canvas.paste(Image.fromarray(resized(picture, side)), corner)
    return np.asarray(canvas)


if __name__ == "__main__":
    main()
