"""What each method keeps of a photo, and what it makes of it.

`python benchmarks/methods.py data/utkface data/anime` lets the methods of `nigaoe compare` that are installed (GANs N'
Roses, the Swapping Autoencoder, the thesis's plain reverse generation, Nigaoe's defaults) draw the same photos, which
none of them has learned from. One table says for every method how near its drawings are to the style's data, whether
the person is found again, identity, pose, lightness of hair and skin, how much of a background's colour leaks into the
face, how much seeds or references change, and what a photo costs. It puts two complaints of the thesis in numbers: that
GANs N' Roses "reflects almost no facial appearance" (how much of the variance of drawings comes with the photo), and
that the Swapping Autoencoder is too close to the input and shows few artefacts of anime (how far a drawing is from its
photo, and where it lies between photos and the style's data). Two columns bound every measure: the photos themselves,
and pictures of the style's data at random. A table by group follows for every method.

The first argument is a packed data set in the demo framing (`nigaoe data prepare --alignment demo`), with UTKFace's
labels in its names or without any; the second one is the data set that the style has learned from. No picture is
written.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.parts.arithmetic import machine
from benchmarks.parts.group_table import group_table, summaries
from benchmarks.parts.likeness_groups import HIGHER_IS_BETTER, balanced, groups_of, read_labels
from benchmarks.parts.method_costs import Cost, Work, cost_of
from benchmarks.parts.method_drawings import Drawings, MethodDrawer
from benchmarks.parts.method_numbers import ROWS, Draw, DrawStyled, Found, MethodNumbers, Sizes, spread
from nigaoe.comparison_columns import COMPARED, Column, columns_of
from nigaoe.library import Nigaoe
from nigaoe_core.bundled import BUNDLED_WEIGHTS
from nigaoe_faces.align import DEMO
from nigaoe_model.training.dataset import PackedDataset
from nigaoe_model.training.face_regions import Pictures, tint_background

KEPT = (*HIGHER_IS_BETTER, "identity", "same person", "from photo", "position")
"""Measures of each face of which more is better."""

LEAST_MEAN = 0.02
"""At or below it a measure is as good as nothing for everybody, and the worst group's ratio says nothing."""

MOST_DATA = 2000
"""Pictures of a data set that say where it lies."""


def main() -> None:
    """Draw, measure, print."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    console = Console(width=160)
    dataset, style = PackedDataset(arguments.photos), PackedDataset(arguments.drawings)
    if dataset.card.alignment != DEMO:
        raise SystemExit(f"{arguments.photos} is not in the demo framing: `nigaoe data prepare --alignment demo`.")
    chosen = balanced(read_labels(dataset.folder), arguments.count)
    photos = torch.from_numpy(np.array(dataset.pixels[chosen]))
    others = [n for n in range(len(dataset)) if n not in set(chosen)][:MOST_DATA] or chosen
    data = _sample(style, max(MOST_DATA, 2 * len(photos)))
    sizes = Sizes(arguments.tinted, arguments.seeded, arguments.seeds)
    unseen = torch.from_numpy(np.array(dataset.pixels[others]))
    numbers = MethodNumbers(photos, tint_background(photos), unseen, data[len(photos) :], sizes)
    nigaoe = Nigaoe(device=arguments.device, threads=arguments.threads, weights=arguments.weights)
    columns, left_out = columns_of(nigaoe, arguments.methods.split(","), style=arguments.style)
    for one in left_out:
        console.print(f"[yellow]![/] {one.message}")
    found = {
        "the photos": numbers.measured(*_unchanged()),
        "data at random": numbers.measured(*_at_random(data, len(photos))),
    }
    costs: dict[str, Cost] = {}
    for column in columns:
        drawer = MethodDrawer(nigaoe, column, data[: arguments.seeds])
        found[column.name] = numbers.measured(drawer, drawer.styled)
        costs[column.name] = _cost(arguments, column, photos, drawer)
    title = f"{len(photos)} photos of {dataset.card.name}, style's data {style.card.name}"
    console.print(_table(title, _caption(nigaoe, columns), found, costs))
    groups = groups_of(dataset, chosen, photos)
    grouped = {
        name: dict(summaries(one.of_each, groups, KEPT, least_mean=LEAST_MEAN))
        for name, one in found.items()
        if name in costs
    }
    for name, rows in grouped.items():
        console.print(group_table(f"{name}, by group", "", rows, groups))
    if arguments.json is not None:
        document = {
            name: {
                "all": one.of_all,
                "groups": grouped.get(name),
                "cost": asdict(costs[name]) if name in costs else None,
            }
            for name, one in found.items()
        }
        arguments.json.write_text(json.dumps(document, indent=2) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, help="Packed data set of photos that no method has seen.")
    parser.add_argument("drawings", type=Path, help="Packed data set of the style.")
    parser.add_argument("--weights", type=Path, default=BUNDLED_WEIGHTS, help="Folder with a manifest.")
    parser.add_argument("--methods", default=",".join(COMPARED), help="As `nigaoe compare` takes them.")
    parser.add_argument("--style", default="anime", help="In which reverse generation draws: that of the data.")
    parser.add_argument("--count", type=int, default=200, help="Photos, as many of every group as there are.")
    parser.add_argument("--tinted", type=int, default=60, help="Photos that are drawn again on other backgrounds.")
    parser.add_argument("--seeded", type=int, default=50, help="Photos that are drawn with several seeds.")
    parser.add_argument("--seeds", type=int, default=4, help="Seeds, or references, of each of them.")
    parser.add_argument("--timed", type=int, default=5, help="Photos that are timed one by one.")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="Write the numbers to this file, too.")
    return parser.parse_args()


def _sample(dataset: PackedDataset, count: int) -> Pictures:
    """Return pictures of a data set in random order, all of a small one."""
    order = np.random.default_rng(0).permutation(len(dataset))[:count]
    return torch.from_numpy(dataset.pixels[order])


def _unchanged() -> tuple[Draw, DrawStyled]:
    """A method that returns the photo: one bound of every measure."""
    return lambda photos: Drawings(photos, photos), lambda photos, count: [Drawings(photos, photos)] * count


def _at_random(data: Pictures, total: int) -> tuple[Draw, DrawStyled]:
    """A method that shows pictures of the data, whoever is photographed: the other bound.

    Args:
        data: # [L, 3, R, R].
        total: Number of photos; where fewer are drawn, these are the ones that `spread` takes.
    """

    def draw(photos: Pictures) -> Drawings:
        shown = data[spread(total, len(photos))]
        return Drawings(shown, shown)

    def draw_styled(photos: Pictures, count: int) -> list[Drawings]:
        picked = torch.randint(len(data), (count, len(photos)), generator=torch.Generator().manual_seed(1))
        return [Drawings(data[row], data[row]) for row in picked]

    return draw, draw_styled


def _cost(arguments: argparse.Namespace, column: Column, photos: Pictures, drawer: MethodDrawer) -> Cost:
    crops = [drawer.crop(photo) for photo in photos[: arguments.timed]]
    work = Work(column.name, arguments.style, arguments.weights, arguments.device, arguments.threads, crops)
    return cost_of(work)


def _table(title: str, caption: str, found: Mapping[str, Found], costs: Mapping[str, Cost]) -> Table:
    table = Table("measure", "better", *found, title=title, caption=caption)
    section = ROWS[0].section
    for row in ROWS:
        if row.section != section:
            table.add_section()
        section = row.section
        table.add_row(row.title, row.better, *(f"{one.of_all[row.title]:.{row.digits}f}" for one in found.values()))
    table.add_section()
    for what, kind in (
        ("seconds a photo", "seconds"),
        ("CPU seconds a photo", "cpu_seconds"),
        ("memory, MB", "memory"),
    ):
        scale, digits = (1e6, 0) if kind == "memory" else (1, 3)
        values = [f"{getattr(costs[name], kind) / scale:.{digits}f}" if name in costs else "" for name in found]
        table.add_row(what, "lower", *values)
    return table


def _caption(nigaoe: Nigaoe, columns: Sequence[Column]) -> str:
    ids: dict[str, str] = {}
    for column in columns:
        entry = nigaoe.pipeline.registry.style(column.style)
        if entry.is_feed_forward:
            ids[column.style] = nigaoe.pipeline.feed_forward(column.style).model_id
        else:
            ids |= nigaoe.pipeline.pair(column.style).model_ids
    return f"{', '.join(ids.values())}; {machine()}"


if __name__ == "__main__":
    main()
