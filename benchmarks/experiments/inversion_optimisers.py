"""Which optimiser is nearest soonest: `python benchmarks/experiments/inversion_optimisers.py`.

Every candidate searches the same held-out photos from the mean face and from the encoder's guess, batch by batch in
turn, so that whatever else the machine does hits all of them alike. The reference is Adam with its usual decays; beside
each end stands how soon the candidate was as near as the reference ended, and what closeness alone would hide: how far
outside of the training the latents lie, and how much of the photos' structure the style's drawings keep.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional as F

from benchmarks.experiments.inversion_candidates import Axes, Problem, Seen, adam, coarsely, lbfgs, then
from benchmarks.experiments.inversion_newton import levenberg_marquardt
from benchmarks.parts.arithmetic import machine
from benchmarks.parts.inversion_runs import WIDTH, add_subjects, held_out
from nigaoe_model.features import LEAST_SIDE, shared_features
from nigaoe_model.inversion.algorithm import Objective
from nigaoe_model.inversion.score import likeness_scores
from nigaoe_model.inversion.settings import InversionSettings, LossWeights
from nigaoe_model.portrait.convert import search_objective
from nigaoe_model.portrait.pair import LoadedGenerator, Pair, load_generator, load_pair
from nigaoe_model.stylegan2.architecture import Architecture
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.stylegan2.inference.synthesis import FrozenSynthesis
from nigaoe_model.stylegan2.latent_statistics import LatentStatistics

Candidate = Callable[[Problem, Problem, Tensor], Iterator[Seen]]
"""From a problem, the same at half the resolution, and a start # [N, num_ws, w_dim]."""

REFERENCE = "Adam 0.9, 0.999"
SHORT = {"beta1": 0.8, "beta2": 0.95}
SECOND_MARKS = (0.2, 0.3, 0.4, 0.5)
COARSE_STEPS = 15


def candidates(loaded: LoadedGenerator, unit: float, steps: int) -> Mapping[str, Candidate]:
    """Return every way of spending about ``steps`` steps."""
    layers = torch.linspace(1.5, 0.5, loaded.card.architecture.num_ws)
    turned, half = (Axes.of(loaded.statistics, unit, power=power) for power in (0.0, 0.5))

    def plain(**changes: float) -> Candidate:
        settings = InversionSettings(**{"steps": steps, **changes})
        return lambda problem, _, start: adam(problem, start, settings)

    short = InversionSettings(steps=steps, **SHORT)
    faster = short.model_copy(update={"learning_rate": 0.3})
    rest = short.model_copy(update={"steps": max(steps - 2 * 5, 1)})
    coarse = InversionSettings(steps=COARSE_STEPS, ramp_down=0.0, **SHORT)
    fine = short.model_copy(update={"steps": max(steps - COARSE_STEPS // 2, 1)})
    return {
        REFERENCE: plain(),
        "Adam 0.8, 0.95": plain(**SHORT),
        "its rate 0.1": plain(learning_rate=0.1, **SHORT),
        "its rate 0.3": plain(learning_rate=0.3, **SHORT),
        "its warm-up 0.3": plain(warm_up=0.3, **SHORT),
        "its ramp 0.1": plain(ramp_down=0.1, **SHORT),
        "its ramp 0.5": plain(ramp_down=0.5, **SHORT),
        "its rates fall with the layer": lambda p, _, w: adam(p, w, short, layer_rates=layers),
        "its rates rise with the layer": lambda p, _, w: adam(p, w, short, layer_rates=layers.flip(0)),
        "it along the axes of w": lambda p, _, w: adam(p, w, short, axes=half),
        "both, and a rate of 0.3": lambda p, _, w: adam(p, w, faster, layer_rates=layers.flip(0), axes=half),
        "half resolution first": lambda p, c, w: then(coarsely(c, w, coarse), lambda v: adam(p, v, fine)),
        "L-BFGS": lambda p, _, w: lbfgs(p, w, steps, axes=turned),
        "Gauss-Newton": lambda p, _, w: levenberg_marquardt(p, w, steps // 6, axes=turned, inner=6),
        "Gauss-Newton in W, then Adam": lambda p, _, w: then(
            levenberg_marquardt(p, w, 3, axes=turned, inner=4, tied=True), lambda v: adam(p, v, rest)
        ),
    }


@dataclass
class Trail:
    """What one candidate did from one start.

    Attributes:
        distances: Best distance so far, one # [iterates] a batch, summed over its photos.
        seconds: CPU seconds until each iterate, for the whole batch.
        ends: Best latents of each batch.
    """

    distances: list[Tensor] = field(default_factory=list)
    seconds: list[Tensor] = field(default_factory=list)
    ends: list[Tensor] = field(default_factory=list)

    def means(self, photos: int) -> tuple[Tensor, Tensor]:
        """Mean distance, and CPU seconds, of one photo over the iterates."""
        return torch.stack(self.distances).sum(dim=0) / photos, torch.stack(self.seconds).sum(dim=0) / photos


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_subjects(parser)
    parser.add_argument("--style", type=Path, help="checkpoint of the style that draws; by default beside the weights")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--only", nargs="+", help="names of candidates; the reference always runs")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    g_ori = load_generator(arguments.weights, encoder=arguments.encoder)
    pair = load_pair("style", g_ori, arguments.style or arguments.weights.with_name("anime.safetensors"))
    faces = held_out(arguments.heldout, arguments.count)
    objective = search_objective(g_ori)
    ways = candidates(g_ori, objective.prior.unit, arguments.steps)
    ways = {name: way for name, way in ways.items() if not arguments.only or name in {REFERENCE, *arguments.only}}
    trails = walk(g_ori, objective, faces, ways)
    title = f"{len(faces)} held-out photos, {arguments.steps} steps; {machine()}; {g_ori.card.name} {g_ori.digest[:12]}"
    Console(width=150).print(table(trails, pair, objective, faces, title))


def walk(
    loaded: LoadedGenerator, objective: Objective, faces: Tensor, ways: Mapping[str, Candidate]
) -> dict[tuple[str, str], Trail]:
    """Let every candidate search every photo from every start."""
    synthesis, half = FrozenSynthesis(loaded.generator.synthesis), HalfResolution(loaded)
    starts = ["mean face"] if loaded.encoder is None else ["mean face", "guess"]
    trails = {(start, name): Trail() for start in starts for name in ways}
    for batch in faces.split(WIDTH):
        problem = Problem(synthesis, objective, objective.describe(batch), LossWeights())
        coarse = half.problem(batch)
        for (start, name), trail in trails.items():
            first = objective.prior.mean.expand(len(batch), -1, -1)
            if start == "guess" and objective.encoder is not None:
                with torch.no_grad():
                    first = objective.encoder.each(batch)
            follow(trail, problem, ways[name](problem, coarse, first))
    return trails


def follow(trail: Trail, problem: Problem, iterates: Iterator[Seen]) -> None:
    """Walk one batch to its end; what a candidate did not measure itself is measured off the clock."""
    spent, distances, seconds = 0.0, [], []
    best, end = torch.full((problem.count,), torch.inf), None
    while True:
        began = time.process_time()
        seen = next(iterates, None)
        spent += time.process_time() - began
        if seen is None:
            break
        distance = seen.distance
        if distance is None:
            with torch.no_grad():
                distance = problem.objective.distance(problem.synthesis(seen.w_plus), problem.target)
        nearer = distance < best
        best = torch.where(nearer, distance, best)
        end = seen.w_plus if end is None else torch.where(nearer[:, None, None], seen.w_plus, end)
        distances.append(best.sum())
        seconds.append(spent)
    assert end is not None
    trail.distances.append(torch.stack(distances))
    trail.seconds.append(torch.tensor(seconds))
    trail.ends.append(end.detach())


class HalfResolution:
    """The generator without its finest block, and what its pictures are compared with."""

    def __init__(self, loaded: LoadedGenerator) -> None:
        whole = loaded.generator.architecture
        self.side = whole.resolution // 2
        channels = {r: c for r, c in whole.channels.items() if r <= self.side}
        generator = Generator(Architecture(**{**whole.model_dump(), "resolution": self.side, "channels": channels}))
        ours = generator.state_dict()
        generator.load_state_dict({name: t for name, t in loaded.generator.state_dict().items() if name in ours})
        generator.eval().requires_grad_(requires_grad=False)
        layers, of = generator.architecture.num_ws, loaded.statistics
        statistics = LatentStatistics(of.mean[:layers], of.std[:layers], of.covariance)
        self.synthesis = FrozenSynthesis(generator.synthesis)
        self.objective = Objective(statistics, shared_features(), perceptual_size=max(self.side, LEAST_SIDE))

    def problem(self, faces: Tensor) -> Problem:
        """Describe reduced photos."""
        target = self.objective.describe(F.avg_pool2d(faces, 2))
        return Problem(self.synthesis, self.objective, target, LossWeights())


def table(
    trails: Mapping[tuple[str, str], Trail], pair: Pair, objective: Objective, faces: Tensor, title: str
) -> Table:
    columns = (
        "",
        *(f"{mark} s" for mark in SECOND_MARKS),
        "end",
        "s",
        "as near as the reference",
        "Mahalanobis",
        "score",
    )
    result = Table(
        *columns, title=title, caption="mean distances over CPU seconds a face; score: see nigaoe_model.inversion.score"
    )
    for (start, name), trail in trails.items():
        if name == REFERENCE:
            result.add_section()
        distances, seconds = trail.means(len(faces))
        goal = trails[start, REFERENCE].means(len(faces))[0][-1]
        reached = seconds[distances <= goal]
        latents = torch.cat(trail.ends)
        result.add_row(
            f"{start}: {name}",
            *(
                f"{distances[seconds <= mark][-1]:.3f}" if bool((seconds <= mark).any()) else ""
                for mark in SECOND_MARKS
            ),
            f"{distances[-1]:.3f}",
            f"{seconds[-1]:.2f}",
            f"{reached[0]:.2f} s" if len(reached) else "never",
            f"{objective.prior.mahalanobis(latents).mean():.2f}",
            f"{scores(pair, latents, faces).mean():.3f}",
        )
    return result


@torch.no_grad()
def scores(pair: Pair, latents: Tensor, faces: Tensor) -> Tensor:
    """Score the style's drawings against the photos. # [N]."""
    drawn = torch.cat([pair.g_fin.generator.draw_image(w) for w in latents.split(WIDTH)]).clamp(-1, 1)
    each = zip(faces, drawn, latents, strict=True)
    return torch.cat([likeness_scores(f, d[None], w[None], pair.g_ori.statistics) for f, d, w in each])


if __name__ == "__main__":
    main()
