"""Which settings are worth their time: the presets among many others, and which of all no other beats.

`python benchmarks/inversion.py front` searches the same photos with every budget of steps, both pairs of Adam's decays
and several rates. A setting is on the front if no other one that takes no longer ends nearer. As a step costs the same
whatever the decays and the rate are, budgets are compared by steps, and the table says what they took. The photos'
latents are also drawn in a style, as people get them: a search may come nearer by leaving the training.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.parts.arithmetic import machine
from benchmarks.parts.inversion_runs import Run, held_out, run
from nigaoe_model.inversion.regularisers import LatentPrior
from nigaoe_model.inversion.score import likeness_scores
from nigaoe_model.inversion.settings import PRESETS, InversionSettings
from nigaoe_model.portrait.drawing import DEFAULT_LOOK, draw_portraits
from nigaoe_model.portrait.pair import LoadedGenerator, Pair, load_generator, load_pair

BUDGETS = (10, 20, 30, 60, 100, 200, 400)
DECAYS = ((0.9, 0.999), (0.8, 0.95))
RATES = (0.1, 0.2, 0.3)
CHANCE = 0.01
"""Distances that differ by less than this share are alike."""


@dataclass(frozen=True)
class Point:
    """One setting and what became of the photos.

    Attributes:
        settings: The setting.
        run: The searches.
        mahalanobis: Median of how far the latents lie outside of the training; 1 is typical.
        score: Mean of `nigaoe_model.inversion.score` for the style's drawings; higher is better.
    """

    settings: InversionSettings
    run: Run
    mahalanobis: float
    score: float

    @property
    def distance(self) -> float:
        """Median distance over the photos."""
        return float(self.run.ends.median())

    def beaten_by(self, others: list["Point"]) -> bool:
        """Whether another one that takes no longer ends nearer, by more than chance."""
        limit = self.distance * (1 - CHANCE)
        return any(other.settings.steps <= self.settings.steps and other.distance < limit for other in others)


def print_front(arguments: argparse.Namespace) -> None:
    loaded = load_generator(arguments.weights, encoder=arguments.encoder)
    pair = load_pair(arguments.style, loaded, arguments.weights.with_name(f"{arguments.style}.safetensors"))
    faces = held_out(arguments.heldout, arguments.count)
    points = [searched(pair, loaded, faces, settings) for settings in candidates(arguments.budgets)]
    title = f"{len(faces)} held-out photos; {machine()}; {loaded.card.name} {loaded.digest[:12]} {arguments.style}"
    Console(width=130).print(table(points, title))


def candidates(budgets: Sequence[int]) -> Iterator[InversionSettings]:
    """Yield the presets and everything around them, without repetitions, at some budgets of steps."""
    around = [
        InversionSettings(steps=steps, beta1=beta1, beta2=beta2, learning_rate=rate)
        for steps in BUDGETS
        for beta1, beta2 in DECAYS
        for rate in RATES
    ]
    yield from (s for s in dict.fromkeys([*around, *PRESETS.values()]) if s.steps in budgets)


def searched(pair: Pair, loaded: LoadedGenerator, faces: Tensor, settings: InversionSettings) -> Point:
    """Search the photos # [N, 3, R, R] and judge what was found."""
    found = run(preset_name(settings), loaded, faces, settings)
    portraits = draw_portraits(pair, found.w_plus, DEFAULT_LOOK, None)
    scores = [
        likeness_scores(face, portrait.drawing[None], w_plus[None], loaded.statistics)
        for face, portrait, w_plus in zip(faces, portraits, found.w_plus, strict=True)
    ]
    outside = LatentPrior(loaded.statistics).mahalanobis(found.w_plus)
    return Point(settings, found, float(outside.median()), float(torch.cat(scores).mean()))


def preset_name(settings: InversionSettings) -> str:
    """Return the name of the preset that these settings are, or nothing."""
    return next((preset.value for preset, its in PRESETS.items() if its == settings), "")


def table(points: list[Point], title: str) -> Table:
    columns = ("steps", "decays", "rate", "preset", "CPU s", "distance", "on the front", "Mahalanobis", "score")
    result = Table(*columns, title=title, caption=f"on the front: nothing as short is nearer by more than {CHANCE:.0%}")
    for point in sorted(points, key=lambda point: point.settings.steps):
        settings = point.settings
        result.add_row(
            str(settings.steps),
            f"{settings.beta1:g}, {settings.beta2:g}",
            f"{settings.learning_rate:g}",
            point.run.name,
            f"{point.run.total:.2f}",
            f"{point.distance:.3f}",
            "" if point.beaten_by(points) else "yes",
            f"{point.mahalanobis:.2f}",
            f"{point.score:.3f}",
        )
    return result
