"""Which settings of reverse generation are the best defaults: `python benchmarks/experiments/inversion_defaults.py`.

Every row changes one thing of today's defaults and converts the same held-out photos (a packed data set, as
`nigaoe data prepare` writes it) within the same budget of steps. The distances are the plain ones over the whole
picture and over the head, whatever the row itself weighed, so that rows compare. Closeness alone would reward latents
that decode badly: beside it stand how far outside of the training a latent lies, how much of the photo's structure the
drawing keeps, whether the person is found again among the others, and how much of the background's colour leaks.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.parts.arithmetic import machine
from nigaoe_core.bundled import BUNDLED_WEIGHTS
from nigaoe_model.features import shared_features
from nigaoe_model.inversion.algorithm import Objective
from nigaoe_model.inversion.request import InversionRequest, InversionResult
from nigaoe_model.inversion.score import DOMAIN_WEIGHT, likeness_scores
from nigaoe_model.inversion.settings import InversionSettings, LossWeights
from nigaoe_model.portrait.convert import head_region, inversion_engine
from nigaoe_model.portrait.pair import Pair, load_generator, load_pair
from nigaoe_model.training.dataset import PackedDataset, to_bytes, to_unit_range
from nigaoe_model.training.face_regions import tint_background
from nigaoe_model.training.pair_metrics import colour_leak, identity_vectors, retrieve

WIDTH = 8
HEAD_ALONE = 0.0
BASE = InversionSettings()


def weighted(**changes: float) -> InversionSettings:
    """Change weights of the default's terms."""
    return BASE.model_copy(update={"weights": LossWeights(**{**BASE.weights.model_dump(), **changes})})


VARIANTS = {
    "defaults": BASE,
    "space w": BASE.model_copy(update={"space": "w"}),
    "rate 0.1": BASE.model_copy(update={"learning_rate": 0.1}),
    "rate 0.4": BASE.model_copy(update={"learning_rate": 0.4}),
    "pixel 0": weighted(pixel=0.0),
    "pixel 1": weighted(pixel=1.0),
    "layer_spread 0": weighted(layer_spread=0.0),
    "layer_spread 0.2": weighted(layer_spread=0.2),
    "mahalanobis 0": weighted(mahalanobis=0.0),
    "mahalanobis 0.02": weighted(mahalanobis=0.02),
    "mahalanobis 0.15": weighted(mahalanobis=0.15),
    "background 0.3": BASE.model_copy(update={"background": 0.3}),
    "background 0.1": BASE.model_copy(update={"background": 0.1}),
    "background 0": BASE.model_copy(update={"background": 0.0}),
}


@dataclass(frozen=True)
class Found:
    """What one search of all faces ended with. ``w_plus`` # [N, num_ws, w_dim]."""

    w_plus: Tensor
    seconds_a_step: float

    def drawings(self, pair: Pair) -> Tensor:
        """Let g_fin draw. # [N, 3, R, R] in [-1, 1]."""
        with torch.no_grad():
            return torch.cat([pair.g_fin.generator.draw_image(w) for w in self.w_plus.split(WIDTH)]).clamp(-1, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heldout", type=Path, default=Path("data/heldout"))
    parser.add_argument("--weights", type=Path, default=BUNDLED_WEIGHTS)
    parser.add_argument("--style", default="anime")
    parser.add_argument("--photos", type=int, default=32)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    pair = load_pair(
        arguments.style,
        load_generator(arguments.weights / "g_ori.safetensors"),
        arguments.weights / f"{arguments.style}.safetensors",
    )
    faces = torch.from_numpy(np.array(PackedDataset(arguments.heldout).pixels[: arguments.photos]))
    columns = ("", "whole", "head", "of start", "Mahalanobis", "structure", "found again", "leak", "CPU ms a step")
    title = f"{len(faces)} held-out photos, {arguments.steps} steps; {machine()}; {pair.g_ori.card.name} {pair.style}"
    table = Table(*columns, title=title, caption="means over the photos; found again: MRR")
    for name in arguments.variants:
        table.add_row(name, *measured(pair, VARIANTS[name].model_copy(update={"steps": arguments.steps}), faces))
    Console(width=120).print(table)


def measured(pair: Pair, settings: InversionSettings, faces: Tensor) -> Iterator[str]:
    """Convert the faces and the same with other backgrounds; say what came of it."""
    targets = to_unit_range(faces)
    found, tinted_faces = search(pair, settings, targets), tint_background(faces)
    tinted = search(pair, settings, to_unit_range(tinted_faces))
    drawn = to_bytes(found.drawings(pair))
    for background in (1.0, HEAD_ALONE):
        yield f"{float(distances(pair, found.w_plus, targets, background).mean()):.3f}"
    start = pair.g_ori.statistics.mean.expand_as(found.w_plus)
    yield f"{float((distances(pair, found.w_plus, targets) / distances(pair, start, targets)).median()):.0%}"
    outside = Objective(pair.g_ori.statistics, shared_features()).prior.mahalanobis(found.w_plus)
    yield f"{float(outside.mean()):.2f}"
    scores = [
        likeness_scores(target, drawing[None], w[None], pair.g_ori.statistics)
        for target, drawing, w in zip(targets, found.drawings(pair), found.w_plus, strict=True)
    ]
    structure = -torch.cat(scores) - DOMAIN_WEIGHT * (outside - 1).clamp_min(0)
    yield f"{float(structure.mean()):.3f}"
    yield f"{retrieve(identity_vectors(drawn), identity_vectors(faces)).mrr:.2f}"
    yield f"{colour_leak(faces, tinted_faces, drawn, to_bytes(tinted.drawings(pair))):.3f}"
    yield f"{found.seconds_a_step * 1e3:.1f}"


def search(pair: Pair, settings: InversionSettings, targets: Tensor) -> Found:
    """Invert all targets. # [N, 3, R, R] in [-1, 1]."""
    region = head_region(pair.g_ori, settings)
    requests = [InversionRequest(target, settings, region=region, seed=n) for n, target in enumerate(targets)]
    place = {id(request): number for number, request in enumerate(requests)}
    results: dict[int, InversionResult] = {}
    started = time.process_time()
    for finished in inversion_engine(pair.g_ori, WIDTH).run(requests):
        results[place[id(finished.ticket.request)]] = finished.unwrap()
    seconds = (time.process_time() - started) / sum(result.steps for result in results.values())
    return Found(torch.stack([results[number].w_plus for number in range(len(requests))]), seconds)


@torch.no_grad()
def distances(pair: Pair, w_plus: Tensor, targets: Tensor, background: float = 1.0) -> Tensor:
    """Measure the redrawn faces, every row of the table alike. # [N]."""
    objective = Objective(pair.g_ori.statistics, shared_features())
    region = head_region(pair.g_ori, InversionSettings(background=background))
    rows = []
    for w, target in zip(w_plus, targets, strict=True):
        described = objective.describe(target[None], None if region is None else region[None])
        rows.append(objective.distance(pair.g_ori.generator.draw_image(w[None]).clamp(-1, 1), described))
    return torch.cat(rows)


if __name__ == "__main__":
    main()
