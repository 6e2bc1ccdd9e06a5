"""Whatever lives as long as a worker, and whatever jobs share there, raises what nobody expected.

Its neighbours go on, it is counted and logged, and it lives, or the process says within seconds that it is unwell. Over
a real Valkey; the API's half is `tests/api/test_neighbours.py`.
"""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from celery import Celery

from nigaoe.embedded_redis import EmbeddedRedis
from nigaoe_core.jobs import JobState
from nigaoe_core.queue import broker_url, transport_options
from nigaoe_core.services import Services, connect
from nigaoe_core.settings import Settings
from nigaoe_core.store.blob_store import PHOTO
from nigaoe_worker.runtime import Runtime

Until = Callable[[Callable[[], object]], None]
InThread = Callable[..., Any]

PATIENCE = 600.0
"""Seconds; a machine that trains beside these stories is slow."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

POISON = 666
"""The seed of the job on which everything in these stories chokes."""


class Faulty:
    """Something that raises a few times before it works: at once, or only for what is declared poison."""

    def __init__(
        self, work: Callable[..., Any], times: int = 2, when: Callable[..., bool] = lambda *_, **__: True
    ) -> None:
        self._work = work
        self.times = times
        self._when = when

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        if self.times and self._when(*arguments, **named):
            self.times -= 1
            raise ValueError("Nobody expected this.")
        return self._work(*arguments, **named)


Inject = Callable[[pytest.MonkeyPatch, Runtime], Faulty]


def raising(find: Callable[[Runtime], Any], name: str, **options: Any) -> Inject:
    """Let a method of one of the worker's parts raise."""

    def inject(patch: pytest.MonkeyPatch, runtime: Runtime) -> Faulty:
        part = find(runtime)
        faulty = Faulty(getattr(part, name), **options)
        patch.setattr(part, name, faulty)
        return faulty

    return inject


def is_poison_claim(claim: Any, **_: Any) -> bool:
    return bool(claim.job.options.seed == POISON)


def is_poison_work(claimed: Any, _blobs: Any) -> bool:
    return bool(claimed.job.options.seed == POISON)


LOOPS: dict[str, Inject] = {
    "lease_keeper": raising(lambda runtime: runtime.keeper, "_due"),
    "heartbeat": raising(lambda runtime: runtime.services.store, "report_worker"),
    "reaper": raising(lambda runtime: runtime.reaper, "round"),
    "weights_watcher": raising(lambda runtime: runtime.models, "is_outdated"),
    "restyle_consumer": raising(lambda runtime: runtime.restyles, "_handle", times=1),
    "health_page": raising(lambda runtime: runtime.health_server, "_metrics", times=1),
    "device": raising(lambda runtime: runtime.engine, "_admit"),
}
"""All of a worker's threads, by the name they are counted by."""

SHARED: dict[str, tuple[str, Inject]] = {
    "a duty of the reaper": ("reaper", raising(lambda runtime: runtime.services.store, "requeue_expired")),
    "one job's lease": (
        "lease_keeper", raising(lambda runtime: runtime.services.store, "heartbeat", when=is_poison_claim),
    ),
    "one job's work": (
        "job", raising(lambda runtime: runtime.tasks, "_run_job", times=1, when=is_poison_work),
    ),
    "one erasure": ("retention", raising(lambda runtime: runtime.services.retention, "_erase_member", times=1)),
    "drawing in one pass": ("device", raising(lambda runtime: runtime.engine, "_draw")),
    "counting steps": ("metrics", raising(lambda runtime: runtime.metrics, "observe_step")),
    "counting ends": ("metrics", raising(lambda runtime: runtime.metrics, "observe_end")),
}  # fmt: skip
"""What jobs share in those threads: what raises, where that is counted."""

STORIES = {**{where: (where, inject) for where, inject in LOOPS.items()}, **SHARED}


@pytest.fixture
def until() -> Until:
    """Poll until a condition is true."""

    def wait(condition: Callable[[], object]) -> None:
        give_up = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < give_up, "It did not come to pass."
            time.sleep(0.05)

    return wait


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """A server for all of these stories."""
    with EmbeddedRedis(tmp_path_factory.mktemp("valkey")) as server:
        yield server


def settings_of(valkey: EmbeddedRedis, folder: Path, weights: Path, **changes: Any) -> Settings:
    quick = {
        "device": "cpu", "torch_threads": 1, "slots": 3, "lease_seconds": 60, "heartbeat_seconds": 0.2,
        "progress_seconds": 0.1, "sweep_seconds": 0.2, "doorbell_seconds": 1, "blob_patience_seconds": 0.2,
    }  # fmt: skip
    places = {"data_dir": folder, "weights_dir": weights, "redis_url": valkey.url}
    return Settings(**(quick | places | changes), _env_file=None)  # type: ignore[call-arg]  # pydantic-settings' own.


class Worker:
    """A whole worker but for Celery's consumer: its threads' share is done by the stories' own."""

    def __init__(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        assert settings.redis_url is not None
        url = settings.redis_url.get_secret_value()
        self.left: list[int] = []
        self.celery = Celery(broker=broker_url(url), set_as_current=False)
        self.celery.conf.update(broker_transport_options=transport_options(settings.job_deadline_seconds))
        self.runtime = Runtime(settings, lambda: 0, self.celery.connection_for_read, leave=self.left.append)
        # A server on any free port; 0 in the settings means that there is none.
        monkeypatch.setattr(self.runtime, "health_server", self._health_server())

    def _health_server(self) -> Any:
        from nigaoe_worker.health import HealthServer

        runtime = self.runtime
        return HealthServer(
            0, lambda: runtime.is_well, lambda: runtime.is_ready, runtime.metrics.registry, runtime.services.errors
        )

    def ask(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.runtime.health_server.port}{path}", timeout=60
            ) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, ""

    def close(self) -> None:
        self.runtime.close()
        self.celery.close()


@pytest.fixture(scope="module")
def shared_worker(
    valkey: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory, tiny_weights: Path
) -> Iterator[Worker]:
    """One for all stories that it survives."""
    with pytest.MonkeyPatch.context() as patch:
        made = Worker(settings_of(valkey, tmp_path_factory.mktemp("data"), tiny_weights), patch)
        made.runtime.start()
        yield made
        made.close()


@pytest.fixture
def services(request: pytest.FixtureRequest) -> Services:
    """The stores of whatever worker a story has."""
    name = next(name for name in ("site", "shared_worker", "own_worker") if name in request.fixturenames)
    found = request.getfixturevalue(name)
    stores: Services = found if name == "site" else found.runtime.services
    return stores


@pytest.mark.parametrize("story", STORIES)
def test_an_unexpected_error_is_nobody_elses(
    story: str, shared_worker: Worker, client: Any, until: Until, in_thread: InThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside it two conversions and a restyle end well and the worker stays ready; then the faulty part works."""
    where, inject = STORIES[story]
    runtime = shared_worker.runtime
    before = runtime.services.errors.counts.get(where, 0)
    with structlog.testing.capture_logs() as log:
        faulty = inject(monkeypatch, runtime)
        jobs = [client.convert(seed=seed, blobs={PHOTO: client.crop}) for seed in (POISON, 1, 2)]
        for job in jobs:
            in_thread(runtime.tasks.handle, job.id, 1)
        shared_worker.ask("/metrics")
        until(lambda: all(client.get(job).state.is_end for job in jobs))
        restyle = client.restyle(client.get(jobs[1]))
        until(lambda: client.get(restyle).state.is_end)
        until(lambda: runtime.services.errors.counts.get(where, 0) > before)
        until(lambda: not faulty.times or story in ("one job's lease",))
    ended = {client.get(job).state for job in (*jobs[1:], restyle)}
    assert ended == {JobState.SUCCEEDED}
    assert client.get(jobs[0]).state is (JobState.FAILED if story == "one job's work" else JobState.SUCCEEDED)
    assert shared_worker.ask("/readyz")[0] == 200
    assert f'nigaoe_unexpected_errors_total{{where="{where}"}}' in shared_worker.ask("/metrics")[1]
    assert {str(line["exc_info"]) for line in log if line["event"] == "unexpected_error"} == {"Nobody expected this."}
    until(lambda: any(report.worker == runtime.name and report.ready for report in runtime.services.store.workers()))
    assert shared_worker.left == []


def test_every_thread_has_its_story(shared_worker: Worker) -> None:
    """Those that a worker starts are those that are listed, and what they share is, too."""
    counted = set(shared_worker.runtime.services.errors.counts)
    assert counted <= {where for where, _ in STORIES.values()} | {"change_feed"}


@pytest.fixture
def own_worker(
    valkey: EmbeddedRedis, tmp_path: Path, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Worker]:
    """One that does not survive its story."""
    made = Worker(settings_of(valkey, tmp_path, tiny_weights), monkeypatch)
    made.runtime.start()
    yield made
    made.close()


def test_a_keeper_that_fails_for_good_makes_the_worker_leave(
    own_worker: Worker, client: Any, until: Until, in_thread: InThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No lease would be renewed: not ready at once, nothing is claimed, what runs is handed back, and it ends."""
    runtime, job = own_worker.runtime, client.convert(preset="best")
    in_thread(runtime.tasks.handle, job.id, 1)
    until(lambda: client.get(job).progress and client.get(job).progress.step)
    monkeypatch.setattr(runtime.keeper, "_due", Faulty(runtime.keeper._due, times=10**6))
    until(lambda: own_worker.left)
    assert own_worker.left[0] == os.EX_TEMPFAIL
    assert (own_worker.ask("/readyz")[0], own_worker.ask("/livez")[0]) == (503, 503)
    until(lambda: client.get(job).state is JobState.QUEUED)
    assert client.get(job).losses == 0
    late = client.convert()
    runtime.tasks.handle(late.id, 1)
    assert client.get(late).state is JobState.QUEUED


SCRIPT = """
import time, torch
from nigaoe_model.inversion.engine import SlotEngine
step = SlotEngine.step

def poisoned(engine):
    seeds = {slot.ticket.request.seed for slot in engine._slots}
    if 666 in seeds:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
    if 667 in seeds:
        time.sleep(3600)
    return step(engine)

SlotEngine.step = poisoned
from nigaoe.commands.service import worker
worker()
"""


@pytest.fixture
def site(valkey: EmbeddedRedis, tmp_path: Path, tiny_weights: Path) -> Iterator[Services]:
    """Stores for workers that are processes, in a database of their own."""
    url = f"{valkey.url}?db=5"
    opened = connect(settings_of(valkey, tmp_path, tiny_weights, redis_url=url, slots=2))
    yield opened
    opened.close()


def supervised(site: Services, repository: Path, **changes: Any) -> int:
    """Run one worker process to its end; return its status."""
    given = site.settings.model_dump(exclude_defaults=True, exclude={"redis_url"}) | changes
    environment = {f"NIGAOE_{name.upper()}": str(value) for name, value in given.items()}
    assert site.settings.redis_url is not None
    environment["NIGAOE_REDIS_URL"] = site.settings.redis_url.get_secret_value()
    return subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=repository, env=os.environ | environment, timeout=PATIENCE, check=False
    ).returncode


def test_a_job_that_kills_devices_stops_after_three(site: Services, client: Any, repository: Path) -> None:
    """Three workers are lost to it, the last two while it ran alone; its first neighbour pays with one more attempt."""
    poison, good = client.convert(seed=POISON), client.convert(seed=1)
    statuses = []
    while not client.get(poison).state.is_end:
        statuses.append(supervised(site, repository))
    assert statuses == [os.EX_TEMPFAIL] * site.settings.max_attempts
    assert (client.get(poison).state, client.get(poison).error.code) == (JobState.FAILED, "worker_lost")
    assert client.get(good).losses <= 1


def test_a_step_without_an_end_ends_the_process(site: Services, client: Any, repository: Path) -> None:
    """The device hangs: the process says so by its status, and the job waits for another worker, to run alone."""
    job = client.convert(seed=667)
    assert supervised(site, repository, device_limit_seconds=10) == os.EX_TEMPFAIL
    assert (client.get(job).state, client.get(job).losses, client.get(job).is_suspect) == (JobState.QUEUED, 1, True)
