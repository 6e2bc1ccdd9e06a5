"""What a start near the face is worth: the same photos from the encoder's guess, from the mean face, and as others do.

`python benchmarks/inversion.py starts` prints distance over steps and over processor seconds, and how much sooner a
search from the guess is as near: for every photo by itself, the moment at which another search was as near as the
search from the guess ended after 10, 30 and 100 steps; the table gives medians over the photos.
"""

import argparse
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.parts.arithmetic import machine
from benchmarks.parts.inversion_runs import Run, held_out, run
from nigaoe_core.jobs import Preset
from nigaoe_model.inversion.settings import PRESETS, THESIS, InversionSettings
from nigaoe_model.portrait.pair import load_generator

STEP_MARKS = (1, 10, 20, 30, 60, 100, 200, 500, 1000)
SECOND_MARKS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
GUESS_STEPS = (10, 30, 100)
MEAN_STEPS = (30, 100, 200)

PROJECTOR = THESIS.model_copy(update={"space": "w", "w_noise": 0.05})
"""Karras et al. 2020, appendix D, as the official projector does it, with the generator's own noise maps."""


def print_starts(arguments: argparse.Namespace) -> None:
    loaded = load_generator(arguments.weights, encoder=arguments.encoder)
    faces = held_out(arguments.heldout, arguments.count)
    few = faces[: arguments.baseline_count]
    guessed = [run(f"guess, {steps} steps", loaded, faces, settings(steps, "encoder")) for steps in GUESS_STEPS]
    mean = [run(f"mean face, {steps} steps", loaded, faces, settings(steps, "mean")) for steps in MEAN_STEPS]
    baselines = [run("thesis, 1,000 steps", loaded, few, THESIS), run("in W, 1,000 steps", loaded, few, PROJECTOR)]
    console = Console(width=150)
    photos = f"{len(faces)} held-out photos, {len(few)} of them for the 1,000 steps"
    print_curves(console, f"{photos}; {machine()}; {loaded.card.name} {loaded.digest[:12]}", guessed + mean + baselines)
    console.print(speed_ups(guessed, mean, baselines))
    if arguments.figure is not None:
        draw_figure(guessed, mean, baselines, arguments.figure)


def settings(steps: int, start: str) -> InversionSettings:
    """Return what the preset of about so many steps does."""
    preset = Preset.DRAFT if steps <= PRESETS[Preset.DRAFT].steps else Preset.STANDARD
    return PRESETS[preset].model_copy(update={"steps": steps, "start": start})


def print_curves(console: Console, title: str, runs: list[Run]) -> None:
    """Print medians over steps and over CPU seconds."""
    over_steps = Table("", *(f"step {mark}" for mark in STEP_MARKS), title=title)
    over_seconds = Table("", "CPU ms a step", *(f"{mark} s" for mark in SECOND_MARKS), title="Over CPU seconds a face")
    for one in runs:
        over_steps.add_row(one.name, *(one.at(mark) for mark in STEP_MARKS))
        over_seconds.add_row(one.name, f"{one.seconds * 1e3:.1f}", *(one.at(m / one.seconds) for m in SECOND_MARKS))
    console.print(over_steps)
    console.print(over_seconds)


def speed_ups(guessed: list[Run], mean: list[Run], baselines: list[Run]) -> Table:
    others = ["mean face", *(one.name.partition(",")[0] for one in baselines)]
    columns = [f"{name}: {what}" for name in others for what in ("s", "times")]
    table = Table("search from the guess", "distance", "s", *columns, title="CPU seconds to the same distance")
    for one in guessed:
        cells: list[str] = []
        for group in (mean, *([baseline] for baseline in baselines)):
            faces = len(group[0].best)
            # The best of all budgets: nobody would spend 200 steps where 30 do.
            soonest = torch.stack([other.seconds_to(one.ends[:faces]) for other in group]).amin(dim=0)
            cells += [_shown(float(soonest.median())), _shown(float((soonest / one.total).median()))]
        table.add_row(one.name, f"{one.ends.median():.3f}", f"{one.total:.2f}", *cells)
    return table


def _shown(number: float) -> str:
    return f"{number:.1f}" if number < float("inf") else "never"


def draw_figure(guessed: list[Run], mean: list[Run], baselines: list[Run], path: Path) -> None:
    """Draw the medians over processor seconds: every budget a thin line, its end a dot."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 3.6), dpi=120, layout="constrained")
    groups = [("from the encoder's guess", guessed, "#c2410c"), ("from the mean face", mean, "#1d4ed8")]
    groups += [
        ("plain, 1,000 steps in W+", baselines[:1], "#737373"),
        ("plain, 1,000 steps in W", baselines[1:], "#a3a3a3"),
    ]
    for label, runs, colour in groups:
        for one in runs:
            seconds = one.seconds * torch.arange(1, one.best.shape[1] + 1)
            axes.plot(seconds, one.median, color=colour, linewidth=1.2, label=label if one is runs[0] else None)
            axes.plot(seconds[-1:], one.median[-1:], "o", color=colour, markersize=4)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("processor seconds a face")
    axes.set_ylabel("distance, median")
    axes.grid(visible=True, which="major", color="#e5e5e5", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path)
