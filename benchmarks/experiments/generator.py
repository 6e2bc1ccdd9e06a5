"""What one look at a latent costs: `python benchmarks/experiments/generator.py`.

Picture and gradient of w_plus, through the generator as it is trained and through its frozen twin in the slot engine.
64 px is the bundled demo generator's architecture, 256 px the published one with 16,384 / R channels; weights are
random, which changes no time. Operations are those of the plain generator, so that both rows count the same work.
"""

import argparse
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.parts.arithmetic import ceiling, interleaved, machine, operations
from nigaoe_model.stylegan2.architecture import Architecture, demo_architecture, published_architecture
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.stylegan2.inference.synthesis import FrozenSynthesis

ARCHITECTURES = {64: demo_architecture(), 256: published_architecture(256, channel_base=16384)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resolutions", type=int, nargs="+", choices=list(ARCHITECTURES), default=list(ARCHITECTURES))
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 8, 16])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    limit = ceiling()
    title = f"Picture and gradient; {machine()}; ceiling {limit / 1e9:.0f} GFLOP a CPU second"
    columns = ("pixels", "batch", "network", "wall ms", "CPU ms", "CPU ms a picture", "GFLOP", "a CPU s", "of ceiling")
    table = Table(*columns, title=title)
    for resolution in arguments.resolutions:
        for batch in arguments.batches:
            for row in rows(ARCHITECTURES[resolution], batch, arguments.runs, limit):
                table.add_row(str(resolution), str(batch), *row)
        table.add_section()
    Console(width=120).print(table)


def rows(architecture: Architecture, batch: int, runs: int, limit: float) -> list[tuple[str, ...]]:
    torch.manual_seed(0)
    generator = Generator(architecture).eval().requires_grad_(requires_grad=False)
    ws = torch.randn(batch, architecture.num_ws, architecture.w_dim)
    works = {
        "trainable": looking(generator.draw_image, ws),
        "frozen": looking(FrozenSynthesis(generator.synthesis), ws),
    }
    work = operations(works["trainable"])
    lines = []
    for name, timing in interleaved(works, runs).items():
        rate = work / timing.cpu
        numbers = (f"{timing.wall * 1e3:.1f}", f"{timing.cpu * 1e3:.1f}", f"{timing.cpu * 1e3 / batch:.1f}")
        lines.append((name, *numbers, f"{work / 1e9:.2f}", f"{rate / 1e9:.0f}", f"{rate / limit:.0%}"))
    return lines


def looking(draw: Callable[[Tensor], Tensor], ws: Tensor) -> Callable[[], object]:
    def look() -> None:
        draw(ws.clone().requires_grad_()).square().sum().backward()

    return look


if __name__ == "__main__":
    main()
