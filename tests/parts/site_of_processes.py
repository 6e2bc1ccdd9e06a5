"""A site of real processes that a test may kill: one Valkey, some workers, one folder of blobs.

Leases, heartbeats and sweeps are short, the generators tiny (32 pixels), so that a fault and its repair take seconds.
After every story the site must be whole again: every job ended once, nothing left over.
"""

import contextlib
import io
import os
import resource
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from books import Books, until
from PIL import Image
from processes import Process, is_alive

from nigaoe.embedded_redis import EmbeddedRedis
from nigaoe_core.jobs import Job, JobOptions, JobState, new_job
from nigaoe_core.services import Services, connect
from nigaoe_core.settings import Settings
from nigaoe_core.store.blob_store import CROP
from nigaoe_faces.align import DEMO
from nigaoe_model.stylegan2.architecture import Architecture
from nigaoe_model.stylegan2.checkpoint import Checkpoint, CheckpointCard, save_checkpoint
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.stylegan2.latent_statistics import measure_latents

PATIENCE = 240.0
"""Seconds that a story waits for the start of processes, however loaded the machine is."""

SETTINGS: dict[str, Any] = {
    "device": "cpu",
    "torch_threads": 1,
    "slots": 2,
    "lease_seconds": 2.0,
    "heartbeat_seconds": 0.4,
    "progress_seconds": 0.2,
    "preview_seconds": 0.5,
    "sweep_seconds": 0.4,
    "doorbell_seconds": 2.0,
    "drain_seconds": 0.5,
    "job_deadline_seconds": 600.0,
    "blob_patience_seconds": 12.0,
    "max_attempts": 3,
    "rate_limit": "100000/minute",
    "convert_rate_limit": "100000/minute",
    "log_format": "json",
}


def write_weights(folder: Path) -> Path:
    """A tiny pair as an installed style."""
    torch.manual_seed(0)
    tiny = Architecture(
        resolution=32, channels={4: 12, 8: 10, 16: 8, 32: 8}, z_dim=8, w_dim=8, mapping_layers=2, minibatch_std_group=2
    )
    generator = Generator(tiny).eval().requires_grad_(requires_grad=False)
    card = CheckpointCard(name="tiny", architecture=tiny, alignment=DEMO, domain="human", licence="CC0-1.0")
    parent = Checkpoint(card, generator.state_dict(), statistics=measure_latents(generator, samples=500))
    news = {"name": "anime", "domain": "anime", "trainable_blocks": 1, "parent_sha256": parent.digest}
    child = Checkpoint(card.model_copy(update=news), parent.generator, statistics=parent.statistics)
    save_checkpoint(parent, folder / "tiny.safetensors")
    save_checkpoint(child, folder / "anime.safetensors")
    manifest = ('[generators.tiny]\nfile = "tiny.safetensors"', '[styles.anime]\nfile = "anime.safetensors"')
    (folder / "manifest.toml").write_text("format_version = 1\n" + "\n".join(manifest) + '\nparent = "tiny"\n')
    return folder


class Waiting:
    """What stories wait with."""

    @staticmethod
    def until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
        until(condition, seconds)

    @staticmethod
    def recovery() -> float:
        """45 seconds on a machine of one's own; more on one that is busy with other things."""
        return 45.0 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))

    @staticmethod
    def is_alive(pid: int) -> bool:
        return is_alive(pid)

    @staticmethod
    @contextlib.contextmanager
    def full_disk(pid: int) -> Iterator[None]:
        """Let a process run into a full disk: it cannot write more than a few hundred bytes into any file."""
        before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (200, resource.RLIM_INFINITY))
        try:
            yield
        finally:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


class Site(Waiting):
    """What the faults happen to."""

    def __init__(
        self,
        folder: Path,
        weights: Path,
        *,
        workers: int = 2,
        program: Callable[[int], Sequence[str]] = lambda _: ("-m", "nigaoe", "worker"),
        **changes: Any,
    ) -> None:
        self.folder = folder
        self.valkey = EmbeddedRedis(folder / "valkey").start()
        places = {"data_dir": folder / "data", "weights_dir": weights, "redis_url": self.valkey.url}
        self.settings = Settings(**(SETTINGS | places | changes))
        self.services: Services = connect(self.settings)
        self.books = Books(self.services, self.valkey.url)
        self.workers = [
            Process(self.settings, folder / f"worker-{number}.log", program=program(number))
            for number in range(workers)
        ]
        self.crop = picture(256)
        self.small_crop = picture(250)
        self.jobs: list[Job] = []
        self.earlier: list[Job] = []

    @staticmethod
    @contextlib.contextmanager
    def suspended(pid: int) -> Iterator[None]:
        """Stop a process for the block, as a machine that pauses or swaps does."""
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()
        self.books.close()
        self.services.close()
        self.valkey.stop()

    def order(self, count: int = 1, *, crop: bytes | None = None, ring: bool = True, **options: Any) -> list[Job]:
        """Order jobs as the API does."""
        made = []
        for _ in range(count):
            job = new_job(JobOptions(**({"preset": "draft"} | options)))
            key = f"{job.folder}/{CROP}"
            self.services.blobs.put(key, crop or self.crop)
            made.append(job.model_copy(update={"blobs": {CROP: key}}))
        jobs = list(self.services.store.submit(made).jobs)
        for job in jobs if ring else []:
            self.services.dispatcher.wake(job)
        self.jobs += jobs
        return jobs

    def get(self, job: Job) -> Job:
        return self.services.store.get(job.id)

    def states(self, jobs: Sequence[Job]) -> set[JobState]:
        return {self.get(job).state for job in jobs}

    def ready_pids(self) -> set[int]:
        return {int(worker.worker.split(":")[1]) for worker in self.services.store.workers() if worker.ready}

    def wait_for_workers(self, count: int = 2) -> None:
        """Start those that died, and wait until so many take jobs."""
        for worker in self.workers:
            if worker.process.poll() is not None:
                worker.start()
        pids = {worker.pid for worker in self.workers}
        until(lambda: len(pids & self.ready_pids()) >= count, PATIENCE)

    def wait_for_steps(self, jobs: Sequence[Job], count: int = 1) -> None:
        """Wait until so many of the jobs are in the middle of their search."""
        until(lambda: sum((self.get(job).progress or _NO_STEP).step > 0 for job in jobs) >= count, PATIENCE)

    def holder(self, job: Job) -> Process:
        """The worker that runs a job."""
        lease = self.get(job).lease
        assert lease is not None
        return next(worker for worker in self.workers if f":{worker.pid}:" in lease.worker)

    def wait_for_end(self, jobs: Sequence[Job], seconds: float = PATIENCE) -> None:
        """Wait until jobs have ended."""
        waiting = list(jobs)

        def all_ended() -> bool:
            waiting[:] = [job for job in waiting if not self.get(job).state.is_end]
            return not waiting

        until(all_ended, seconds, lambda: [self.get(job) for job in waiting])

    def check(self) -> None:
        """Every accepted job ended exactly once, and nothing is left over."""
        self.wait_for_end(self.jobs)
        self.books.check([job.id for job in self.jobs], [job.id for job in self.earlier])


def picture(side: int) -> bytes:
    """A soft noise as a PNG; for generators of noise it is as good as a face."""
    pixels = np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()


_NO_STEP = type("NoStep", (), {"step": 0})()
