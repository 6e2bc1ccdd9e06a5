"""What CUDA graphs save: admission and step of the slot engine, eager, compiled, and replayed.

`python benchmarks/step_graphs.py`: time of a step by batch in the bundled g_ori, on faces that it drew itself; how far
the distances of replayed searches are from those of drawn ones within 20 steps, and how far those of two equal searches
are from each other; what an admission and what recording costs. About a minute.
`--device cpu --batches 1 3 --rounds 1 --steps 1 --skip-compile` tries the script itself where there is no GPU.
"""

import argparse
import contextlib
import signal
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from nigaoe_core.bundled import BUNDLED_WEIGHTS
from nigaoe_core.registry import Registry
from nigaoe_model.inversion.algorithm import Objective
from nigaoe_model.inversion.engine import SlotEngine
from nigaoe_model.inversion.graphs import PlainRecorder, Recorder, Result, padded, recorder_for
from nigaoe_model.inversion.request import InversionRequest
from nigaoe_model.inversion.settings import InversionSettings
from nigaoe_model.portrait.convert import search_objective
from nigaoe_model.portrait.pair import LoadedGenerator, load_generator
from nigaoe_model.stylegan2.latent_statistics import sample_w

COMPARED_STEPS = 20
REPLAYS = 20
ADMISSIONS = 8

COLUMNS = (
    "batch",
    "eager ms",
    "graph ms",
    "of it replay ms",
    "times sooner",
    "eager faces x steps/s",
    "graph faces x steps/s",
    "largest difference",
    "eager, twice",
    "admission ms",
    "by graph ms",
    "recording s",
    "recordings MiB",
    "eager peak MiB",
)


class TimedRecorder:
    """Another recorder, and what it took."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.seconds = 0.0
        self.memory = 0
        self.replay: Callable[[], object] | None = None

    def record(self, work: Callable[[], Result]) -> Callable[[], Result]:
        memory, started = held_memory(), time.perf_counter()
        replay = self.recorder.record(work)
        self.replay = self.replay or replay  # The first is that of the whole batch.
        synchronise()
        self.seconds += time.perf_counter() - started
        self.memory += held_memory() - memory
        return replay

    def release(self) -> None:
        self.recorder.release()

    def another(self) -> Recorder:
        return self.recorder.another()


class CompilingRecorder:
    """Compiles the work instead of recording it."""

    def record(self, work: Callable[[], Result]) -> Callable[[], Result]:
        return torch.compile(work, dynamic=False)

    def release(self) -> None:
        torch.compiler.reset()

    def another(self) -> Recorder:
        return PlainRecorder()


class OutOfTime(BaseException):
    """Not an Exception: no compiler shall mistake it for a failure of its own."""


@dataclass(frozen=True)
class Subject:
    """Where is searched, and for what."""

    loaded: LoadedGenerator
    objective: Objective
    faces: Tensor  # [N, 3, R, R]

    def engine(self, width: int, recorder: Recorder | None) -> SlotEngine:
        return SlotEngine(self.loaded.generator, self.objective, width, recorder=recorder)

    def requests(self, count: int, steps: int) -> list[InversionRequest]:
        settings = InversionSettings(steps=steps)
        return [InversionRequest(face, settings, seed=seed) for seed, face in enumerate(self.faces[:count])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--steps", type=int, default=10, help="steps of one timing")
    parser.add_argument("--rounds", type=int, default=5, help="timings, of which the median counts")
    parser.add_argument("--seconds", type=float, default=60.0, help="compiling is broken off then")
    parser.add_argument("--compile-batch", type=int, default=16)
    parser.add_argument("--skip-compile", action="store_true")
    arguments = parser.parse_args()
    if arguments.device.startswith("cuda") and not torch.cuda.is_available():
        print("This benchmark compares CUDA graphs with eager steps, and there is no CUDA device here.")
        return
    torch.set_flush_denormal(True)
    started = time.perf_counter()
    subject = prepare(torch.device(arguments.device), max(*arguments.batches, arguments.compile_batch, 5))
    print(f"{machine(subject)}; ready after {time.perf_counter() - started:.1f} s\n", flush=True)
    print(markdown(COLUMNS), markdown(["---:"] * len(COLUMNS)), sep="\n", flush=True)
    for batch in arguments.batches:
        print(markdown(row(subject, batch, arguments.steps, arguments.rounds)), flush=True)
    print(f"\n{padding_line(subject)}\n", flush=True)
    if not arguments.skip_compile:
        print(
            compile_lines(subject, arguments.compile_batch, arguments.steps, arguments.rounds, arguments.seconds),
            flush=True,
        )
    print(f"{time.perf_counter() - started:.1f} s in all")


def prepare(device: torch.device, count: int) -> Subject:
    entry = Registry.load(BUNDLED_WEIGHTS).generator("g_ori")
    loaded = load_generator(entry.path, device, encoder=entry.encoder)
    with torch.no_grad():
        faces = loaded.generator.draw_image(sample_w(loaded.generator.mapping, count, seed=1234)).clamp(-1, 1)
    return Subject(loaded, search_objective(loaded), faces)


def row(subject: Subject, batch: int, steps: int, rounds: int) -> list[str]:
    recorder = TimedRecorder(recorder_of(subject))
    eager, replayed = subject.engine(batch, None), subject.engine(batch, recorder)
    (drawn, peak), answers = peak_memory(lambda: distances(eager, subject, batch)), distances(replayed, subject, batch)
    again = distances(eager, subject, batch)
    admissions = [admission_seconds(engine, subject) for engine in (eager, replayed)]
    times = interleaved([occupied(engine, subject, batch) for engine in (eager, replayed)], steps, rounds)
    return [
        str(batch),
        *(f"{seconds * 1e3:.2f}" for seconds in times),
        f"{replay_seconds(recorder) * 1e3:.2f}",
        f"{times[0] / times[1]:.1f}",
        *(f"{batch / seconds:.0f}" for seconds in times),
        *(f"{float((drawn - others).abs().max()):.1e}" for others in (answers, again)),
        *(f"{seconds * 1e3:.1f}" for seconds in admissions),
        f"{recorder.seconds:.2f}",
        f"{recorder.memory / 2**20:.0f}",
        f"{peak / 2**20:.0f}",
    ]


def padding_line(subject: Subject) -> str:
    width, count = 8, 5
    drawn = distances(subject.engine(width, None), subject, count)
    answers = distances(subject.engine(width, recorder_of(subject)), subject, count)
    difference = float((drawn - answers).abs().max())
    return f"{count} faces padded to {padded(count, width)}: largest difference {difference:.1e}"


def compile_lines(subject: Subject, batch: int, steps: int, rounds: int, limit: float) -> str:
    started = time.perf_counter()
    engines = [subject.engine(batch, None), subject.engine(batch, CompilingRecorder())]
    try:
        with at_most(limit):
            occupied(engines[1], subject, batch).step()
            engines[1].step()
            synchronise()
            compiling = time.perf_counter() - started
            times = interleaved([occupied(engines[0], subject, batch), engines[1]], steps, rounds)
    except OutOfTime:
        return f"torch.compile was not ready after {limit:.0f} s."
    except Exception as error:  # noqa: BLE001 - whatever a compiler raises is the answer.
        return (
            f"torch.compile failed after {time.perf_counter() - started:.1f} s: {type(error).__name__}: {error!s:.500}"
        )
    eager, compiled = (f"{seconds * 1e3:.2f} ms" for seconds in times)
    return f"torch.compile, batch {batch}: {compiled} a step, eager {eager}; {compiling:.1f} s to compile; {breaks()}"


def recorder_of(subject: Subject) -> Recorder:
    return recorder_for(subject.faces.device) or PlainRecorder()


def distances(engine: SlotEngine, subject: Subject, batch: int) -> Tensor:
    """Distances at every step. # [batch, COMPARED_STEPS]."""
    ended = sorted(engine.run(subject.requests(batch, COMPARED_STEPS)), key=lambda one: one.ticket.number)
    return torch.tensor([one.unwrap().history for one in ended])


def admission_seconds(engine: SlotEngine, subject: Subject) -> float:
    """Seconds to admit one request, the device waited for."""
    seen = []
    for request in subject.requests(1, 1) * ADMISSIONS:
        seen.append(seconds_each(partial(engine.admit, request), 1))
        engine.step()
    return statistics.median(seen)


def occupied(engine: SlotEngine, subject: Subject, batch: int) -> SlotEngine:
    for request in subject.requests(batch, 100_000):
        engine.admit(request)
    return engine


def interleaved(engines: Sequence[SlotEngine], steps: int, rounds: int) -> list[float]:
    """Median seconds of a step of each, the clock read when the device is done."""
    seen: list[list[float]] = [[] for _ in engines]
    for engine in engines:
        engine.step()
    for _ in range(rounds):
        for engine, times in zip(engines, seen, strict=True):
            times.append(seconds_each(engine.step, steps))
    return [statistics.median(times) for times in seen]


def seconds_each(work: Callable[[], object], times: int) -> float:
    synchronise()
    started = time.perf_counter()
    for _ in range(times):
        work()
    synchronise()
    return (time.perf_counter() - started) / times


def replay_seconds(recorder: TimedRecorder) -> float:
    return seconds_each(recorder.replay, REPLAYS if torch.cuda.is_available() else 1) if recorder.replay else 0.0


def peak_memory(work: Callable[[], Tensor]) -> tuple[Tensor, int]:
    """What a work returns, and by how many bytes it went above what was allocated before."""
    if not torch.cuda.is_available():
        return work(), 0
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    result = work()
    return result, torch.cuda.max_memory_allocated() - before


def held_memory() -> int:
    """Bytes that the allocator holds of the device and that something occupies."""
    if not torch.cuda.is_available():
        return 0
    synchronise()
    torch.cuda.empty_cache()
    return torch.cuda.memory_reserved()


def synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Break off what takes longer."""

    def ring(*_: object) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def breaks() -> str:
    """Into how many pieces the compiler cut the work."""
    from torch._dynamo.utils import counters  # Slow to import, and not needed with --skip-compile.

    return f"{counters['stats']['unique_graphs']} graphs, {sum(counters['graph_break'].values())} breaks"


def machine(subject: Subject) -> str:
    device = subject.faces.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    side = subject.faces.shape[-1]
    return f"{name}, torch {torch.__version__}, g_ori {subject.loaded.digest[:12]}, {side} pixels"


def markdown(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
