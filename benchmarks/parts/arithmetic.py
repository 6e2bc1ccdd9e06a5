"""What the other benchmarks of networks share: floating-point work, its ceiling on this machine, interleaved timing."""

import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

CEILING_SIZES = (1024, 2048)


@dataclass(frozen=True)
class Timing:
    """Medians over several runs, in seconds. CPU time beside wall time tells a busy machine from a slow program."""

    wall: float
    cpu: float


def interleaved(works: Mapping[str, Callable[[], object]], runs: int) -> dict[str, Timing]:
    """Time several works in turn, so that whatever else the machine does hits all of them alike."""
    for work in works.values():
        work()
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for _ in range(runs):
        for name, work in works.items():
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            seen[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {name: Timing(*(statistics.median(t) for t in zip(*times, strict=True))) for name, times in seen.items()}


def ceiling(runs: int = 7) -> float:
    """Return the most operations a CPU second that a float32 matrix product reaches on one thread's core."""
    best = 0.0
    for size in CEILING_SIZES:
        a, b = torch.randn(size, size), torch.randn(size, size)
        for _ in range(runs):
            start = time.process_time()
            torch.mm(a, b)
            best = max(best, 2 * size**3 / (time.process_time() - start))
    return best


def operations(work: Callable[[], object]) -> int:
    """Return the floating-point operations of matrix products and convolutions in ``work``."""
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


def outside_operators(work: Callable[[], object], runs: int) -> float:
    """Return which share of ``work`` passes between PyTorch's operators: Python and autograd's bookkeeping, at most.

    What the profiler itself costs counts, too: about a microsecond an operator.
    """
    work()
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        start = time.perf_counter()
        for _ in range(runs):
            work()
        wall = time.perf_counter() - start
    inside = sum(event.self_cpu_time_total for event in seen.key_averages() if event.key.startswith("aten::"))
    return 1 - inside / 1e6 / wall


def machine() -> str:
    """Say where this was measured."""
    threads = f"{torch.get_num_threads()} threads, waiting {os.environ.get('OMP_WAIT_POLICY', 'by default').lower()}"
    return f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {threads}"
