"""How alike drawings are, and for whom: `python benchmarks/experiments/likeness.py --faces data/utkface`.

Converts photos as `nigaoe convert` does and prints one row a group: how far the redrawn face is from the photo (whole
picture, and head alone), how often the person is found again among all photos of the table given the drawing, how much
of a background's colour leaks into the drawn face, and how well the lightness of skin and hair carries over. The last
row says how the worst group compares with the mean. `--faces` is a packed data set as `nigaoe data prepare` writes it:
UTKFace's file names are labels, and all photos are grouped by their pixels. `--ways` repeats the table for other
settings, `--weights` measures a newer pair. No picture is written.
"""

import argparse
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from benchmarks.experiments.inversion_defaults import HEAD_ALONE, distances
from benchmarks.parts.arithmetic import machine
from benchmarks.parts.carried_over import carried_over, leak_of_each
from benchmarks.parts.group_table import group_table, summaries
from benchmarks.parts.likeness_groups import Measures, balanced, groups_of, read_labels
from nigaoe_core.bundled import BUNDLED_WEIGHTS
from nigaoe_core.jobs import DEFAULT_TRUNCATION, Preset
from nigaoe_core.registry import Registry
from nigaoe_model.inversion.settings import PRESETS, THESIS, InversionSettings
from nigaoe_model.portrait.convert import Conversion, ConversionOptions, redraw
from nigaoe_model.portrait.drawing import AS_FOUND, DEFAULT_LOOK, Look
from nigaoe_model.portrait.pipeline import Pipeline, Subject
from nigaoe_model.portrait.stored_latent import StoredLatent
from nigaoe_model.training.dataset import PackedDataset, to_bytes, to_unit_range
from nigaoe_model.training.face_regions import Pictures, tint_background

STANDARD = PRESETS[Preset.STANDARD]


@dataclass(frozen=True)
class Way:
    """One way of converting all faces."""

    settings: InversionSettings = STANDARD
    look: Look = field(default_factory=lambda: DEFAULT_LOOK)


WAYS = {
    "default": Way(),
    "thesis": Way(THESIS, AS_FOUND),
    "mean start": Way(STANDARD.model_copy(update={"start": "mean"})),
    "as found": Way(look=AS_FOUND),
    "own colours": Way(look=Look(truncation_psi=DEFAULT_TRUNCATION)),
    "background 1": Way(STANDARD.model_copy(update={"background": 1.0})),
    "background 0.3": Way(STANDARD.model_copy(update={"background": 0.3})),
    "background 0.1": Way(STANDARD.model_copy(update={"background": 0.1})),
    "background 0": Way(STANDARD.model_copy(update={"background": 0.0})),
}


@dataclass(frozen=True)
class Outcome:
    """What became of all faces. ``w_plus`` # [N, num_ws, w_dim], ``drawings`` bytes # [N, 3, R, R]."""

    w_plus: Tensor
    drawings: Pictures


def main() -> None:
    """Draw a balanced sample, convert it in every way, print."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    dataset = PackedDataset(arguments.faces)
    chosen = balanced(read_labels(dataset.folder), arguments.photos)
    faces = torch.from_numpy(np.array(dataset.pixels[chosen]))
    groups = groups_of(dataset, chosen, faces)
    studio = Studio(Pipeline(Registry.load(arguments.weights), upscale=False), arguments.style)
    found = {}
    for name in arguments.ways:
        started = time.process_time()
        measures = measured(studio, WAYS[name], faces, arguments.tinted)
        seconds = time.process_time() - started
        title = f"{name}: {len(faces)} photos of {dataset.card.name}"
        caption = f"g_ori {studio.pair.g_ori.digest[:12]}; {seconds:.0f} CPU s; {machine()}"
        rows = dict(summaries(measures, groups))
        Console(width=120).print(group_table(title, caption, rows, groups))
        found[name] = rows
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=Path, default=Path("data/utkface"), help="Packed data set of photos.")
    parser.add_argument("--weights", type=Path, default=BUNDLED_WEIGHTS, help="Folder with a manifest and the pair.")
    parser.add_argument("--style", default="anime")
    parser.add_argument("--photos", type=int, default=120)
    parser.add_argument("--tinted", type=int, default=60, help="Photos that are converted again on other backgrounds.")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=["default"])
    parser.add_argument("--json", type=Path, help="Write the numbers to this file, too.")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


class Studio:
    """Converts photos in one style; ways that differ in their look alone share a search.

    Args:
        pipeline: Converts.
        style: The style.
    """

    def __init__(self, pipeline: Pipeline, style: str) -> None:
        self.pipeline, self.style = pipeline, style
        self.pair = pipeline.pair(style)
        self._latents: dict[tuple[InversionSettings, bytes], list[StoredLatent]] = {}

    def convert(self, way: Way, faces: Pictures) -> Outcome:
        """Convert photos # [N, 3, R, R] as an order would."""
        key = (way.settings, faces.numpy().tobytes())
        if key not in self._latents:
            self._latents[key] = self._search(way.settings, faces)
        latents = self._latents[key]
        drawings = [to_bytes(redraw(self.pair, latent, way.look, None).drawing) for latent in latents]
        return Outcome(torch.stack([latent.w_plus for latent in latents]), torch.stack(drawings))

    def _search(self, settings: InversionSettings, faces: Pictures) -> list[StoredLatent]:
        crops = [np.ascontiguousarray(face.permute(1, 2, 0).numpy()) for face in faces]
        subjects = [Subject(crop, seed=number) for number, crop in enumerate(crops)]
        found: dict[Subject, StoredLatent] = {}
        for subject, outcome in self.pipeline.convert(self.style, ConversionOptions(settings=settings), subjects):
            if not isinstance(outcome, Conversion):
                raise outcome
            found[subject] = outcome.latent
        return [found[subject] for subject in subjects]


def measured(studio: Studio, way: Way, faces: Pictures, tinted: int) -> Measures:
    """Convert the faces, and some of them on another background; say of each what came of it."""
    outcome, targets = studio.convert(way, faces), to_unit_range(faces)
    measures = {
        "whole": distances(studio.pair, outcome.w_plus, targets).double().numpy(),
        "head": distances(studio.pair, outcome.w_plus, targets, HEAD_ALONE).double().numpy(),
        **carried_over(faces, outcome.drawings),
    }
    some = np.linspace(0, len(faces) - 1, min(tinted, len(faces))).round().astype(int)
    leaks = np.full(len(faces), np.nan)
    if len(some):
        other = tint_background(faces[some])
        again = studio.convert(way, other)
        leaks[some] = leak_of_each(faces[some], other, outcome.drawings[some], again.drawings)
    return measures | {"leak": leaks}


if __name__ == "__main__":
    main()
