"""Whom each style keeps: `python benchmarks/fairness.py --faces data/utkface data/selfies`.

Photos are searched once and drawn in every style. For each group of people and each style it prints how often the
person is found again among all photos of the table, identity (cosine of descriptors) of photo and redrawn face and of
photo and drawing, whether a drawing shows the photo's sex, how many years apart both look, and how the worst group
compares with the mean. Drawings are judged as people get them: in the person's colours, enlarged. `--faces` are packed
data sets of any multiple of the generator's resolution (`nigaoe data prepare --alignment demo --resolution 128`): the
search sees them reduced, the face networks as they are. `--latents` keeps what is found for a later run of other
styles, `--style` adds weights that no manifest names yet. No picture is written.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table

from benchmarks.parts.arithmetic import machine
from benchmarks.parts.likeness_groups import HIGHER_IS_BETTER, Groups, Measures, balanced, groups_of, read_labels
from nigaoe_core.bundled import BUNDLED_WEIGHTS
from nigaoe_core.jobs import Preset
from nigaoe_core.manifest import DEFAULT_UPSCALER
from nigaoe_core.registry import Registry
from nigaoe_model.inversion.settings import PRESETS
from nigaoe_model.portrait.drawing import DEFAULT_LOOK, Look, draw_portraits
from nigaoe_model.portrait.pair import LoadedGenerator, Pair, load_generator, load_pair
from nigaoe_model.portrait.upscale import WAYS, Upscaler
from nigaoe_model.training.dataset import PackedDataset, to_bytes
from nigaoe_model.training.face_regions import Pictures
from nigaoe_model.training.face_search import FaceSearch
from nigaoe_model.training.pair_metrics import identity_vectors, true_ranks
from nigaoe_model.training.person_measures import (
    appearance,
    appearance_measures,
    descriptors,
    identity_measures,
)

PARENT = "g_ori"
BATCH = 16
KEPT = (
    *HIGHER_IS_BETTER,
    "identity, redrawn",
    "same person, redrawn",
    "identity, drawing",
    "sex kept, redrawn",
    "sex kept",
)
"""Measures of which more is better; a group with few of them is left out by a style."""

LEAST_MEAN = 0.1
"""Below it a measure is as good as chance for everybody, and its ratio says nothing."""


def main() -> None:
    """Search, draw, measure, print."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    registry = Registry.load(arguments.weights)
    parent = registry.generator(PARENT)
    g_ori = load_generator(parent.path, encoder=parent.encoder)
    styles = list(_styles(registry, g_ori, arguments.style))
    upscaler = Upscaler(folders=registry.folders)
    search = FaceSearch(g_ori, PRESETS[Preset(arguments.preset)], arguments.latents)
    found: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for folder in arguments.faces:
        dataset = PackedDataset(folder)
        chosen = balanced(read_labels(dataset.folder), arguments.photos)
        photos = torch.from_numpy(np.array(dataset.pixels[chosen]))
        groups = groups_of(dataset, chosen, photos)
        people = People(g_ori, search, photos)
        for pair, look in styles:
            rows = summaries(people.measures(pair, look, upscaler), groups)
            title = f"{pair.style}: {len(photos)} photos of {dataset.card.name}, {arguments.preset}"
            drawn = f"{pair.upscaler}, truncation {look.truncation_psi:g}"
            caption = f"g_ori {g_ori.digest[:12]}, style {pair.g_fin.digest[:12]}, {drawn}; {machine()}"
            Console(width=150).print(_table(title, caption, rows, groups))
            found.setdefault(dataset.card.name, {})[pair.style] = rows
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=Path, nargs="+", default=[Path("data/utkface")], help="Packed data sets.")
    parser.add_argument("--weights", type=Path, default=BUNDLED_WEIGHTS, help="Folder with a manifest and the pair.")
    parser.add_argument(
        "--style", action="append", default=[], metavar="NAME=FILE[:UPSCALER]", help="A style of the same g_ori."
    )
    parser.add_argument("--photos", type=int, default=100, help="Of each data set.")
    parser.add_argument("--preset", choices=[preset.value for preset in Preset], default=Preset.DRAFT.value)
    parser.add_argument("--latents", type=Path, help="Folder that keeps what is found; latents are personal data.")
    parser.add_argument("--json", type=Path, help="Write the numbers to this file, too.")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def _styles(registry: Registry, g_ori: LoadedGenerator, more: Sequence[str]) -> Iterator[tuple[Pair, Look]]:
    """Yield the styles of the manifest as people get them, and those that the command line adds."""
    for style in registry.styles():
        if style.parent == PARENT:
            look = replace(DEFAULT_LOOK, truncation_psi=style.truncation)
            yield load_pair(style.name, g_ori, style.path, upscaler=style.upscaler), look
    for text in more:
        name, _, rest = text.partition("=")
        file, _, upscaler = rest.partition(":")
        if (upscaler := upscaler or DEFAULT_UPSCALER) not in WAYS:
            raise SystemExit(f"There is no upscaler `{upscaler}`; there are: {', '.join(WAYS)}.")
        yield load_pair(name, g_ori, Path(file), upscaler=upscaler), DEFAULT_LOOK


class People:
    """Photos that were searched once, and all that does not depend on a style.

    Args:
        g_ori: Where they are found.
        search: Finds them.
        photos: # [N, 3, k R, k R], R the generator's resolution.
    """

    def __init__(self, g_ori: LoadedGenerator, search: FaceSearch, photos: Pictures) -> None:
        self.template = g_ori.card.alignment
        self.photos = photos
        side = g_ori.card.architecture.resolution
        self.reduced = F.avg_pool2d(photos.float(), photos.shape[-1] // side).round().byte()
        self.w_plus = search(self.reduced)
        with torch.no_grad():
            redrawn = [to_bytes(g_ori.generator.draw_image(part)) for part in self.w_plus.split(BATCH)]
        self.persons = descriptors(photos, self.template)
        self.appearance = appearance(photos, self.template)
        at_best = identity_measures(self.persons, descriptors(self.reduced, self.template), "reduced photo")
        of_redrawn = identity_measures(self.persons, descriptors(torch.cat(redrawn), self.template), "redrawn")
        seen = appearance_measures(self.appearance, appearance(torch.cat(redrawn), self.template))
        self.own = {
            "identity, reduced photo": at_best["identity, reduced photo"],
            **of_redrawn,
            "sex kept, redrawn": seen["sex kept"],
        }

    def measures(self, pair: Pair, look: Look, upscaler: Upscaler) -> Measures:
        """Draw everybody in a style; say of each person what is left."""
        portraits = [
            portrait for part in self.w_plus.split(BATCH) for portrait in draw_portraits(pair, part, look, upscaler)
        ]
        drawings = to_bytes(torch.stack([portrait.drawing for portrait in portraits]))
        pictures = to_bytes(torch.stack([portrait.picture for portrait in portraits]))
        ranks = true_ranks(identity_vectors(drawings), identity_vectors(self.reduced)).astype(np.float64)
        of_drawing = identity_measures(self.persons, descriptors(pictures, self.template), "drawing")
        return {
            "first": (ranks == 1).astype(np.float64),
            "MRR": 1 / ranks,
            **self.own,
            "identity, drawing": of_drawing["identity, drawing"],
            **appearance_measures(self.appearance, appearance(pictures, self.template)),
        }


def summaries(measures: Measures, groups: Groups) -> dict[str, dict[str, float]]:
    """Return the rows of the table: all faces, every group, and the worst group over the mean."""
    rows = {"all": {title: float(values.mean()) for title, values in measures.items()}}
    rows |= {
        name: {title: float(values[members].mean()) for title, values in measures.items()}
        for name, members in groups.items()
    }
    worst = {
        title: (min if title in KEPT else max)(rows[name][title] for name in groups) / rows["all"][title]
        for title in measures
        if rows["all"][title] >= LEAST_MEAN
    }
    return rows | {"worst group / mean": worst}


def _table(title: str, caption: str, rows: dict[str, dict[str, float]], groups: Groups) -> Table:
    columns = list(rows["all"])
    table = Table("group", "faces", *columns, title=title, caption=caption)
    for name, row in rows.items():
        size = str(int(groups[name].sum())) if name in groups else ""
        table.add_row(name, size, *(f"{row[column]:.3f}" if column in row else "" for column in columns))
    return table


if __name__ == "__main__":
    main()
