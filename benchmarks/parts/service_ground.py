"""What the service's benchmarks stand on: a Valkey, blobs, the bundled pair, and processes of the service."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx

from nigaoe.embedded_redis import EmbeddedRedis
from nigaoe.parent_watchdog import with_watchdog
from nigaoe_core.jobs import Job, JobOptions, Preset, new_job
from nigaoe_core.services import Services, connect
from nigaoe_core.settings import Settings
from nigaoe_core.store.blob_store import CROP
from nigaoe_core.telemetry import configure_logging
from nigaoe_faces.align import align_face
from nigaoe_faces.detect import FaceDetector
from nigaoe_faces.encoding import encode_png
from nigaoe_faces.images import read_photo
from nigaoe_model.device import prepare_device
from nigaoe_model.portrait.convert import target_of
from nigaoe_worker.model_cache import ModelCache

PHOTO = Path(__file__).parents[2] / "samples" / "astronaut.jpg"
SLOTS = 4
STYLE = "anime"


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used; Linux only."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def thread_seconds(pid: int) -> dict[int, float]:
    """CPU time of each thread of a process; Linux only."""
    taken = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # It ended meanwhile.
            # In nanoseconds, where `stat` has hundredths of a second.
            taken[int(task.name)] = int((task / "schedstat").read_text().split()[0]) / 1e9
    return taken


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], object], pause: float = 0.02) -> None:
    while not condition():
        time.sleep(pause)


class Ground:
    """A Valkey, blobs, and what to do jobs with.

    Args:
        folder: For all of it; must be empty.
        threads: Of PyTorch, here and in every worker; 0: one a core.
        weights: A folder with a manifest that has the style; None: the bundled one.
    """

    def __init__(self, folder: Path, *, threads: int = 0, weights: Path | None = None) -> None:
        self.folder = folder
        self.valkey = EmbeddedRedis(folder / "valkey", with_watchdog).start()
        self.settings = Settings(
            data_dir=folder / "data", redis_url=self.valkey.url, slots=SLOTS, max_queued_jobs=10_000,
            max_queue_age_seconds=3600, max_active_jobs_per_key=10_000, log_level="error",
            rate_limit="1000000/minute", convert_rate_limit="1000000/minute", torch_threads=threads,
            **({"weights_dir": weights} if weights else {}),
        )  # fmt: skip
        configure_logging(self.settings, "benchmark")
        self.services = connect(self.settings)
        self.models = ModelCache(self.settings, prepare_device("cpu", threads))
        self.models.load()
        self.pair = self.models.pair(STYLE)
        photo = read_photo(PHOTO.read_bytes())
        card = self.pair.g_ori.card
        crop, _ = align_face(photo, FaceDetector().detect(photo)[0].landmarks, card.alignment, 256)
        self.crop = encode_png(crop)
        self.target = target_of(crop, card.architecture.resolution)

    def close(self) -> None:
        """End what was started."""
        self.services.close()
        self.valkey.stop()

    def order(self, services: Services, count: int, preset: Preset) -> list[Job]:
        """Submit jobs with the sample's crop, without ringing for them."""
        jobs = []
        for _ in range(count):
            job = new_job(JobOptions(preset=preset))
            services.blobs.put(f"{job.folder}/{CROP}", self.crop)
            jobs.append(job.model_copy(update={"blobs": {CROP: f"{job.folder}/{CROP}"}}))
        return list(services.store.submit(jobs).jobs)

    @contextlib.contextmanager
    def process(self, *command: str, **changes: Any) -> Iterator[subprocess.Popen[bytes]]:
        """Run a `nigaoe` command over this ground, with some settings changed."""
        changed = {**self.settings.model_dump(exclude_defaults=True, exclude={"redis_url"}), **changes}
        environment = {f"NIGAOE_{name.upper()}": str(value) for name, value in changed.items()}
        environment["NIGAOE_REDIS_URL"] = self.valkey.url
        process = subprocess.Popen(
            with_watchdog([sys.executable, "-m", "nigaoe", *command]), env={**os.environ, **environment}
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()

    @contextlib.contextmanager
    def worker(self, **changes: Any) -> Iterator[subprocess.Popen[bytes]]:
        """Run a worker, ready to work, with some settings changed."""
        with self.process("worker", **changes) as process:
            wait_for(lambda: any(worker.ready for worker in self.services.store.workers()))
            yield process


def answers(url: str) -> bool:
    """Whether a server answers there with 200."""
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(url, timeout=60).status_code == 200
    return False
