"""What reverse generation costs, and how close it comes.

`python benchmarks/inversion.py steps`: time of one step of the slot engine, by architecture and batch.
`python benchmarks/inversion.py curves`: distance over steps and over CPU seconds for every preset, on photos that no
training saw (a packed data set) and on faces that the generator drew itself.
`python benchmarks/inversion.py starts`: the same from the encoder's guess, from the mean face, and by plain
optimisation, and how much sooner the first is as near.
`python benchmarks/inversion.py front`: the presets among other budgets, decays and rates, and which of them no other
one beats.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.parts.arithmetic import ceiling, interleaved, machine, operations, outside_operators
from benchmarks.parts.inversion_front import BUDGETS, print_front
from benchmarks.parts.inversion_runs import add_subjects, held_out, run
from benchmarks.parts.inversion_starts import print_starts
from nigaoe_core.jobs import Preset
from nigaoe_model.features import frozen_features, shared_features
from nigaoe_model.inversion.algorithm import Objective
from nigaoe_model.inversion.engine import SlotEngine
from nigaoe_model.inversion.request import InversionRequest
from nigaoe_model.inversion.settings import PRESETS, InversionSettings, Plateau
from nigaoe_model.portrait.pair import load_generator
from nigaoe_model.stylegan2.architecture import Architecture, demo_architecture, published_architecture
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.stylegan2.inference.synthesis import FrozenSynthesis
from nigaoe_model.stylegan2.latent_statistics import measure_latents, sample_w

ARCHITECTURES = {64: demo_architecture(), 256: published_architecture(256, channel_base=16384)}
CAPTION = "engine: share of a step outside of both networks; between: share of it outside of operators"
STEP_MARKS = (1, 10, 20, 30, 40, 60, 100, 200, 400)
PLATEAUS = (Plateau(window=10, epsilon=0.02), Plateau(window=20, epsilon=0.01), Plateau(window=50, epsilon=0.01))
SECOND_MARKS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    commands = parser.add_subparsers(required=True)
    steps = commands.add_parser("steps", help="time of one step")
    steps.add_argument("--resolutions", type=int, nargs="+", choices=list(ARCHITECTURES), default=list(ARCHITECTURES))
    steps.add_argument("--batches", type=int, nargs="+", default=[1, 4, 8, 16])
    steps.add_argument("--runs", type=int, default=9)
    steps.add_argument("--bf16", action="store_true", help="let the generator's convolutions compute in bf16")
    steps.set_defaults(run=print_steps)
    curves = commands.add_parser("curves", help="distance over steps and seconds")
    searched = [preset for preset, settings in PRESETS.items() if settings.steps]
    curves.add_argument("--presets", type=Preset, nargs="+", choices=searched, default=searched)
    curves.set_defaults(run=print_curves)
    starts = commands.add_parser("starts", help="the encoder's guess against the mean face")
    starts.add_argument("--baseline-count", type=int, default=16, help="photos for the 1,000 steps of others")
    starts.add_argument("--figure", type=Path, help="where to draw the curves, a PNG")
    starts.set_defaults(run=print_starts)
    front = commands.add_parser("front", help="which settings are worth their time")
    front.add_argument("--budgets", type=int, nargs="+", choices=BUDGETS, default=BUDGETS, help="steps")
    front.add_argument("--style", default="anime", help="draws what was found; its checkpoint lies beside the weights")
    front.set_defaults(run=print_front)
    for command in (curves, starts, front):
        add_subjects(command)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    arguments.run(arguments)


def print_steps(arguments: argparse.Namespace) -> None:
    limit = ceiling()
    columns = (
        "pixels",
        "batch",
        "wall ms",
        "CPU ms",
        "CPU ms a face",
        "GFLOP",
        "a CPU second",
        "of ceiling",
        "engine",
        "between",
    )
    title = f"One step; {machine()}; ceiling {limit / 1e9:.0f} GFLOP a CPU second"
    table = Table(*columns, title=title, caption=CAPTION)
    for resolution in arguments.resolutions:
        for batch in arguments.batches:
            row = step_row(ARCHITECTURES[resolution], batch, arguments.runs, limit, bf16=arguments.bf16)
            table.add_row(str(resolution), str(batch), *row)
        table.add_section()
    Console(width=120).print(table)


def step_row(architecture: Architecture, batch: int, runs: int, limit: float, *, bf16: bool) -> tuple[str, ...]:
    torch.manual_seed(0)
    generator = Generator(architecture).eval().requires_grad_(requires_grad=False)
    dtype = torch.bfloat16 if bf16 else None
    ws = torch.randn(batch, architecture.num_ws, architecture.w_dim)
    with torch.no_grad():
        targets = generator.draw_image(ws).clamp(-1, 1)
    objective = Objective(measure_latents(generator, samples=500), shared_features())
    engine = SlotEngine(generator, objective, batch, conv_dtype=dtype)
    for target in targets:
        engine.admit(InversionRequest(target, InversionSettings(steps=100_000)))
    networks = looking(FrozenSynthesis(generator.synthesis, dtype=dtype), frozen_features(shared_features()), ws)
    work = operations(looking(generator.draw_image, shared_features(), ws))
    timings = interleaved({"step": engine.step, "networks": networks}, runs)
    step, alone = timings["step"], timings["networks"]
    return (
        f"{step.wall * 1e3:.1f}",
        f"{step.cpu * 1e3:.1f}",
        f"{step.cpu * 1e3 / batch:.1f}",
        f"{work / 1e9:.2f}",
        f"{work / step.cpu / 1e9:.0f}",
        f"{work / step.cpu / limit:.0%}",
        f"{1 - alone.cpu / step.cpu:.0%}",
        f"{outside_operators(engine.step, runs):.0%}",
    )


def looking(
    draw: Callable[[Tensor], Tensor], look: Callable[[Tensor], Sequence[Tensor]], ws: Tensor
) -> Callable[[], object]:
    """Forward and backward pass of both networks, without anything around them."""

    def both() -> None:
        levels = look(draw(ws.clone().requires_grad_()))
        torch.stack([level.sum() for level in levels]).sum().backward()

    return both


def print_curves(arguments: argparse.Namespace) -> None:
    loaded = load_generator(arguments.weights, encoder=arguments.encoder)
    faces = {
        "photos": held_out(arguments.heldout, arguments.count),
        "own faces": own_faces(loaded.generator, arguments.count),
    }
    runs = [
        run(f"{preset.value}, {kind}", loaded, pictures, PRESETS[preset])
        for preset in arguments.presets
        for kind, pictures in faces.items()
    ]
    title = f"{arguments.count} faces, median distance; {machine()}; {loaded.card.name} {loaded.digest[:12]}"
    over_steps = Table("", *(f"step {mark}" for mark in STEP_MARKS), "share left", "worst", title=title)
    over_seconds = Table("", "CPU ms a step", *(f"{mark} s" for mark in SECOND_MARKS), title="Over CPU seconds a face")
    for one in runs:
        left = (f"{one.shares.median():.0%}", f"{one.shares.max():.0%}")
        over_steps.add_row(one.name, *(one.at(mark) for mark in STEP_MARKS), *left)
        over_seconds.add_row(one.name, f"{one.seconds * 1e3:.1f}", *(one.at(m / one.seconds) for m in SECOND_MARKS))
    console = Console(width=140)
    console.print(over_steps)
    console.print(over_seconds)
    columns = ("", "without", *(f"{plateau.epsilon:.1%} in {plateau.window} steps" for plateau in PLATEAUS))
    stops = Table(*columns, title="Had searches stopped where they gained less: mean steps, median distance")
    for one in runs:
        ends = [one.stopped(p) if p.window < one.best.shape[1] else None for p in PLATEAUS]
        without = f"{one.best.shape[1]}, {one.ends.median():.3f}"
        stops.add_row(one.name, without, *("" if end is None else f"{end[0]:.0f}, {end[1]:.3f}" for end in ends))
    console.print(stops)


def own_faces(generator: Generator, count: int) -> Tensor:
    """Faces that lie in W by construction. # [count, 3, R, R]."""
    with torch.no_grad():
        return generator.draw_image(sample_w(generator.mapping, count, seed=1234)).clamp(-1, 1)


if __name__ == "__main__":
    main()
