"""Draw the pictures of the documentation with the weights that are in the checkout: `python docs/pictures.py`.

Nothing is chosen by hand but the README's picture (`hero.png`) and the four people that page and API show of every
style: the samples are all photos of `samples/`, the drawn faces of the cards are the first of one seed. `--only hero`
draws that picture alone, `--only samples` the row of each sample photo.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from nigaoe_core.jobs import Preset
from nigaoe_core.registry import Registry
from nigaoe_faces.align import align_face
from nigaoe_faces.detect import FaceDetector, choose_face
from nigaoe_faces.encoding import encode_png, encode_webp
from nigaoe_faces.images import read_photo
from nigaoe_faces.sheet import grid, resized
from nigaoe_model.device import prepare_device
from nigaoe_model.inversion.settings import PRESETS
from nigaoe_model.pixels import to_rgb
from nigaoe_model.portrait.convert import Conversion, ConversionOptions
from nigaoe_model.portrait.drawing import AS_FOUND, DEFAULT_LOOK, Look, draw_portraits
from nigaoe_model.portrait.pipeline import Pipeline, Subject
from nigaoe_model.stylegan2.latent_statistics import sample_w

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
SIDE = 192
DRAWN_FACES = 24
COLUMNS = 6
SEED = 24
HERO_STYLE = "illustration"
HERO_FACES = (3, 22, 6, 18, 10, 13)
"""Of the faces of `SEED`, those that the style draws best: chosen for the README."""
SHOWN_FACES = (3, 10, 6, 18)
"""Of the same, those that the page and the API show of every style, the cleanest first."""
TRUNCATION = 0.7
CARD_FACES = 6

Picture = NDArray[np.uint8]


def main() -> None:
    """Write the README's picture, the samples, and for every style its card's sheet and what the API shows of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("hero", "samples", "styles"))
    only = parser.parse_args().only
    prepare_device("cpu")
    registry = Registry.load(ROOT / "weights")
    pipeline = Pipeline(registry)
    IMAGES.mkdir(exist_ok=True)
    styles = [style.name for style in registry.styles()]
    if only in (None, "hero"):
        write("hero.png", hero(pipeline))
    if only in (None, "samples"):
        rows = [sample_pictures(pipeline, styles, photo) for photo in sorted((ROOT / "samples").glob("*.jpg"))]
        write("samples.png", grid([picture for row in rows for picture in row], columns=len(rows[0])))
    for style in styles if only in (None, "styles") else ():
        write(f"{style}.png", drawn_faces(pipeline, style), ROOT / "weights")
        write_samples(pipeline, style)


def look_of(pipeline: Pipeline, style: str) -> Look:
    """How people get a style who ask for nothing else."""
    return replace(DEFAULT_LOOK, truncation_psi=pipeline.registry.style(style).truncation)


def hero(pipeline: Pipeline) -> Picture:
    """A sample photo above its drawing, beside it invented people above theirs."""
    photo, _, drawing = sample_pictures(pipeline, [HERO_STYLE], ROOT / "samples" / "astronaut.jpg")
    pair = pipeline.pair(HERO_STYLE)
    mapping = pair.g_ori.generator.mapping
    with torch.no_grad():
        ws = mapping.broadcast(sample_w(mapping, DRAWN_FACES, seed=SEED))[list(HERO_FACES)]
        ws = mapping.truncate(ws, TRUNCATION)  # Before both are drawn: else the people alone would be far-fetched.
        portraits = draw_portraits(pair, ws, replace(DEFAULT_LOOK, truncation_psi=1.0), pipeline.upscaler)
    people = [photo, *(resized(to_rgb(portrait.person), SIDE) for portrait in portraits)]
    drawn = [drawing, *(resized(to_rgb(portrait.picture), SIDE) for portrait in portraits)]
    return grid([*people, *drawn], columns=len(people))


def sample_pictures(pipeline: Pipeline, styles: list[str], path: Path) -> list[Picture]:
    """Photo, reconstruction and every style's drawing of one sample."""
    photo = read_photo(path.read_bytes())
    face = choose_face(FaceDetector().detect(photo))
    pictures: list[Picture] = []
    for style in styles:
        template, resolution = pipeline.framing(style)
        crop, _ = align_face(photo, face.landmarks, template, resolution)
        large, _ = align_face(photo, face.landmarks, template, SIDE)
        options = ConversionOptions(settings=PRESETS[Preset.STANDARD], look=look_of(pipeline, style))
        ((_, outcome),) = pipeline.convert(style, options, [Subject(crop)])
        if not isinstance(outcome, Conversion):
            raise outcome
        if not pictures:
            pictures += [large, resized(to_rgb(outcome.portrait.person), SIDE)]
        pictures.append(resized(to_rgb(outcome.portrait.picture), SIDE))
    return pictures


@torch.no_grad()
def drawn_faces(pipeline: Pipeline, style: str) -> Picture:
    """People that `g_ori` draws, each above its drawing in the style, both as small as they are drawn."""
    pair = pipeline.pair(style)
    mapping = pair.g_ori.generator.mapping
    ws = mapping.truncate(mapping.broadcast(sample_w(mapping, CARD_FACES, seed=SEED)), TRUNCATION)
    pictures: list[Picture] = []
    for row in ws.split(COLUMNS):
        portraits = draw_portraits(pair, row, AS_FOUND, None)
        pictures += [to_rgb(portrait.person) for portrait in portraits]
        pictures += [to_rgb(portrait.picture) for portrait in portraits]
    return grid(pictures, columns=COLUMNS)


@torch.no_grad()
def write_samples(pipeline: Pipeline, style: str) -> None:
    """Write what `nigaoe_api.style_catalogue` shows: drawings of a style, and the drawn people behind them."""
    folder = ROOT / "weights" / "samples" / style
    folder.mkdir(parents=True, exist_ok=True)
    pair = pipeline.pair(style)
    mapping = pair.g_ori.generator.mapping
    ws = mapping.broadcast(sample_w(mapping, DRAWN_FACES, seed=SEED))[list(SHOWN_FACES)]
    look = replace(DEFAULT_LOOK, truncation_psi=TRUNCATION)
    persons = pair.g_ori.generator.draw_image(mapping.truncate(ws, TRUNCATION))
    for number, portrait in enumerate(draw_portraits(pair, ws, look, pipeline.upscaler), start=1):
        person = resized(to_rgb(persons[number - 1]), portrait.picture.shape[-1])  # The upscaler is for drawings.
        (folder / f"{number}.webp").write_bytes(encode_webp(to_rgb(portrait.picture)))
        (folder / f"{number}.before.webp").write_bytes(encode_webp(person))


def write(name: str, picture: Picture, folder: Path = IMAGES) -> None:
    """Write one picture of the documentation."""
    (folder / name).write_bytes(encode_png(picture))


if __name__ == "__main__":
    main()
