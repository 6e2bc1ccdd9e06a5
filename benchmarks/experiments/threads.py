"""How OpenMP's threads should wait, and how many a batch deserves.

`python benchmarks/experiments/threads.py`

The same looks at a latent (picture and gradient through the frozen generator) with one thread, with several that sleep
while they wait and with several that spin, on the machine as it is and beside programs that keep every core busy.
How threads wait is read when PyTorch is loaded, so every cell of the table is a process of its own.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

WAYS = {"1 thread": (1, "PASSIVE"), "all, sleeping": (0, "PASSIVE"), "all, spinning": (0, "ACTIVE")}
BUSY = "while True: pass"
ENOUGH_SECONDS = 10.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure is not None:
        print(json.dumps(measure(arguments.measure, arguments.batches, arguments.runs)))
        return
    cores = len(os.sched_getaffinity(0))
    table = Table("", *(f"batch {batch}" for batch in arguments.batches), title=f"Milliseconds a look; {cores} cores")
    for neighbours in (0, cores):
        for way, (threads, policy) in WAYS.items():
            with busy(neighbours):
                medians = in_a_process(threads or cores, policy, arguments.batches, arguments.runs)
            beside = f"{way}, beside {neighbours} busy programs" if neighbours else way
            table.add_row(beside, *(f"{median * 1e3:.0f}" for median in medians))
        table.add_section()
    Console(width=110).print(table)


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """Keep cores busy with programs that want nothing else."""
    programs = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def in_a_process(threads: int, policy: str, batches: list[int], runs: int) -> list[float]:
    """Measure where OpenMP was told how to wait."""
    command = [
        sys.executable,
        __file__,
        "--measure",
        str(threads),
        "--runs",
        str(runs),
        "--batches",
        *map(str, batches),
    ]
    environment = {**os.environ, "OMP_WAIT_POLICY": policy, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return list(json.loads(done.stdout))


def measure(threads: int, batches: list[int], runs: int) -> list[float]:
    """Return the median seconds of one look at each batch size."""
    import torch

    from nigaoe_model.stylegan2.architecture import demo_architecture
    from nigaoe_model.stylegan2.generator import Generator
    from nigaoe_model.stylegan2.inference.synthesis import FrozenSynthesis

    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    architecture = demo_architecture()
    draw = FrozenSynthesis(Generator(architecture).eval().requires_grad_(requires_grad=False).synthesis)
    medians = []
    for batch in batches:
        ws = torch.randn(batch, architecture.num_ws, architecture.w_dim)
        seconds: list[float] = []
        while len(seconds) <= runs and sum(seconds) < ENOUGH_SECONDS:
            start = time.perf_counter()
            draw(ws.clone().requires_grad_()).square().sum().backward()
            seconds.append(time.perf_counter() - start)
        medians.append(statistics.median(seconds[1:] or seconds))
    return medians


if __name__ == "__main__":
    main()
