"""Static and continuous batching as a calculation: what a step of each batch costs is measured, who waits follows.

A run of a hundred jobs holds a dozen long ones, too few for a 95th percentile. The same rules over ten thousands of
arrivals take a second when nothing is optimised.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.parts.service_ground import SLOTS, percentile

STEPS = (6, 20, 80)
SHARES = (6, 3, 1)
"""Arriving jobs are as unequal as the presets (30, 100 and 400 steps), a fifth as long, and most people are in a
hurry."""
StepCost = Callable[[int], float]
"""Seconds of one step of a batch of so many."""


@dataclass
class Visitor:
    """A job that came."""

    arrived: float
    steps: int
    left: int
    seconds: float = 0.0  # Until its answer.


def visitors(cost: StepCost, load: float, count: int, seed: int = 0) -> list[Visitor]:
    """Jobs that come by chance, at this share of what a full batch can do."""
    chance = random.Random(seed)
    budgets = chance.choices(STEPS, SHARES, k=count)
    rate = load / (cost(SLOTS) / SLOTS * sum(budgets) / count)
    now, found = 0.0, []
    for steps in budgets:
        now += chance.expovariate(rate)
        found.append(Visitor(now, steps, steps))
    return found


def static(line: Sequence[Visitor], cost: StepCost, *, together: bool) -> None:
    """A batch is all that wait when the last batch is through; rows that ended cost nothing more."""
    now, first = 0.0, 0
    while first < len(line):
        now = max(now, line[first].arrived)
        batch = [visitor for visitor in line[first : first + SLOTS] if visitor.arrived <= now]
        first += len(batch)
        running = batch
        while running:
            now += cost(len(running))
            running = _stepped(running, now)
        for visitor in batch if together else ():
            visitor.seconds = now - visitor.arrived


def continuous(line: Sequence[Visitor], cost: StepCost) -> None:
    """Whoever comes joins at the next step, if there is a slot."""
    now, first = 0.0, 0
    running: list[Visitor] = []
    while first < len(line) or running:
        if not running:
            now = max(now, line[first].arrived)
        while first < len(line) and len(running) < SLOTS and line[first].arrived <= now:
            running.append(line[first])
            first += 1
        now += cost(len(running))
        running = _stepped(running, now)


def _stepped(running: Sequence[Visitor], now: float) -> list[Visitor]:
    for visitor in running:
        visitor.left -= 1
        if not visitor.left:
            visitor.seconds = now - visitor.arrived
    return [visitor for visitor in running if visitor.left]


def calculated(cost: StepCost, load: float = 0.7, count: int = 20_000) -> Iterator[tuple[str, str]]:
    """Rows: p50 and p95 of all jobs, and of each budget's."""
    ways: dict[str, Callable[[list[Visitor]], None]] = {
        "static, answered together": lambda line: static(line, cost, together=True),
        "static, answered one by one": lambda line: static(line, cost, together=False),
        "continuous": lambda line: continuous(line, cost),
    }
    for name, serve in ways.items():
        line = visitors(cost, load, count)
        serve(line)
        groups = [line, *([visitor for visitor in line if visitor.steps == steps] for steps in STEPS)]
        told = [[visitor.seconds for visitor in group] for group in groups]
        yield (
            name,
            ", ".join(
                f"{what}: {percentile(seconds, 0.5):.2f} / {percentile(seconds, 0.95):.2f} s"
                for what, seconds in zip(("all", *map(str, STEPS)), told, strict=True)
            ),
        )
