"""A site of real processes that a test may kill: one Valkey, two workers, one folder of blobs.

Leases, heartbeats and sweeps are short, the generators tiny (32 pixels), so that a fault and its repair take seconds.
After every story the site must be whole again: every job ended once, nothing left over.
"""

import contextlib
import io
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

from core.blob_store import CROP
from core.dispatch import doorbell_for
from core.events import EventKind
from core.jobs import Job, JobOptions, JobState, new_job
from core.services import Services, connect
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


def until(holds: Callable[[], object], seconds: float = PATIENCE, what: str = "") -> None:
    """Wait until something holds."""
    give_up = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < give_up, f"It did not come to pass within {seconds:.0f} s. {what}"
        time.sleep(0.05)


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


def environment_of(settings: Settings) -> dict[str, str]:
    """The environment that gives a process these settings."""
    given = settings.model_dump(exclude_defaults=True, exclude={"redis_url"})
    url = {} if settings.redis_url is None else {"NIGAOE_REDIS_URL": settings.redis_url.get_secret_value()}
    return {**os.environ, **{f"NIGAOE_{name.upper()}": str(value) for name, value in given.items()}, **url}


def children_of(pid: int) -> list[int]:
    """The processes that a process started, and theirs."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(child): int(parent) for child, parent in (line.split() for line in listed.splitlines())}
    found = [child for child, parent in parents.items() if parent == pid]
    return found + [grandchild for child in found for grandchild in children_of(child)]


def is_alive(pid: int) -> bool:
    """Whether a process runs (a zombie that nobody has waited for does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Process:
    """One `nigaoe` command as a process, with its log."""

    def __init__(self, settings: Settings, log: Path, *command: str) -> None:
        self._settings = settings
        self._log = log
        self._command = [sys.executable, "-m", "nigaoe", *command]
        self.process: subprocess.Popen[bytes]
        self.start()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command, env=environment_of(self._settings), stdout=log, stderr=log, start_new_session=True
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self.process.kill()
        self.process.wait()


class Waiting:
    """What stories wait with."""

    @staticmethod
    def until(holds: Callable[[], object], seconds: float = PATIENCE, what: str = "") -> None:
        until(holds, seconds, what)

    @staticmethod
    def recovery() -> float:
        """45 seconds on a machine of one's own; more on one that is busy with other things."""
        return 45.0 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))

    @staticmethod
    def is_alive(pid: int) -> bool:
        return is_alive(pid)


class Site(Waiting):
    """What the faults happen to."""

    def __init__(self, folder: Path, weights: Path) -> None:
        self.folder = folder
        self.valkey = EmbeddedRedis(folder / "valkey").start()
        self.settings = Settings(**SETTINGS, data_dir=folder / "data", weights_dir=weights, redis_url=self.valkey.url)
        self.services: Services = connect(self.settings)
        self.workers = [Process(self.settings, folder / f"worker-{number}.log", "worker") for number in range(2)]
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

    @staticmethod
    @contextlib.contextmanager
    def no_room(pid: int) -> Iterator[None]:
        """Let a process run into a full disk: it cannot write more than a few hundred bytes into any file."""
        before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (200, resource.RLIM_INFINITY))
        try:
            yield
        finally:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, before)

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()
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
        until(lambda: len(pids & self.ready_pids()) >= count, what="Workers did not get ready.")

    def wait_for_steps(self, jobs: Sequence[Job], count: int = 1) -> None:
        """Wait until so many of the jobs are in the middle of their search."""
        until(lambda: sum((self.get(job).progress or _NO_STEP).step > 0 for job in jobs) >= count, what="No steps.")

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

        until(all_ended, seconds, what=f"{[self.get(job) for job in waiting]}")

    def check(self) -> None:
        """Every accepted job ended exactly once, and nothing is left over."""
        self.wait_for_end(self.jobs)
        until(lambda: self.leftovers() == set(), 60, what=f"Left over: {self.leftovers()}")
        for job in self.jobs:
            assert self.ends_told(job) == [self.get(job).state.value]
        queue = self.services.store.queue()
        assert (queue.queued, queue.running) == (0, 0)
        until(lambda: all(worker.busy == 0 for worker in self.services.store.workers()), 60)

    def ends_told(self, job: Job) -> list[str]:
        """The ends that those who watch the job were told of."""
        told = [event.data["state"] for event in self.services.events.read(job.id) if event.kind is EventKind.STATE]
        return [state for state in told if JobState(state).is_end]

    def leftovers(self) -> set[str]:
        """Blobs that no job names; a torn file of a killed process goes with its job's folder."""
        named = {key for job in self.jobs + self.earlier for key in self.get(job).blobs.values()}
        return {blob.key for blob in self.services.blobs.list_blobs() if not blob.key.endswith(".part")} - named


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

        until(is_ready, seconds, what="The tree did not get ready.")

    def convert(self, photo: Path, count: int = 1, **options: str) -> list[str]:
        """Send a photo so many times; return the ids of the accepted jobs."""
        ids = []
        for _ in range(count):
            files = {"photo": (photo.name, photo.read_bytes(), "image/jpeg")}
            answer = httpx.post(f"{self.url}/convert", files=files, data=options, timeout=PATIENCE)
            assert answer.status_code == 202, answer.text
            ids.append(answer.json()["id"])
        return ids

    def job(self, job_id: str) -> dict[str, Any]:
        answer = httpx.get(f"{self.url}/jobs/{job_id}", params={"wait": "1"}, timeout=PATIENCE)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def wait_for_end(self, ids: Sequence[str], seconds: float = PATIENCE) -> list[dict[str, Any]]:
        until(lambda: all(self.job(job_id)["ended_at"] for job_id in ids), seconds, what="Jobs did not end.")
        return [self.job(job_id) for job_id in ids]

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


def free_port() -> int:
    """A TCP port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, tiny_weights: Path) -> Iterator[Tree]:
    """A tree that was just started, for the stories of one file, which follow each other."""
    made = Tree(tmp_path_factory.mktemp("tree"), tiny_weights)
    yield made
    made.kill()
