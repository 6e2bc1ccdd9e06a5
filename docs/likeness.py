"""Draw the sheets of docs/experiments/2026-11-27-likeness.md: `python docs/likeness.py`.

The thesis's reverse generation (mean face, plain 1,000 steps, drawn as found) beside today's default, for all photos of
`samples/` and for 24 faces that `g_ori` drew itself; nothing is chosen by hand. `--weights` takes a newer pair. The
1,000 steps take about ten minutes of one core.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pictures import IMAGES, ROOT, SEED, write
from PIL import Image, ImageDraw, ImageFont

from nigaoe_core.jobs import Preset
from nigaoe_core.registry import Registry
from nigaoe_faces.align import align_face
from nigaoe_faces.detect import FaceDetector, choose_face
from nigaoe_faces.images import read_photo
from nigaoe_faces.sheet import resized
from nigaoe_model.device import prepare_device
from nigaoe_model.inversion.settings import PRESETS, THESIS
from nigaoe_model.pixels import to_rgb
from nigaoe_model.portrait.convert import Conversion, ConversionOptions, redraw
from nigaoe_model.portrait.drawing import AS_FOUND, DEFAULT_LOOK, Look, Portrait, draw_portraits
from nigaoe_model.portrait.pipeline import Pipeline, Subject
from nigaoe_model.portrait.stored_latent import StoredLatent
from nigaoe_model.stylegan2.latent_statistics import sample_w

FACES = 24
SAMPLE_SIDE, FACE_SIDE = 176, 96
GAP, WIDE_GAP, TITLE_HEIGHT = 4, 18, 34
INK = (40, 40, 40)

Picture = NDArray[np.uint8]
Row = Sequence[Sequence[Picture]]
"""Groups of pictures that lie beside each other."""

Found = dict[str, list[StoredLatent]]
"""The latents that each way found, in the order of the faces."""


WAYS = {
    "thesis": (THESIS, AS_FOUND),
    "default": (PRESETS[Preset.STANDARD], DEFAULT_LOOK),
}
"""What is compared: how each way searches, and how it draws what was found."""


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
    styles = [style.name for style in registry.styles()]
    for parent in sorted({registry.style(style).parent for style in styles}):
        children = [style for style in styles if registry.style(style).parent == parent]
        for name, draw in (("samples", samples_sheets), ("faces", faces_sheets)):
            for style, picture in draw(pipeline, children).items():
                write(f"likeness-{name}-{style}.png", picture, arguments.out)


def samples_sheets(pipeline: Pipeline, styles: Sequence[str]) -> dict[str, Picture]:
    """A row a sample: photo; reconstruction and drawing by the thesis's way; the same by default."""
    template, resolution = pipeline.framing(styles[0])
    crops, large = [], []
    for path in sorted((ROOT / "samples").glob("*.jpg")):
        photo = read_photo(path.read_bytes())
        landmarks = choose_face(FaceDetector().detect(photo)).landmarks
        crops.append(align_face(photo, landmarks, template, resolution)[0])
        large.append(align_face(photo, landmarks, template, SAMPLE_SIDE)[0])
    found = search(pipeline, styles[0], crops)
    titles = ["photo", "thesis: found, drawn", "default: found, drawn"]
    sheets = {}
    for style in styles:
        ways = draw_all(pipeline, style, found)
        rows = [
            [[photo], *([to_rgb(way[n].person), to_rgb(way[n].picture)] for way in ways)]
            for n, photo in enumerate(large)
        ]
        sheets[style] = sheet([rows], titles, SAMPLE_SIDE)
    return sheets


def faces_sheets(pipeline: Pipeline, styles: Sequence[str]) -> dict[str, Picture]:
    """Faces that `g_ori` drew, each beside its known drawing and what both ways made of the face alone."""
    mapping = pipeline.pair(styles[0]).g_ori.generator.mapping
    ws = mapping.broadcast(sample_w(mapping, FACES, seed=SEED))
    found: Found = {}
    sheets = {}
    third = FACES // 3
    for style in styles:
        truths = draw_portraits(pipeline.pair(style), ws, Look(), pipeline.upscaler)
        crops = [to_rgb(truth.person) for truth in truths]
        found = found or search(pipeline, style, crops)
        ways = draw_all(pipeline, style, found)
        rows = [
            [[crop, to_rgb(truth.picture)], *([to_rgb(way[n].picture)] for way in ways)]
            for n, (crop, truth) in enumerate(zip(crops, truths, strict=True))
        ]
        blocks = [rows[:third], rows[third:-third], rows[-third:]]
        sheets[style] = sheet(blocks, ["face, its drawing", "thesis", "default"], FACE_SIDE)
    return sheets


def search(pipeline: Pipeline, style: str, crops: Sequence[Picture]) -> Found:
    """Find crops # [R, R, 3] in the parent of a style, each way; all its styles draw the same latents."""
    return {
        way: _latents(pipeline, style, ConversionOptions(settings=settings), crops)
        for way, (settings, _) in WAYS.items()
    }


def draw_all(pipeline: Pipeline, style: str, found: Found) -> list[list[Portrait]]:
    """Let a style draw what each way found."""
    pair = pipeline.pair(style)
    return [[redraw(pair, latent, look, pipeline.upscaler) for latent in found[way]] for way, (_, look) in WAYS.items()]


def _latents(
    pipeline: Pipeline, style: str, options: ConversionOptions, crops: Sequence[Picture]
) -> list[StoredLatent]:
    subjects = [Subject(crop, seed=number) for number, crop in enumerate(crops)]
    latents = {}
    for subject, outcome in pipeline.convert(style, options, subjects):
        if not isinstance(outcome, Conversion):
            raise outcome
        latents[subject] = outcome.latent
    return [latents[subject] for subject in subjects]


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
