"""What the service costs beyond the engine, and how it behaves when much or too much is asked of it.

Everything runs here and now: a bare FastAPI upload beside ours, the engine alone beside a whole worker, continuous
beside static batching, and the service at 70 % and at 150 % of its capacity. Run: ``python benchmarks/service.py
[--jobs 12] [--only overhead]``; half an hour for all of it on two idle cores. Rows are printed as they come.
``--pixels 256 --preset draft --only overhead`` measures a larger generator, with random weights.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
from rich.console import Console

from benchmarks.parts.service_arrivals import Load, Service, batching, calibrate, offered, step_costs
from benchmarks.parts.service_ground import PHOTO, SLOTS, Ground, answers, cpu_seconds, free_port, percentile, wait_for
from benchmarks.parts.service_overhead import Row, overhead_rows, weights_folder
from benchmarks.parts.service_queue import STEPS, calculated
from nigaoe_core.jobs import Preset

BARE = """
import sys, uvicorn
from fastapi import FastAPI, UploadFile
app = FastAPI()
@app.post("/upload", status_code=202)
async def upload(photo: UploadFile): return {"bytes": len(await photo.read())}
uvicorn.run(app, port=int(sys.argv[1]), log_level="error")
"""


def submit_rows(ground: Ground, requests: int) -> Iterator[Row]:
    """POST /convert, and a bare upload of the same photo, one after the other in turns."""
    bare_port, port = free_port(), free_port()
    bare = subprocess.Popen([sys.executable, "-c", BARE, str(bare_port)])
    taken: tuple[list[float], list[float]] = ([], [])
    with ground.process("api", "--port", str(port)) as api, httpx.Client(timeout=300) as client:
        urls = (f"http://127.0.0.1:{port}/convert", f"http://127.0.0.1:{bare_port}/upload")
        for probe in (f"http://127.0.0.1:{port}/livez", f"http://127.0.0.1:{bare_port}/openapi.json"):
            wait_for(partial(answers, probe))
        for url in urls * 2:  # The first two pay for the detector's start.
            client.post(url, files={"photo": PHOTO.read_bytes()}).raise_for_status()
        cpu = cpu_seconds(api.pid)
        for _ in range(requests):
            for url, seconds in zip(urls, taken, strict=True):
                start = time.perf_counter()
                client.post(url, files={"photo": PHOTO.read_bytes()}).raise_for_status()
                seconds.append(time.perf_counter() - start)
        cpu = (cpu_seconds(api.pid) - cpu) / requests
    bare.terminate()
    bare.wait()
    while jobs := ground.services.store.list_jobs("public", limit=100).jobs:
        for job in jobs:
            ground.services.retention.erase(job.id)
    for name, seconds in zip(("submit", "bare FastAPI upload"), taken, strict=True):
        yield (
            f"{name}, p50 / p99 of {requests}",
            f"{1e3 * percentile(seconds, 0.5):.0f} / {1e3 * percentile(seconds, 0.99):.0f} ms",
        )
    yield "the API's process", f"{cpu:.3f} CPU s a photo"


def batching_rows(ground: Ground, jobs: int) -> Iterator[Row]:
    costs = step_costs(ground)
    yield "a step of 1, 2, ... faces", ", ".join(f"{1e3 * seconds:.0f}" for seconds in costs.values()) + " ms"
    devices = {
        "these steps": costs.__getitem__,
        "steps in proportion to their faces": lambda faces: faces * costs[SLOTS] / SLOTS,
        "steps as long for one face as for all": lambda _: costs[SLOTS],
    }
    for device, cost in devices.items():
        yield f"calculated with {device}", "20000 arrivals at 70 %, p50 / p95 of all and by steps"
        for name, told_ in calculated(cost):
            yield f"    {name}", told_
    for name, load in batching(ground, jobs, costs[SLOTS]):
        yield (
            f"run: {name}, {jobs} jobs at 70 %",
            f"p50 {load.p(0.5):.2f}, p95 {load.p(0.95):.2f} s, {load.throughput:.2f} jobs/s",
        )
        yield (
            "    p50 / p95 by steps",
            ", ".join(f"{steps}: {load.p_of(steps, 0.5):.2f} / {load.p_of(steps, 0.95):.2f} s" for steps in STEPS),
        )


def overload_rows(ground: Ground, jobs: int) -> Iterator[Row]:
    with Service(ground) as service:
        capacity = calibrate(service)
        calm = offered(service, 0.7 * capacity, jobs)
        yield f"offered 70 % of {capacity:.2f} jobs/s", told(calm)
        storm = offered(service, 1.5 * capacity, jobs)
        yield "offered 150 %", told(storm)
        yield "p99 at 150 % / at 70 %", f"{storm.p(0.99) / calm.p(0.99):.2f}"


def told(load: Load) -> str:
    refused = ", ".join(f"{count} refused with {status}" for status, count in load.refused.items()) or "none refused"
    return (
        f"{len(load.seconds)} accepted, {refused}; p50 {load.p(0.5):.1f}, p99 {load.p(0.99):.1f} s, "
        f"{load.throughput:.2f} jobs/s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=12, help="jobs of one measurement of the overhead")
    parser.add_argument("--arrivals", type=int, default=150, help="jobs that arrive by chance")
    parser.add_argument("--rounds", type=int, default=3, help="turns of the overhead's measurements")
    parser.add_argument("--preset", type=Preset, default=Preset.STANDARD, help="of the overhead's jobs")
    parser.add_argument("--brief", action="store_true", help="of the overhead only the engine and the service")
    parser.add_argument("--pixels", type=int, default=64, help="resolution; other than 64: random weights")
    parser.add_argument("--threads", type=int, default=0, help="PyTorch's threads; 0: one a core")
    parser.add_argument("--only", choices=["submit", "overhead", "batching", "overload"], action="append")
    options = parser.parse_args()
    parts = {
        "submit": partial(submit_rows, requests=4 * options.jobs),
        "overhead": partial(
            overhead_rows, jobs=options.jobs, preset=options.preset, rounds=options.rounds, brief=options.brief
        ),
        "batching": partial(batching_rows, jobs=options.arrivals),
        "overload": partial(overload_rows, jobs=options.arrivals // 3),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = weights_folder(folder / "weights", options.pixels)
        ground = Ground(folder, threads=options.threads, weights=weights)
        for part in options.only or parts:
            for what, measured in parts[part](ground):
                Console(soft_wrap=True, highlight=False).print(f"{what:<46} {measured}")
        ground.close()


if __name__ == "__main__":
    main()
