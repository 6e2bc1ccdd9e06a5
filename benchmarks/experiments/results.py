"""The numbers and pictures of docs/experiments/2026-11-27-conversions.md, for all styles of one g_ori.

    python benchmarks/experiments/results.py anime tv --data data/anime data/tv
        --heldout data/heldout --runs runs/g_ori runs/anime

Writes, for each style, `<style>-truth.png` (faces that g_ori drew, their known drawings, and what conversion made of
the faces), then `training-curves.png`, and prints the measures as JSON. Every face is searched once, for all styles.
Held-out photos give numbers only: no picture of them is kept.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from nigaoe_core.jobs import DEFAULT_TRUNCATION
from nigaoe_model.inversion.settings import InversionSettings
from nigaoe_model.portrait.drawing import AS_FOUND, DEFAULT_LOOK, Look
from nigaoe_model.portrait.pair import Pair, load_generator, load_pair
from nigaoe_model.training.dataset import PackedDataset
from nigaoe_model.training.face_regions import tint_background
from nigaoe_model.training.face_search import FaceSearch, cross_conversion
from nigaoe_model.training.feature_statistics import frechet_distance, picture_features
from nigaoe_model.training.pair_metrics import (
    Convert,
    colour_leak,
    correspond,
    diversity,
    draw_truth,
    identity_vectors,
    measure_pair,
    retrieve,
)
from nigaoe_model.training.run_log import read_log
from nigaoe_model.training.sample_grid import save_grid

SHEET_FACES = 24
LOOKS = {
    "truncation 1, own colours": AS_FOUND,
    f"truncation {DEFAULT_TRUNCATION:g}, own colours": Look(truncation_psi=DEFAULT_TRUNCATION),
    "as people get them": DEFAULT_LOOK,
}


def main() -> None:
    """Measure, draw, print."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    weights, out = arguments.weights, arguments.out
    encoder = weights / "g_ori-encoder.safetensors"
    g_ori = load_generator(weights / "g_ori.safetensors", encoder=encoder if encoder.is_file() else None)
    search = FaceSearch(g_ori, InversionSettings(steps=arguments.steps), arguments.latents)
    if arguments.runs:
        _curves(arguments.runs, out / "training-curves.png")
    results: dict[str, dict[str, dict[str, float]]] = {}
    for style, data in zip(arguments.styles, arguments.data or [None] * len(arguments.styles), strict=True):
        pair = load_pair(style, g_ori, weights / f"{style}.safetensors")
        as_found = cross_conversion(pair, search)
        _truth_sheet(pair, as_found, out / f"{style}-truth.png")
        tables = results.setdefault(style, {})
        dataset = PackedDataset(data) if data is not None else None
        if dataset is not None:
            pictures = _pixels(dataset, arguments.faces)
            generators = (pair.g_ori.generator, pair.g_fin.generator)
            tables["drawn faces"] = measure_pair(*generators, pictures, as_found, count=arguments.faces).flat()
        if arguments.heldout is not None:
            photos = _pixels(PackedDataset(arguments.heldout), arguments.photos)
            for name, look in LOOKS.items():
                convert = cross_conversion(pair, search, look)
                table = tables[f"held-out photos, {name}"] = _held_out(photos, convert)
                if dataset is not None:
                    table["fd_effnet of drawings"] = _distance(convert(photos), dataset)
        print(json.dumps({style: tables}, indent=2), flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("styles", nargs="+")
    parser.add_argument("--weights", type=Path, default=Path("weights"))
    parser.add_argument("--data", type=Path, nargs="*", help="Packed data set of each style.")
    parser.add_argument("--heldout", type=Path, help="Packed data set of photos that nothing was trained on.")
    parser.add_argument("--runs", type=Path, nargs="*", default=[], help="Folders of runs, for the curves.")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--faces", type=int, default=100)
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument(
        "--latents", type=Path, help="Folder that keeps what is found, for a later run of other styles."
    )
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def _pixels(dataset: PackedDataset, count: int) -> torch.Tensor:
    return torch.from_numpy(np.array(dataset.pixels[:count]))


def _truth_sheet(pair: Pair, convert: Convert, path: Path) -> None:
    faces, answers = draw_truth(pair.g_ori.generator, pair.g_fin.generator, SHEET_FACES, seed=0)
    converted = convert(faces)
    half = SHEET_FACES // 2
    rows = [part[start : start + half] for start in (0, half) for part in (faces, answers, converted)]
    save_grid(torch.cat(rows), path, columns=half, scale=1)


def _curves(runs: list[Path], path: Path) -> None:
    figure = Figure(figsize=(9, 3), layout="constrained")
    for axes, folder in zip(figure.subplots(1, len(runs), squeeze=False)[0], runs, strict=True):
        for key, name, colour in (("fd_effnet", "of z", "#3567a8"), ("fd_photos", "of photos' latents", "#c2571a")):
            points = sorted((line["images"] / 1000, line[key]) for line in read_log(folder) if key in line)
            if points:
                axes.plot(*zip(*points, strict=True), marker="o", markersize=3, color=colour, label=name)
        axes.legend()
        axes.set_title(folder.name)
        axes.set_xlabel("thousand images of this run")
        axes.set_ylabel("FD-effnet")
        axes.set_ylim(bottom=0)
        axes.set_xlim(left=0)
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def _distance(drawings: torch.Tensor, dataset: PackedDataset, count: int = 1000) -> float:
    """FD-effnet of drawings to pictures of the whole data; large for few drawings, so it compares with itself."""
    chosen = np.linspace(0, len(dataset) - 1, count).astype(int)
    return frechet_distance(*(picture_features([p]) for p in (torch.from_numpy(dataset.pixels[chosen]), drawings)))


def _held_out(photos: torch.Tensor, convert: Convert) -> dict[str, float]:
    """Measure what needs no known answer."""
    drawings, tinted = convert(photos), tint_background(photos)
    retrieval, correspondence = (
        retrieve(identity_vectors(drawings), identity_vectors(photos)),
        correspond(photos, drawings),
    )
    return {
        "retrieval.top1": retrieval.top1,
        "retrieval.top5": retrieval.top5,
        "retrieval.mrr": retrieval.mrr,
        "retrieval.candidates": retrieval.candidates,
        "correspondence.pose": correspondence.pose,
        "correspondence.mouth": correspondence.mouth,
        "correspondence.hair_lightness": correspondence.hair_lightness,
        "correspondence.hair_hue": correspondence.hair_hue,
        "diversity": diversity(drawings),
        "colour_leak": colour_leak(photos, tinted, drawings, convert(tinted)),
    }


if __name__ == "__main__":
    main()
