"""A site of real processes that a test may kill: one Valkey, two workers, one folder of blobs.

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

import httpx
import numpy as np
import pytest
import torch
from books import Books, until
from PIL import Image
from processes import Process, children_of, command_line, free_port, is_alive
from pydantic import SecretStr

from core.blob_store import CROP
from core.dispatch import doorbell_for
from core.jobs import Job, JobOptions, JobState, new_job
from core.services import Services, connect, open_services
from core.settings import Settings
from faces.align import DEMO
from model.architecture import Architecture
from model.checkpoint import Checkpoint, CheckpointCard, save_checkpoint
from model.generator import Generator
from model.latent_statistics import measure_latents
from nigaoe.embedded_redis import EmbeddedRedis

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
    def until(holds: Callable[[], object], seconds: float = PATIENCE) -> None:
        until(holds, seconds)

    @staticmethod
    def recovery() -> float:
        """45 seconds on a machine of one's own; more on one that is busy with other things."""
        return 45.0 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))

    @staticmethod
    def is_alive(pid: int) -> bool:
        return is_alive(pid)

    @staticmethod
    @contextlib.contextmanager
    def no_room(pid: int) -> Iterator[None]:
        """Let a process run into a full disk: it cannot write more than a few hundred bytes into any file."""
        before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (200, resource.RLIM_INFINITY))
        try:
            yield
        finally:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


class Site(Waiting):
    """What the faults happen to."""

    def __init__(self, folder: Path, weights: Path, *, workers: int = 2, **changes: Any) -> None:
        self.folder = folder
        self.valkey = EmbeddedRedis(folder / "valkey").start()
        places = {"data_dir": folder / "data", "weights_dir": weights, "redis_url": self.valkey.url}
        self.settings = Settings(**(SETTINGS | places | changes))
        self.services: Services = connect(self.settings)
        self.books = Books(self.services, self.valkey.url)
        logs = [folder / f"worker-{number}.log" for number in range(workers)]
        self.workers = [Process(self.settings, log, "worker") for log in logs]
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
            self.services.dispatcher.ring(doorbell_for(job))
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


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A style that costs little."""
    return write_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="session")
def shared_site(tmp_path_factory: pytest.TempPathFactory, tiny_weights: Path) -> Iterator[Site]:
    """One site for all stories: starting its processes takes longer than any of them."""
    made = Site(tmp_path_factory.mktemp("site"), tiny_weights)
    yield made
    made.close()


@pytest.fixture
def open_site(tmp_path: Path, tiny_weights: Path) -> Iterator[Callable[..., Site]]:
    """Open a site with other settings; it is checked after the story, too."""
    opened: list[Site] = []

    def open_with(**changes: Any) -> Site:
        opened.append(Site(tmp_path, tiny_weights, **changes))
        return opened[-1]

    yield open_with
    for made in opened:
        try:
            made.check()
        finally:
            made.close()


@pytest.fixture
def site(shared_site: Site) -> Iterator[Site]:
    """The site with one worker at least, whole before the story and whole after it."""
    shared_site.wait_for_workers(1)
    shared_site.earlier += shared_site.jobs
    shared_site.jobs = []
    yield shared_site
    shared_site.check()


class Tree(Waiting):
    """`nigaoe serve` with everything below it."""

    def __init__(self, folder: Path, weights: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.settings = Settings(**SETTINGS, data_dir=folder / "data", weights_dir=weights, port=self.port)
        self.supervisor = Process(self.settings, folder / "serve.log", "serve")
        self.accepted: list[str] = []

    @property
    def pids(self) -> list[int]:
        return [self.supervisor.pid, *children_of(self.supervisor.pid)]

    def wait_until_ready(self, seconds: float = PATIENCE) -> None:
        """Wait until a photo sent now would be converted."""

        def is_ready() -> bool:
            assert self.supervisor.process.poll() is None, self.supervisor.log[-2000:]
            with contextlib.suppress(httpx.HTTPError):
                return httpx.get(f"{self.url}/readyz", timeout=10).status_code == 200
            return False

        until(is_ready, seconds)

    def send(self, photo: Path, **options: str) -> httpx.Response:
        """Order a portrait."""
        files = {"photo": (photo.name, photo.read_bytes(), "image/jpeg")}
        return httpx.post(f"{self.url}/convert", files=files, data=options, timeout=PATIENCE)

    def convert(self, photo: Path, count: int = 1, **options: str) -> list[str]:
        """Send a photo so many times; return the ids of the accepted jobs."""
        ids = []
        for _ in range(count):
            answer = self.send(photo, **options)
            assert answer.status_code == 202, answer.text
            ids.append(answer.json()["id"])
        self.accepted += ids
        return ids

    def job(self, job_id: str) -> dict[str, Any]:
        answer = httpx.get(f"{self.url}/jobs/{job_id}", params={"wait": "1"}, timeout=PATIENCE)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def wait_for_end(self, ids: Sequence[str], seconds: float = PATIENCE) -> list[dict[str, Any]]:
        until(lambda: all(self.job(job_id)["ended_at"] for job_id in ids), seconds)
        return [self.job(job_id) for job_id in ids]

    def pid_of(self, word: str) -> int:
        """The child with this word in its command line."""
        return next(pid for pid in self.pids[1:] if word in command_line(pid))

    @contextlib.contextmanager
    def records(self) -> Iterator[Services]:
        """The stores of a tree that has ended."""
        with EmbeddedRedis(self.settings.data_dir / "redis") as valkey:
            changed = self.settings.model_copy(update={"redis_url": SecretStr(valkey.url)})
            with open_services(changed) as services:
                yield services

    @contextlib.contextmanager
    def services(self) -> Iterator[tuple[Services, str]]:
        """The tree's stores, and the address of its Redis, which only its children are told."""
        told = Path(f"/proc/{self.pid_of('worker')}/environ").read_text().split("\0")
        url = next(line.partition("=")[2] for line in told if line.startswith("NIGAOE_REDIS_URL="))
        with open_services(self.settings.model_copy(update={"redis_url": SecretStr(url)})) as services:
            yield services, url

    def check(self) -> None:
        """Every job that was ever accepted ended exactly once, and nothing is left over."""
        self.wait_for_end(self.accepted)
        with self.services() as (services, url), contextlib.closing(Books(services, url)) as books:
            books.check(self.accepted)

    def figure(self, name: str) -> float:
        """One figure of the API's metrics."""
        text = httpx.get(f"{self.url}/metrics", timeout=PATIENCE).text
        return next(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(f"{name} "))

    def kill(self) -> None:
        """kill -9 of everything at once."""
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.supervisor.process.wait()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, tiny_weights: Path) -> Iterator[Tree]:
    """A tree that was just started, for the stories of one file, which follow each other."""
    made = Tree(tmp_path_factory.mktemp("tree"), tiny_weights)
    yield made
    made.kill()
