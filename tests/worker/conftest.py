"""A worker's parts over a tiny pair of generators (32 pixels) and a Valkey, all of them real."""

import io
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import SecretStr
from wake_ups import WakeUps

from nigaoe_core.jobs import FoundFace, Job, JobKind, JobOptions, new_job
from nigaoe_core.services import Services, connect
from nigaoe_core.settings import Settings
from nigaoe_core.store.blob_store import CROP, LATENT
from nigaoe_core.store.job_records import Claim
from nigaoe_faces.align import DEMO
from nigaoe_model.portrait.convert import inversion_engine
from nigaoe_model.stylegan2.architecture import Architecture
from nigaoe_model.stylegan2.checkpoint import Checkpoint, CheckpointCard, save_checkpoint
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.stylegan2.latent_statistics import measure_latents
from nigaoe_worker.device import Engine
from nigaoe_worker.leases import ClaimedJob
from nigaoe_worker.metrics import Metrics
from nigaoe_worker.model_cache import ModelCache

PATIENCE = 60.0
"""Seconds that a story waits for what must happen soon, however loaded the machine is."""

TINY = Architecture(
    resolution=32, channels={4: 12, 8: 10, 16: 8, 32: 8}, z_dim=8, w_dim=8, mapping_layers=2, minibatch_std_group=2
)


def tiny_checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    generator = Generator(TINY).eval().requires_grad_(requires_grad=False)
    generator.mapping.w_avg.copy_(generator.mapping(torch.randn(256, TINY.z_dim)).mean(dim=0))
    card = CheckpointCard(name="tiny", architecture=TINY, alignment=DEMO, domain="human", licence="CC0-1.0")
    return Checkpoint(card, generator.state_dict(), statistics=measure_latents(generator, samples=500))


def child_of(parent: Checkpoint, name: str, seed: int) -> Checkpoint:
    random = torch.Generator().manual_seed(seed)
    state = {
        key: t + 0.3 * torch.randn(t.shape, generator=random) if "blocks.b32." in key else t.clone()
        for key, t in parent.generator.items()
    }
    changes = {"name": name, "domain": "anime", "trainable_blocks": 1, "parent_sha256": parent.digest}
    return Checkpoint(parent.card.model_copy(update=changes), state, statistics=parent.statistics)


def write_weights(folder: Path, *styles: str) -> Path:
    """A folder of weights with its manifest, as it is installed."""
    parent = tiny_checkpoint()
    folder.mkdir(parents=True, exist_ok=True)
    save_checkpoint(parent, folder / "tiny.safetensors")
    manifest = ["format_version = 1", "[generators.tiny]", 'file = "tiny.safetensors"']
    for seed, style in enumerate(styles):
        save_checkpoint(child_of(parent, style, seed + 1), folder / f"{style}.safetensors")
        manifest += [f"[styles.{style}]", f'file = "{style}.safetensors"', 'parent = "tiny"']
    (folder / "manifest.toml").write_text("\n".join(manifest))
    return folder


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two styles of one generator."""
    return write_weights(tmp_path_factory.mktemp("weights"), "anime", "ink")


@pytest.fixture
def installed() -> Callable[..., Path]:
    """A function that installs styles into a folder."""
    return write_weights


@pytest.fixture
def settings(tmp_path: Path, tiny_weights: Path) -> Settings:
    """A quick worker's settings."""
    return Settings(
        data_dir=tmp_path / "data",
        weights_dir=tiny_weights,
        device="cpu",
        torch_threads=1,
        slots=2,
        lease_seconds=4,
        heartbeat_seconds=0.2,
        progress_seconds=0.1,
        preview_seconds=0.1,
        sweep_seconds=0.2,
        blob_patience_seconds=0.2,
    )


@pytest.fixture
def services(settings: Settings, fresh_url: Callable[[], str]) -> Iterator[Services]:
    """Stores of this story."""
    opened = connect(settings.model_copy(update={"redis_url": SecretStr(fresh_url())}))
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def crop() -> bytes:
    """An aligned face as the API stores it; any picture will do for a generator of noise."""
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize((256, 256)).save(file, "PNG")
    return file.getvalue()


@dataclass
class JobClient:
    """Submits jobs as the API does."""

    services: Services
    crop: bytes
    queue: WakeUps

    def convert(self, *, kind: JobKind = JobKind.CONVERT, blobs: dict[str, bytes] | None = None, **options: Any) -> Job:
        landmarks = ((80.0, 110.0), (170.0, 110.0), (125.0, 150.0), (90.0, 190.0), (165.0, 190.0))
        face = FoundFace(box=(0, 0, 256, 256), landmarks=landmarks, confidence=1.0)
        made = new_job(JobOptions(**({"preset": "draft"} | options)), kind=kind, faces=(face,))
        contents = {CROP: self.crop} | (blobs or {})
        for name, content in contents.items():
            self.services.blobs.put(f"{made.folder}/{name}", content)
        made = made.model_copy(update={"blobs": {name: f"{made.folder}/{name}" for name in contents}})
        return self.submit(made)

    def submit(self, made: Job) -> Job:
        (job,) = self.services.store.submit([made]).jobs
        self.services.dispatcher.wake(job)
        return job

    def restyle(self, parent: Job, **options: Any) -> Job:
        shared = {name: key for name, key in parent.blobs.items() if name in (LATENT, CROP)}
        made = new_job(JobOptions(**({"priority": 9} | options)), kind=JobKind.RESTYLE, parent_id=parent.id)
        return self.submit(made.model_copy(update={"blobs": shared}))

    def claim(self, job: Job, worker: str = "w") -> Claim:
        claim = self.services.store.claim(job.id, job.attempt, worker)
        assert claim is not None
        return claim

    def claimed(self, job: Job | None = None, seconds: float = PATIENCE) -> ClaimedJob:
        return ClaimedJob(self.claim(job or self.convert()), time.monotonic() + seconds)

    def wake_ups(self) -> list[tuple[str, int]]:
        """Take the wake-up messages that were sent: job and attempt."""
        return [(message.job_id, message.attempt) for message in self.queue.take_all()]

    def get(self, job: Job) -> Job:
        return self.services.store.get(job.id)


@pytest.fixture
def client(services: Services, crop: bytes) -> Iterator[JobClient]:
    """Submits jobs as the API does."""
    queue = WakeUps(services.settings.redis_url.get_secret_value())
    yield JobClient(services, crop, queue)
    queue.close()


@pytest.fixture
def metrics(services: Services) -> Metrics:
    """Counters of a worker."""
    return Metrics(services.store, slots=2, device="cpu")


@pytest.fixture
def engine(metrics: Metrics) -> Iterator[Engine]:
    """The thread that owns the device, with two slots."""
    made = Engine(2, inversion_engine, metrics, lambda: torch.set_num_threads(1))
    made.start()
    yield made
    made.close()


@pytest.fixture
def models(settings: Settings) -> ModelCache:
    """Both styles, loaded."""
    made = ModelCache(settings, "cpu")
    made.load()
    return made


@pytest.fixture
def in_thread() -> Iterator[Callable[..., threading.Thread]]:
    """Run something beside the story; it must have ended when the story has."""
    threads: list[threading.Thread] = []

    def start(work: Callable[..., object], *arguments: object) -> threading.Thread:
        thread = threading.Thread(target=work, args=arguments)
        threads.append(thread)
        thread.start()
        return thread

    yield start
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()


@pytest.fixture
def until() -> Callable[[Callable[[], object]], None]:
    """Poll until a condition is true: for what has no event of its own."""

    def wait(condition: Callable[[], object]) -> None:
        give_up = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < give_up, "It did not come to pass."
            time.sleep(0.01)

    return wait
