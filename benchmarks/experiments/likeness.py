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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.experiments.inversion_defaults import HEAD_ALONE, distances
from benchmarks.parts.arithmetic import machine
from benchmarks.parts.likeness_groups import (
    HIGHER_IS_BETTER,
    Groups,
    Measures,
    balanced,
    groups_of,
    read_labels,
)
from nigaoe_core.bundled import BUNDLED_WEIGHTS
from nigaoe_core.jobs import DEFAULT_TRUNCATION, Preset
from nigaoe_core.registry import Registry
from nigaoe_model.inversion.settings import PRESETS, THESIS, InversionSettings
from nigaoe_model.portrait.convert import Conversion, ConversionOptions, redraw
from nigaoe_model.portrait.drawing import AS_FOUND, DEFAULT_LOOK, Look
from nigaoe_model.portrait.palette import background_mask
from nigaoe_model.portrait.pipeline import Pipeline, Subject
from nigaoe_model.portrait.stored_latent import StoredLatent
from nigaoe_model.training.dataset import PackedDataset, to_bytes, to_unit_range
from nigaoe_model.training.face_regions import (
    Pictures,
    Vectors,
    face_mask,
    hair_colour,
    skin_lightness,
    tint_background,
)
from nigaoe_model.training.pair_metrics import identity_vectors, true_ranks

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
        Console(width=120).print(_table(title, caption, rows, groups))
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


def carried_over(faces: Pictures, drawings: Pictures) -> Measures:
    """Say what of each photo is found in its drawing.

    `first` and `MRR`: whether the photo comes first, and 1 / rank, among all photos by the likeness to the drawing.
    `skin`, `hair`: difference of lightness between photo and drawing in standard scores over all faces (a style may be
    lighter as a whole): 0 is perfect, 1.13 chance.
    """
    ranks = true_ranks(identity_vectors(drawings), identity_vectors(faces)).astype(np.float64)
    hairs = hair_colour(faces)[:, 0], hair_colour(drawings)[:, 0]
    return {
        "first": (ranks == 1).astype(np.float64),
        "MRR": 1 / ranks,
        "skin": np.abs(_scores(skin_lightness(faces)) - _scores(skin_lightness(drawings))),
        "hair": np.abs(_scores(hairs[0]) - _scores(hairs[1])),
    }


def leak_of_each(faces: Pictures, tinted: Pictures, drawn: Pictures, drawn_tinted: Pictures) -> Vectors:
    """Return each drawn face's mean colour change in units of the backgrounds' mean change. # [N]."""
    cause = _colour_change(faces, tinted, background_mask(faces.shape[-1]))
    leaks: Vectors = _colour_change(drawn, drawn_tinted, face_mask(drawn.shape[-1])) / cause.mean()
    return leaks


def summaries(measures: Measures, groups: Groups) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield the rows of the table: all faces, every group, and the worst group over the mean."""
    everyone = {title: float(np.nanmean(values)) for title, values in measures.items()}
    rows = {name: _means(measures, members) for name, members in groups.items()}
    yield "all", everyone
    yield from rows.items()
    worst = {
        title: (min if title in HIGHER_IS_BETTER else max)(row[title] for row in rows.values() if title in row)
        for title in measures
    }
    yield "worst group / mean", {title: value / everyone[title] for title, value in worst.items()}


def _means(measures: Measures, members: np.ndarray) -> dict[str, float]:
    return {
        title: float(np.nanmean(values[members]))
        for title, values in measures.items()
        if not np.isnan(values[members]).all()
    }


def _table(title: str, caption: str, rows: Mapping[str, Mapping[str, float]], groups: Groups) -> Table:
    columns = list(rows["all"])
    table = Table("group", "faces", *columns, title=title, caption=caption)
    for name, row in rows.items():
        size = str(int(groups[name].sum())) if name in groups else ""
        table.add_row(name, size, *(f"{row[column]:.3f}" if column in row else "" for column in columns))
    return table


def _colour_change(before: Pictures, after: Pictures, mask: Tensor) -> Vectors:
    a, b = (pictures.double()[:, :, mask].mean(dim=2) for pictures in (before, after))  # [N, 3]
    change: Vectors = (a - b).abs().mean(dim=1).numpy()
    return change


def _scores(values: Vectors) -> Vectors:
    scores: Vectors = (values - values.mean()) / max(float(values.std()), 1e-9)
    return scores


if __name__ == "__main__":
    main()
