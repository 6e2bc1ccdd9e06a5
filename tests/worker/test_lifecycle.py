"""A worker as operators start it: Celery's own command, over a real Valkey."""

import contextlib
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nigaoe.embedded_redis import EmbeddedRedis
from nigaoe_core.jobs import JobState
from nigaoe_core.services import Services, connect
from nigaoe_core.settings import Settings

Until = Callable[[Callable[[], object]], None]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """A server for these stories."""
    with EmbeddedRedis(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def services(settings: Settings, valkey: EmbeddedRedis) -> Iterator[Services]:
    """The stores that the worker uses, too."""
    opened = connect(Settings(**{**settings.model_dump(), "redis_url": valkey.url}))
    yield opened
    opened.close()


@contextlib.contextmanager
def celery_worker(services: Services, repository: Path, pool: str = "threads", **more: Any) -> Iterator[Any]:
    given = services.settings.model_dump(exclude_defaults=True, exclude={"redis_url"}) | more
    environment = {f"NIGAOE_{name.upper()}": str(value) for name, value in given.items()}
    assert services.settings.redis_url is not None
    environment["NIGAOE_REDIS_URL"] = services.settings.redis_url.get_secret_value()
    command = [
        sys.executable,
        "-m",
        "celery",
        "-q",
        "-A",
        "nigaoe_worker.app",
        "worker",
        "-P",
        pool,
        "--without-mingle",
    ]
    process = subprocess.Popen(command, cwd=repository, env=os.environ | environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_one_workers_life(
    services: Services, repository: Path, client: Any, until: Until, tmp_path: Path, installed: Callable[..., Path]
) -> None:
    """Warm before ready, jobs done, a new style without a restart, drained on SIGTERM, no longer reported, status 0."""
    weights = installed(tmp_path / "own-weights", "anime")
    port = 20_000 + os.getpid() % 10_000
    with celery_worker(services, repository, weights_dir=weights, worker_metrics_port=port) as process:
        until(lambda: process.poll() is not None or any(worker.ready for worker in services.store.workers()))
        (report,) = services.store.workers()
        assert (report.styles, report.slots, report.device) == (("anime",), 2, "cpu")
        steps = "nigaoe_step_seconds_count"
        assert f"{steps} 2.0" in urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60).read().decode()
        assert report.step_seconds is None  # It has warmed up, which is nothing to estimate by.

        jobs = [client.convert() for _ in range(3)]
        until(lambda: all(client.get(job).state.is_end for job in jobs))
        assert {client.get(job).state for job in jobs} == {JobState.SUCCEEDED}
        page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60).read().decode()
        assert 'nigaoe_jobs_ended_total{kind="convert",state="succeeded"} 3.0' in page

        installed(weights, "anime", "ink")
        until(lambda: services.store.workers()[0].styles == ("anime", "ink"))
        inked = client.convert(style="ink")
        until(lambda: client.get(inked).state.is_end)
        assert client.get(inked).state is JobState.SUCCEEDED

        running = client.convert(preset="best")
        until(lambda: client.get(running).state is JobState.RUNNING)
        process.send_signal(signal.SIGTERM)
        until(lambda: not any(worker.ready for worker in services.store.workers()))
        assert process.wait(120) == 0
        assert client.get(running).state is JobState.SUCCEEDED
        assert services.store.workers() == []


def test_another_pool_is_refused(services: Services, repository: Path) -> None:
    """One thread would keep a slot engine waiting for jobs that never come; the worker says so at once."""
    with celery_worker(services, repository, pool="solo") as process:
        assert process.wait(120) == os.EX_CONFIG


def test_a_precision_without_instructions_is_refused(
    services: Services, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker does not start, instead of serving at a crawl: a supervisor sees that another start would not help."""
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    with celery_worker(services, repository, precision="bfloat16", device="cpu") as process:
        assert process.wait(120) == os.EX_CONFIG
