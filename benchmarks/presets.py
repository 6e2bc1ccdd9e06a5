"""What each preset gives and costs: `python benchmarks/presets.py --drawings anime=data/anime64`.

Held-out photos are found by each preset, and by `instant` with three gradient steps, and drawn in every style. A row
says how far ``g_ori`` draws from the photo (median reported distance), how often the person is found again among all
photos, given the drawing, identity of photo and redrawn face and of photo and drawing (cosine of descriptors), and how
far the drawings are from the style's data set (Frechet distance of features). Seconds are those from a photo's file to
its PNG, models loaded, the presets in turn. `--faces` is packed at the generator's resolution; `--latents` keeps what
is found. No picture is written.
"""

import argparse
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.parts.arithmetic import interleaved, machine
from nigaoe import Nigaoe
from nigaoe.outputs import Extras, OutputFolder
from nigaoe_core.jobs import Preset
from nigaoe_faces.result_encoder import ResultEncoder
from nigaoe_model.device import prepare_device
from nigaoe_model.inversion.settings import PRESETS, InversionSettings
from nigaoe_model.portrait.convert import search_objective
from nigaoe_model.portrait.drawing import DEFAULT_LOOK, draw_portraits
from nigaoe_model.portrait.pair import LoadedGenerator, Pair
from nigaoe_model.training.dataset import PackedDataset, to_bytes, to_unit_range
from nigaoe_model.training.face_regions import Pictures
from nigaoe_model.training.face_search import FaceSearch
from nigaoe_model.training.feature_statistics import Features, frechet_distance, picture_features
from nigaoe_model.training.pair_metrics import identity_vectors, retrieve
from nigaoe_model.training.person_measures import descriptors, identity_measures

BATCH = 16
REAL = 2000
"""Pictures of a data set that drawings are compared with."""

STEPS_OF_THREE = 4
"""The last step of a search evaluates and moves nothing that is returned: four steps move a latent three times."""

SETTINGS: Mapping[str, tuple[Preset, int | None]] = {
    "instant": (Preset.INSTANT, None),
    "instant, 3 steps": (Preset.INSTANT, STEPS_OF_THREE),
    "draft": (Preset.DRAFT, None),
    "standard": (Preset.STANDARD, None),
}


def main() -> None:
    """Find, draw, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=Path, default=Path("data/faces64-heldout"), help="Packed held-out photos.")
    parser.add_argument("--drawings", type=Path, nargs="*", default=[], help="STYLE=FOLDER: its packed data set.")
    parser.add_argument("--photos", type=int, default=200, help="The first of them.")
    parser.add_argument("--photo", type=Path, default=Path("samples/astronaut.jpg"), help="Of which seconds are taken.")
    parser.add_argument("--rows", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--latents", type=Path, help="Folder that keeps what is found; latents are personal data.")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    prepare_device("cpu", arguments.threads)
    nigaoe = Nigaoe(device="cpu", threads=arguments.threads)
    photos = torch.from_numpy(np.array(PackedDataset(arguments.faces).pixels[: arguments.photos]))
    data = {style: Path(folder) for style, _, folder in (text.partition("=") for text in arguments.drawings)}
    pairs = [nigaoe.pipeline.pair(style.name) for style in nigaoe.styles if not style.is_feed_forward]
    g_ori = pairs[0].g_ori
    seconds = interleaved(
        {row: partial(_from_file_to_png, nigaoe, arguments.photo, row) for row in arguments.rows}, arguments.runs
    )
    title = f"{len(photos)} photos; {machine()}; {g_ori.digest[:12]}"
    identity = [f"{pair.style}: {name}" for pair in pairs for name in ("top 1", "identity", "FD")]
    table = Table("preset", "distance", "identity, redrawn", *identity, "wall s", "CPU s", title=title)
    persons = descriptors(photos, g_ori.card.alignment)
    for row in arguments.rows:
        w_plus = FaceSearch(g_ori, settings_of(row), arguments.latents)(photos)
        redrawn = _drawn(g_ori, w_plus)
        cells = [
            float(distances(g_ori, photos, w_plus).median()),
            _mean(identity_measures(persons, descriptors(redrawn, g_ori.card.alignment), "redrawn"), "redrawn"),
        ]
        for pair in pairs:
            cells += _of_style(pair, nigaoe, photos, persons, w_plus, data.get(pair.style))
        table.add_row(row, *(f"{cell:.3f}" for cell in (*cells, seconds[row].wall, seconds[row].cpu)))
    Console(width=200).print(table)


def settings_of(row: str) -> InversionSettings:
    """Return the settings of a row of the table."""
    preset, steps = SETTINGS[row]
    return PRESETS[preset] if steps is None else PRESETS[preset].model_copy(update={"steps": steps})


@torch.no_grad()
def distances(g_ori: LoadedGenerator, photos: Pictures, w_plus: Tensor) -> Tensor:
    """Return how far what ``g_ori`` draws of each latent is from its photo. # [N]."""
    objective = search_objective(g_ori)
    parts = zip(to_unit_range(photos).split(BATCH), w_plus.split(BATCH), strict=True)
    return torch.cat([objective.distance(g_ori.generator.draw_image(w), objective.describe(x)) for x, w in parts])


def _of_style(
    pair: Pair, nigaoe: Nigaoe, photos: Pictures, persons: Tensor, w_plus: Tensor, data: Path | None
) -> list[float]:
    truncation = nigaoe.pipeline.registry.style(pair.style).truncation
    look = replace(DEFAULT_LOOK, truncation_psi=truncation)
    portraits = [p for part in w_plus.split(BATCH) for p in draw_portraits(pair, part, look, nigaoe.pipeline.upscaler)]
    drawings = to_bytes(torch.stack([portrait.drawing for portrait in portraits]))
    pictures = to_bytes(torch.stack([portrait.picture for portrait in portraits]))
    identity = identity_measures(persons, descriptors(pictures, pair.g_ori.card.alignment), "drawing")
    distance = float("nan")
    if data is not None:
        distance = frechet_distance(picture_features([drawings]), _features_of(data))
    return [retrieve(identity_vectors(drawings), identity_vectors(photos)).top1, _mean(identity, "drawing"), distance]


@cache
def _features_of(folder: Path) -> Features:
    real = PackedDataset(folder).pixels
    some = real[:: max(1, len(real) // REAL)][:REAL]
    return picture_features(torch.from_numpy(np.array(some)).split(256))


@torch.no_grad()
def _drawn(g_ori: LoadedGenerator, w_plus: Tensor) -> Pictures:
    return torch.cat([to_bytes(g_ori.generator.draw_image(part)) for part in w_plus.split(BATCH)])


def _mean(measures: Mapping[str, np.ndarray], name: str) -> float:
    return float(np.mean(measures[f"identity, {name}"]))


def _from_file_to_png(nigaoe: Nigaoe, photo: Path, row: str) -> None:
    preset, steps = SETTINGS[row]
    with tempfile.TemporaryDirectory() as path:
        folder = OutputFolder(Path(path), Extras(), ResultEncoder())
        folder.write(nigaoe.convert(photo, preset=preset, steps=steps))


if __name__ == "__main__":
    main()
