"""What the service costs beyond the engine, and how it behaves when much or too much is asked of it. One table.

Everything runs here and now with the bundled pair: a bare FastAPI upload beside ours, the engine alone beside a whole
worker, continuous beside static batching, and the service at 70 % and at 150 % of its capacity. CPU seconds are given
where a busy machine would spoil wall-clock figures. Run: ``python benchmarks/service.py [--jobs 12]``; some minutes on
two idle cores.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table
from service_arrivals import Load, Service, batching, calibrate, offered
from service_ground import PHOTO, SLOTS, Ground, answers, cpu_seconds, free_port, percentile, wait_for

from core.dispatch import doorbell_for
from core.jobs import Method, Preset
from core.services import connect_in_memory
from model.conversion import conclude, inversion_engine
from model.device import prepare_device
from model.inversion.presets import PRESETS
from model.inversion.request import InversionRequest
from model.portrait import Look
from worker.engine import Engine
from worker.gate import Gate
from worker.lease_keeper import LeaseKeeper
from worker.metrics import Metrics
from worker.tasks import JobTasks
from worker.work import Workbench

BARE = """
import sys, uvicorn
from fastapi import FastAPI, UploadFile
app = FastAPI()
@app.post("/upload", status_code=202)
async def upload(photo: UploadFile): return {"bytes": len(await photo.read())}
uvicorn.run(app, port=int(sys.argv[1]), log_level="error")
"""


def submit_latency(ground: Ground, requests: int) -> tuple[list[float], list[float]]:
    """Seconds of POST /convert, and of a bare upload of the same photo, one after the other in turns."""
    bare_port, port = free_port(), free_port()
    bare = subprocess.Popen([sys.executable, "-c", BARE, str(bare_port)])
    with ground.process("api", "--port", str(port)), httpx.Client(timeout=300) as client:
        urls = (f"http://127.0.0.1:{port}/convert", f"http://127.0.0.1:{bare_port}/upload")
        probes = (f"http://127.0.0.1:{port}/livez", f"http://127.0.0.1:{bare_port}/openapi.json")
        for probe in probes:
            wait_for(partial(answers, probe))
        taken: tuple[list[float], list[float]] = ([], [])
        for turn in range(requests + 2):
            for url, seconds in zip(urls, taken, strict=True):
                start = time.perf_counter()
                client.post(url, files={"photo": PHOTO.read_bytes()}).raise_for_status()
                if turn >= 2:  # The first two pay for the detector's start.
                    seconds.append(time.perf_counter() - start)
    bare.terminate()
    bare.wait()
    page = ground.services.store.list_jobs("public", limit=100)
    for job in page.jobs:
        ground.services.store.cancel(job.id)
    return taken


def engine_alone(ground: Ground, jobs: int) -> tuple[float, float]:
    """Wall and CPU seconds a job: search and drawing, as a batch that is always full."""
    engine = inversion_engine(ground.pair.g_ori, SLOTS)
    request = InversionRequest(ground.target, PRESETS[Preset.STANDARD])
    wall, cpu = time.perf_counter(), time.process_time()
    for finished in engine.run([request] * jobs):
        found = {"g_ori": finished.unwrap()}
        conclude(ground.pair, Method.CROSS, found, ground.target, Look(), ground.gallery.upscaler)
    return (time.perf_counter() - wall) / jobs, (time.process_time() - cpu) / jobs


def whole_service(ground: Ground, worker: subprocess.Popen[bytes], jobs: int) -> tuple[float, float]:
    """The same through queue, leases, progress, previews, files and stores: wall and the worker's CPU seconds a job."""
    ordered = ground.order(ground.services, jobs, Preset.STANDARD)
    wall, cpu = time.perf_counter(), cpu_seconds(worker.pid)
    for job in ordered:
        ground.services.dispatcher.ring(doorbell_for(job))
    wait_for(lambda: all(ground.services.store.get(job.id).state.is_end for job in ordered[-SLOTS:]))
    wait_for(lambda: all(ground.services.store.get(job.id).state.is_end for job in ordered))
    return (time.perf_counter() - wall) / jobs, (cpu_seconds(worker.pid) - cpu) / jobs


def preview_cost(ground: Ground, jobs: int) -> dict[float, float]:
    """CPU seconds a job in this process, by seconds between two previews."""
    taken: dict[float, list[float]] = {0.0: [], 1.0: []}
    for seconds in (0.0, 1.0) * 2:
        settings = ground.settings.model_copy(
            update={"preview_seconds": seconds, "data_dir": ground.folder / f"previews-{seconds}"}
        )
        services = connect_in_memory(settings)
        metrics = Metrics(services.store, SLOTS, "cpu")
        engine = Engine(SLOTS, inversion_engine, metrics, partial(prepare_device, "cpu"))
        keeper = LeaseKeeper(services.store, services.events, settings)
        tasks = JobTasks(
            services, keeper, Gate(SLOTS), Workbench(engine, ground.gallery, settings), metrics, "benchmark"
        )
        for thread in (engine, keeper):
            thread.start()
        ordered = ground.order(services, jobs, Preset.STANDARD)
        cpu = time.process_time()
        with ThreadPoolExecutor(SLOTS) as pool:
            list(pool.map(lambda job: tasks.answer(job.id, 1), ordered))  # noqa: B023 - used up in this round.
        taken[seconds].append((time.process_time() - cpu) / jobs)
        engine.close()
        keeper.close()
        services.close()
    return {seconds: statistics.mean(values) for seconds, values in taken.items()}


def submit_rows(ground: Ground, requests: int) -> list[tuple[str, str]]:
    ours, bare = submit_latency(ground, requests)
    return [
        ("submit, p50 / p99", f"{1e3 * percentile(ours, 0.5):.0f} / {1e3 * percentile(ours, 0.99):.0f} ms"),
        (
            "bare FastAPI upload, p50 / p99",
            f"{1e3 * percentile(bare, 0.5):.0f} / {1e3 * percentile(bare, 0.99):.0f} ms",
        ),
    ]


def overhead_rows(ground: Ground, jobs: int) -> list[tuple[str, str]]:
    with ground.worker() as worker:
        rounds = [(engine_alone(ground, jobs), whole_service(ground, worker, jobs)) for _ in range(3)]
    alone = [min(values) for values in zip(*(engine for engine, _ in rounds), strict=True)]
    whole = [min(values) for values in zip(*(service for _, service in rounds), strict=True)]
    return [
        ("engine alone, standard", f"{1 / alone[0]:.2f} jobs/s, {alone[1]:.2f} CPU s a job"),
        ("whole service, standard", f"{1 / whole[0]:.2f} jobs/s, {whole[1]:.2f} CPU s a job"),
        (
            "overhead of the service",
            f"{100 * (whole[0] / alone[0] - 1):+.1f} % wall, {100 * (whole[1] / alone[1] - 1):+.1f} % CPU",
        ),
    ]


def preview_rows(ground: Ground, jobs: int) -> list[tuple[str, str]]:
    cost = preview_cost(ground, jobs)
    return [
        ("a job without / with previews", f"{cost[0.0]:.2f} / {cost[1.0]:.2f} CPU s"),
        ("preview cost", f"{100 * (cost[1.0] / cost[0.0] - 1):+.1f} %"),
    ]


def batching_rows(ground: Ground, jobs: int) -> list[tuple[str, str]]:
    found = batching(ground, jobs)
    return [
        (f"{name} batching at 70 %", f"p50 {load.p(0.5):.1f}, p95 {load.p(0.95):.1f} s, {load.throughput:.2f} jobs/s")
        for name, load in found.items()
    ]


def overload_rows(ground: Ground, jobs: int) -> list[tuple[str, str]]:
    with Service(ground) as service:
        capacity = calibrate(service)
        calm, storm = (offered(service, share * capacity, jobs) for share in (0.7, 1.5))
    return [(f"offered 70 % of {capacity:.2f} jobs/s", told(calm)), ("offered 150 %", told(storm)),
            ("p99 at 150 % / at 70 %", f"{storm.p(0.99) / calm.p(0.99):.2f}")]  # fmt: skip


def told(load: Load) -> str:
    return (
        f"{len(load.seconds)} accepted, {load.refused} refused; p50 {load.p(0.5):.1f}, p99 {load.p(0.99):.1f} s, "
        f"{load.throughput:.2f} jobs/s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=12, help="jobs of one measurement")
    parser.add_argument("--only", choices=["submit", "overhead", "previews", "batching", "overload"], action="append")
    options = parser.parse_args()
    parts = {
        "submit": partial(submit_rows, requests=4 * options.jobs),
        "overhead": partial(overhead_rows, jobs=options.jobs),
        "previews": partial(preview_rows, jobs=options.jobs),
        "batching": partial(batching_rows, jobs=4 * options.jobs),
        "overload": partial(overload_rows, jobs=3 * options.jobs),
    }
    table = Table("what", "measured", title="The service on this machine")
    with tempfile.TemporaryDirectory() as folder:
        ground = Ground(Path(folder))
        for name, part in parts.items():
            if not options.only or name in options.only:
                for row in part(ground):
                    table.add_row(*row)
        ground.close()
    Console().print(table)


if __name__ == "__main__":
    main()
