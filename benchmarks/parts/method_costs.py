"""What a photo costs by each method: seconds, processor seconds and memory, measured in a process of its own."""

import multiprocessing
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from nigaoe.batch import OnePassOptions
from nigaoe.comparison_columns import columns_of
from nigaoe.library import Nigaoe
from nigaoe_model.portrait.pipeline import Subject

RESET_PEAK = "5"
"""What makes Linux count a process's peak of memory from now on; see proc(5), clear_refs."""


@dataclass(frozen=True)
class Cost:
    """Of one photo alone, without opening it and finding its face.

    Medians of wall and processor seconds; ``memory`` is the peak in bytes above what the imports took, weights
    included: of the process on a CPU, of the device's memory on a GPU.
    """

    seconds: float
    cpu_seconds: float
    memory: int


@dataclass(frozen=True)
class Work:
    """What a process of its own measures; its fields can be sent there."""

    method: str
    style: str | None
    weights: Path
    device: str
    threads: int
    crops: list[np.ndarray]


def cost_of(work: Work) -> Cost:
    """Measure one method in a new process, so that no other method's memory counts."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure, (work,))


def _measure(work: Work) -> Cost:
    Path("/proc/self/clear_refs").write_text(RESET_PEAK)
    before = _peak()
    nigaoe = Nigaoe(device=work.device, threads=work.threads, weights=work.weights)
    (column,), _ = columns_of(nigaoe, [work.method], style=work.style)
    style, options = nigaoe.check(column.style, **column.options)
    walls, cpus = [], []
    for crop in [work.crops[0], *work.crops]:  # The first one warms up and is not counted.
        start, cpu = time.perf_counter(), time.process_time()
        if isinstance(options, OnePassOptions):
            list(nigaoe.pipeline.draw(style, [Subject(crop, reference=options.reference)]))
        else:
            list(nigaoe.pipeline.convert(style, options, [Subject(crop)]))
        walls.append(time.perf_counter() - start)
        cpus.append(time.process_time() - cpu)
    on_gpu = torch.device(nigaoe.pipeline.device).type == "cuda"
    memory = torch.cuda.max_memory_allocated() if on_gpu else _peak() - before
    return Cost(statistics.median(walls[1:]), statistics.median(cpus[1:]), memory)


def _peak() -> int:
    """Return the most bytes that were resident since the peak was reset (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
