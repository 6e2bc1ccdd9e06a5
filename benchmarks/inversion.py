"""What reverse generation costs, and how close it comes.

`python benchmarks/inversion.py steps`: time of one step of the slot engine, by architecture and batch.
`python benchmarks/inversion.py curves`: distance over steps and over CPU seconds for every preset, on photos that no
training saw (a packed data set) and on faces that the generator drew itself.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from arithmetic import ceiling, interleaved, machine, operations
from rich.console import Console
from rich.table import Table
from torch import Tensor

from core.bundled import BUNDLED_WEIGHTS
from core.jobs import Preset
from model.architecture import Architecture, demo_architecture, published_architecture
from model.conversion import inversion_engine
from model.frozen.features import frozen_features
from model.frozen.synthesis import FrozenSynthesis
from model.generator import Generator
from model.inversion.engine import SlotEngine
from model.inversion.objective import Objective
from model.inversion.presets import PRESETS
from model.inversion.request import InversionRequest, InversionResult
from model.inversion.settings import InversionSettings
from model.latent_statistics import measure_latents, sample_w
from model.pair import LoadedGenerator, load_generator
from model.perceptual import shared_features
from model.training.dataset import PackedDataset, to_unit_range

ARCHITECTURES = {64: demo_architecture(), 256: published_architecture(256, channel_base=16384)}
STEP_MARKS = (1, 10, 20, 30, 40, 60, 100, 200, 400)
SECOND_MARKS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
WIDTH = 8


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
    curves.add_argument("--heldout", type=Path, default=Path("data/heldout"), help="packed by `nigaoe data prepare`")
    curves.add_argument("--count", type=int, default=32)
    curves.add_argument("--presets", type=Preset, nargs="+", default=list(Preset))
    curves.add_argument("--weights", type=Path, default=BUNDLED_WEIGHTS / "g_ori.safetensors")
    curves.set_defaults(run=print_curves)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    arguments.run(arguments)


def print_steps(arguments: argparse.Namespace) -> None:
    limit = ceiling()
    columns = ("pixels", "batch", "wall ms", "CPU ms", "CPU ms a face", "GFLOP", "a CPU second", "of ceiling", "engine")
    title = f"One step; {machine()}; ceiling {limit / 1e9:.0f} GFLOP a CPU second"
    table = Table(*columns, title=title, caption="engine: share of a step outside of both networks")
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
    )


def looking(
    draw: Callable[[Tensor], Tensor], look: Callable[[Tensor], Sequence[Tensor]], ws: Tensor
) -> Callable[[], object]:
    """Both networks forth and back, without anything around them."""

    def both() -> None:
        levels = look(draw(ws.clone().requires_grad_()))
        torch.stack([level.sum() for level in levels]).sum().backward()

    return both


@dataclass(frozen=True)
class Curve:
    """What a preset reached on some faces.

    Attributes:
        name: Preset and kind of face.
        best: Best distance until each step. # [faces, steps].
        seconds: CPU seconds of one face's step.
    """

    name: str
    best: Tensor
    seconds: float

    def at(self, step: float) -> str:
        """Median distance of the best iterate among the first ``step`` drawn."""
        index = int(step) - 1
        return f"{self.best[:, index].median():.3f}" if 0 <= index < self.best.shape[1] else ""

    @property
    def shares(self) -> Tensor:
        """What is left of each face's distance. # [faces]."""
        return self.best[:, -1] / self.best[:, 0]


def print_curves(arguments: argparse.Namespace) -> None:
    loaded = load_generator(arguments.weights)
    faces = {
        "photos": to_unit_range(torch.from_numpy(np.array(PackedDataset(arguments.heldout).pixels[: arguments.count]))),
        "own faces": own_faces(loaded.generator, arguments.count),
    }
    curves = [
        curve(f"{preset.value}, {kind}", loaded, pictures, PRESETS[preset])
        for preset in arguments.presets
        for kind, pictures in faces.items()
    ]
    title = f"{arguments.count} faces, median distance; {machine()}; {loaded.card.name} {loaded.digest[:12]}"
    over_steps = Table("", *(f"step {mark}" for mark in STEP_MARKS), "share left", "worst", title=title)
    over_seconds = Table("", "CPU ms a step", *(f"{mark} s" for mark in SECOND_MARKS), title="Over CPU seconds a face")
    for c in curves:
        left = (f"{c.shares.median():.0%}", f"{c.shares.max():.0%}")
        over_steps.add_row(c.name, *(c.at(mark) for mark in STEP_MARKS), *left)
        over_seconds.add_row(c.name, f"{c.seconds * 1e3:.1f}", *(c.at(mark / c.seconds) for mark in SECOND_MARKS))
    console = Console(width=140)
    console.print(over_steps)
    console.print(over_seconds)


def curve(name: str, loaded: LoadedGenerator, faces: Tensor, settings: InversionSettings) -> Curve:
    settings = settings.model_copy(update={"plateau": None})  # The whole curve is wanted.
    requests = [InversionRequest(face, settings, seed=seed) for seed, face in enumerate(faces)]
    engine = inversion_engine(loaded, WIDTH)
    started = time.process_time()
    results: list[InversionResult] = [finished.unwrap() for finished in engine.run(requests)]
    seconds = (time.process_time() - started) / sum(result.steps for result in results)
    best = torch.tensor([result.history for result in results]).cummin(dim=1).values
    return Curve(name, best, seconds)


def own_faces(generator: Generator, count: int) -> Tensor:
    """Faces that lie in W by construction. # [count, 3, R, R]."""
    with torch.no_grad():
        return generator.draw_image(sample_w(generator.mapping, count, seed=1234)).clamp(-1, 1)


if __name__ == "__main__":
    main()
