"""What the service adds to a job: the engine alone, the same with everything that a job leaves, and the service.

All three run the same jobs (search, drawing and, at 64 px, upscaling of the same face, four at a time) in turns, and
are compared by CPU seconds. Neighbours on the machine change those by some per cent, too (shared caches), which is more
than what is looked for. Therefore the worker's threads are also counted one by one: the thread that owns the device
does what the engine does, and all the others (queue, claims, leases, progress, crops, pictures, storing) are the
service. That needs ``--threads 1``, or the device has helpers among the others.
"""

import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from service_ground import SLOTS, Ground, cpu_seconds, thread_seconds, wait_for

from core.dispatch import doorbell_for
from core.jobs import Method, Preset
from faces.encoding import encode_jpeg, encode_png
from faces.images import read_photo
from model.conversion import Conversion, conclude, inversion_engine
from model.inversion.presets import PRESETS
from model.inversion.request import InversionRequest, Progress
from model.pixels import to_rgb
from model.portrait import Look
from worker.pictures import FRAME_QUALITY
from worker.search import FRAMES, shrunk
from worker.work import reduced

Row = tuple[str, str]


def engine_alone(ground: Ground, jobs: int, preset: Preset) -> float:
    """CPU seconds a job: search, drawing and upscaling of a batch that is always full; nothing is kept."""
    request = InversionRequest(ground.target, PRESETS[preset])
    return _converted(ground, [request] * jobs, lambda _: None)


def with_pictures(ground: Ground, jobs: int, preset: Preset) -> float:
    """The same, each crop read, and everything written to a folder that a job of the service leaves, by one thread."""
    folder = ground.folder / "pictures"
    folder.mkdir(exist_ok=True)
    frames: dict[int, list[Progress]] = {}

    def request(number: int) -> InversionRequest:
        frames[number] = []
        crop = read_photo(ground.crop)
        interval = -(-PRESETS[preset].steps // FRAMES)
        target = reduced(crop, ground.pair.g_ori.card.architecture.resolution)
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

    return _converted(ground, (request(number) for number in range(jobs)), keep)


def _converted(ground: Ground, requests: Iterable[InversionRequest], keep: Callable[[Conversion], object]) -> float:
    engine, done = inversion_engine(ground.pair.g_ori, SLOTS), 0
    cpu = time.process_time()
    for finished in engine.run(requests):
        found, request = {"g_ori": finished.unwrap()}, finished.ticket.request
        keep(
            conclude(
                ground.pair, Method.CROSS, found, request.target, Look(), ground.gallery.upscaler, seed=request.seed
            )
        )
        done += 1
    return (time.process_time() - cpu) / done


@dataclass(frozen=True)
class Cost:
    """CPU seconds a job."""

    device: float  # The worker's thread that owns the device.
    others: float  # All its other threads.
    valkey: float
    wall: float  # Seconds from a job's claim to its end: heartbeats and progress are told by the clock.

    @property
    def worker(self) -> float:
        """The worker's process."""
        return self.device + self.others


def whole_service(
    ground: Ground, worker: "subprocess.Popen[bytes]", jobs: int, preset: Preset, *, watched: bool = False
) -> Cost:
    """Order jobs, and count until all have ended."""
    ordered = ground.order(ground.services, jobs, preset)
    valkey = ground.valkey.pid or 0
    before, stored = thread_seconds(worker.pid), cpu_seconds(valkey)
    for job in ordered:
        if watched:
            ground.services.events.watch(job.id, seconds=3600)
        ground.services.dispatcher.ring(doorbell_for(job))
    for job in ordered:
        wait_for(lambda job_id=job.id: ground.services.store.get(job_id).state.is_end, pause=0.2)
    used = {thread: now - before.get(thread, 0.0) for thread, now in thread_seconds(worker.pid).items()}
    device = max(used.values())
    ended = [ground.services.store.get(job.id) for job in ordered]
    wall = statistics.mean((job.ended_at or 0.0) - (job.started_at or 0.0) for job in ended)
    return Cost(device / jobs, (sum(used.values()) - device) / jobs, (cpu_seconds(valkey) - stored) / jobs, wall)


def overhead_rows(ground: Ground, jobs: int, preset: Preset, rounds: int, *, brief: bool) -> Iterator[Row]:
    """Rows of the table; the measurements go in turns, and the middle one of each counts.

    Args:
        ground: Where to measure.
        jobs: Of one turn.
        preset: Of the jobs.
        rounds: Turns.
        brief: Only the engine and the service.
    """
    alone: list[float] = []
    pictures: list[float] = []
    service: list[Cost] = []
    watched: list[Cost] = []
    with ground.worker() as worker:
        whole_service(ground, worker, SLOTS, Preset.DRAFT)  # The first jobs pay for lazy libraries.
        for _ in range(rounds):
            alone.append(engine_alone(ground, jobs, preset))
            service.append(whole_service(ground, worker, jobs, preset))
            if not brief:
                pictures.append(with_pictures(ground, jobs, preset))
                watched.append(whole_service(ground, worker, jobs, preset, watched=True))
    engine, size = statistics.median(alone), ground.pair.g_ori.card.architecture.resolution
    yield f"engine alone, {preset.value}, {size} px", f"{engine:.3f} CPU s a job ({_range(alone)})"
    if pictures:
        yield "with all that a job leaves, in one process", _against(pictures, engine)
    yield "whole service: the worker's process", _against([cost.worker for cost in service], engine)
    for name, costs in (("", service), (", every job watched", watched)):
        if not costs:
            continue
        device, others, wall = (
            statistics.median(getattr(cost, part) for cost in costs) for part in ("device", "others", "wall")
        )
        share = f"{1e3 * others:.0f} ms a job, {100 * others / device:.1f} % of the device's {device:.3f} s"
        yield f"    its threads beside the device's{name}", f"{share}; a job took {wall:.0f} s"
    yield "Valkey", f"{1e3 * statistics.median(cost.valkey for cost in service):.0f} ms a job"


def _range(values: list[float]) -> str:
    return f"{min(values):.3f} to {max(values):.3f}"


def _against(values: list[float], base: float) -> str:
    cost = statistics.median(values)
    return f"{cost:.3f} CPU s a job ({_range(values)}), {100 * (cost / base - 1):+.1f} %"


def weights_folder(folder: Path, pixels: int) -> Path | None:
    """Install random weights where another size than the bundled pair's is asked for."""
    from service_weights import install

    return install(folder, pixels) if pixels != 64 else None
