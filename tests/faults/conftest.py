"""The site of processes for the stories of faults, and `nigaoe serve` with everything below it."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from books import Books, until
from processes import Process, children_of, command_line, free_port
from pydantic import SecretStr
from site_of_processes import PATIENCE, SETTINGS, Site, Waiting, write_weights

from nigaoe.embedded_redis import EmbeddedRedis
from nigaoe_core.services import Services, open_services
from nigaoe_core.settings import Settings


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
        """The tree's stores, and the address of its Redis, which only its children know."""
        variables = Path(f"/proc/{self.pid_of('worker')}/environ").read_text().split("\0")
        url = next(line.partition("=")[2] for line in variables if line.startswith("NIGAOE_REDIS_URL="))
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
