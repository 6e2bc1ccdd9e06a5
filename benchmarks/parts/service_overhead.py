"""What the service adds to a job: the engine alone, the same with everything that a job leaves, and the service.

All three run the same jobs (search, drawing in the same look and, at 64 px, upscaling of the same face, four at a time)
in turns, and are compared by CPU seconds. Neighbours on the machine change those by some per cent, too (shared caches),
which is more than what is looked for; the turns are short, so that both have the same neighbours, and the middle of the
turns' ratios counts. The worker's threads are counted one by one, too: the thread that owns the device does what the
engine does, and all the others (queue, claims, leases, progress, crops, pictures, storing) are the service. That needs
``--threads 1``, or the device has helpers among the others.
"""

import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import torch
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.parts.service_ground import SLOTS, Ground, cpu_seconds, free_port, thread_seconds, wait_for
from nigaoe_core.jobs import JobOptions, Preset, new_job
from nigaoe_faces.encoding import encode_jpeg, encode_png
from nigaoe_faces.images import read_photo
from nigaoe_model.inversion.request import InversionRequest, Progress
from nigaoe_model.inversion.settings import PRESETS
from nigaoe_model.pixels import to_rgb
from nigaoe_model.portrait.convert import Conversion, conclude, inversion_engine, target_of
from nigaoe_worker.convert import FRAME_QUALITY, options_of
from nigaoe_worker.search import FRAMES, shrunk

Row = tuple[str, str]


@dataclass(frozen=True)
class Cost:
    """CPU seconds a job, and how many jobs a second were done."""

    rate: float  # Jobs a second, from the first order to the last end.
    device: float  # The thread that owns the device.
    others: float = 0.0  # All other threads of the worker.
    valkey: float = 0.0
    wall: float = 0.0  # Seconds from a job's claim to its end: heartbeats and progress are told by the clock.

    @property
    def process(self) -> float:
        """All threads."""
        return self.device + self.others


def engine_alone(ground: Ground, jobs: int, preset: Preset) -> Cost:
    """Search, drawing and upscaling of a batch that is always full; nothing is kept."""
    request = InversionRequest(ground.target, PRESETS[preset])
    return _converted(ground, [request] * jobs, preset, lambda _: None)


def with_pictures(ground: Ground, jobs: int, preset: Preset) -> Cost:
    """The same, each crop read, and everything written to a folder that a job of the service leaves, by one thread."""
    folder = ground.folder / "pictures"
    folder.mkdir(exist_ok=True)
    frames: dict[int, list[Progress]] = {}

    def request(number: int) -> InversionRequest:
        frames[number] = []
        crop = read_photo(ground.crop)
        interval = -(-PRESETS[preset].steps // FRAMES)
        target = target_of(crop, ground.pair.g_ori.card.architecture.resolution)
        return InversionRequest(
            target,
            PRESETS[preset],
            seed=number,
            on_progress=lambda news: None if news.preview is None else frames[number].append(news),
            preview_interval=interval,
        )

    def keep(done: Conversion) -> None:
        number = done.latent.card.seed
        way = torch.cat([shrunk(news.preview) for news in frames.pop(number) if news.preview is not None], dim=1)
        for name, data in {
            "result.png": encode_png(to_rgb(done.portrait.picture)),
            "person.png": encode_png(to_rgb(done.portrait.person)),
            "latent.safetensors": done.latent.to_bytes(),
            "frames.jpg": encode_jpeg(to_rgb(way), FRAME_QUALITY),
        }.items():
            (folder / f"{number}-{name}").write_bytes(data)

    return _converted(ground, (request(number) for number in range(jobs)), preset, keep)


def _converted(
    ground: Ground, requests: Iterable[InversionRequest], preset: Preset, keep: Callable[[Conversion], object]
) -> Cost:
    options = options_of(new_job(JobOptions(preset=preset)))
    engine, done = inversion_engine(ground.pair.g_ori, SLOTS), 0
    cpu, start = time.process_time(), time.perf_counter()
    for finished in engine.run(requests):
        found, request = {"g_ori": finished.unwrap()}, finished.ticket.request
        upscaler = ground.models.upscaler
        keep(conclude(ground.pair, options, found, request.target, upscaler, seed=request.seed))
        done += 1
    return Cost(rate=done / (time.perf_counter() - start), device=(time.process_time() - cpu) / done)


def whole_service(
    ground: Ground, worker: "subprocess.Popen[bytes]", jobs: int, preset: Preset, *, watched: bool = False
) -> Cost:
    """Order jobs, and count until all have ended."""
    ordered = ground.order(ground.services, jobs, preset)
    valkey = ground.valkey.pid or 0
    before, stored, start = thread_seconds(worker.pid), cpu_seconds(valkey), time.time()
    for job in ordered:
        if watched:
            ground.services.events.watch(job.id, seconds=3600)
        ground.services.dispatcher.wake(job)
    for job in ordered:
        wait_for(lambda job_id=job.id: ground.services.store.get(job_id).state.is_end, pause=0.2)
    used = {thread: now - before.get(thread, 0.0) for thread, now in thread_seconds(worker.pid).items()}
    device = max(used.values())
    ended = [ground.services.store.get(job.id) for job in ordered]
    return Cost(
        rate=jobs / (max(job.ended_at or 0.0 for job in ended) - start),
        device=device / jobs,
        others=(sum(used.values()) - device) / jobs,
        valkey=(cpu_seconds(valkey) - stored) / jobs,
        wall=statistics.mean((job.ended_at or 0.0) - (job.started_at or 0.0) for job in ended),
    )


def overhead_rows(ground: Ground, jobs: int, preset: Preset, rounds: int, *, brief: bool) -> Iterator[Row]:
    """Rows of the table; the measurements go in turns, and the middle one of each counts.

    Args:
        ground: Where to measure.
        jobs: Of one turn.
        preset: Of the jobs.
        rounds: Turns.
        brief: Only the engine and the service.
    """
    alone: list[Cost] = []
    pictures: list[Cost] = []
    service: list[Cost] = []
    watched: list[Cost] = []
    port = free_port()
    with ground.worker(worker_metrics_port=port) as worker:
        whole_service(ground, worker, SLOTS, Preset.DRAFT)  # The first jobs pay for lazy libraries.
        for _ in range(rounds):
            alone.append(engine_alone(ground, jobs, preset))
            before = steps_by_faces(port)
            service.append(whole_service(ground, worker, jobs, preset))
            steps = steps_by_faces(port) - before
            if not brief:
                pictures.append(with_pictures(ground, jobs, preset))
                watched.append(whole_service(ground, worker, jobs, preset, watched=True))
    size = ground.pair.g_ori.card.architecture.resolution
    engine = f"{_middle(alone, 'device'):.3f} CPU s a job ({_range(alone)})"
    yield f"engine alone, {preset.value}, {size} px", f"{engine}, {_middle(alone, 'rate'):.3f} jobs/s"
    if pictures:
        yield "with all that a job leaves, in one process", _against(pictures, alone)
    yield "whole service: the worker's process", f"{_against(service, alone)}, {_middle(service, 'rate'):.3f} jobs/s"
    for name, costs in (("", service), (", every job watched", watched)):
        if costs:
            yield f"    its device's thread{name}", _against(costs, alone, "device")
            share = statistics.median(cost.others / cost.device for cost in costs)
            told = f"{1e3 * _middle(costs, 'others'):.0f} ms a job, {100 * share:.1f} % of the device's"
            yield f"    its other threads{name}", f"{told}; a job took {_middle(costs, 'wall'):.0f} s"
    yield "    steps of 1, 2, ... faces", ", ".join(str(steps[faces]) for faces in range(1, SLOTS + 1))
    yield "Valkey", f"{1e3 * _middle(service, 'valkey'):.0f} ms a job"


def steps_by_faces(port: int) -> Counter[int]:
    """How many steps a worker has made with so many faces."""
    families = text_string_to_metric_families(httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=60).text)
    samples = [sample for family in families for sample in family.samples if sample.name == "nigaoe_steps_total"]
    return Counter({int(sample.labels["faces"]): int(sample.value) for sample in samples})


def _middle(costs: list[Cost], part: str) -> float:
    return statistics.median(getattr(cost, part) for cost in costs)


def _range(costs: list[Cost], part: str = "process") -> str:
    values = [getattr(cost, part) for cost in costs]
    return f"{min(values):.3f} to {max(values):.3f}"


def _against(costs: list[Cost], alone: list[Cost], part: str = "process") -> str:
    ratios = [getattr(cost, part) / base.process for cost, base in zip(costs, alone, strict=True)]
    told = ", ".join(f"{100 * (ratio - 1):+.1f}" for ratio in sorted(ratios))
    middle = 100 * (statistics.median(ratios) - 1)
    return f"{_middle(costs, part):.3f} CPU s a job ({_range(costs, part)}), {middle:+.1f} % (turns: {told})"


def weights_folder(folder: Path, pixels: int) -> Path | None:
    """Install random weights where another size than the bundled pair's is asked for."""
    from benchmarks.parts.service_weights import install

    return install(folder, pixels) if pixels != 64 else None
