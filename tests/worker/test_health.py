"""The heartbeat, the watchdogs and the HTTP server of a worker."""

import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from nigaoe_core.errors import InvalidManifest, StoreUnavailable
from nigaoe_core.guarded_loop import GIVE_UP_AFTER, UnexpectedErrors
from nigaoe_core.services import Services
from nigaoe_core.worker_report import WorkerReport
from nigaoe_worker.health import LONGEST_INTERVAL, DeviceWatchdog, HealthChecks, HealthServer, Heartbeat, QueueWatchdog

Until = Callable[[Callable[[], object]], None]


class FakeWorker:
    """What a heartbeat reads."""

    def __init__(self) -> None:
        self.ready = True
        self.messages: int | None = 0
        self.failure: BaseException | None = None
        self.activity: int | None = None
        self.did: list[Any] = []

    def checks(self) -> HealthChecks:
        return HealthChecks(
            report=lambda: WorkerReport(worker="w1", ready=self.ready, slots=2),
            messages=lambda: self.messages,
            fetched=lambda: 0,
            is_busy=lambda: False,
            activity=lambda: self.activity,
            failure=lambda: self.failure,
            give_up_device=self.give_up_device,
            abandon=lambda: self.did.append("abandoned"),
        )

    def give_up_device(self, error: BaseException) -> None:
        self.failure = error


@pytest.fixture
def fake() -> FakeWorker:
    return FakeWorker()


def heartbeat_of(services: Services, fake: FakeWorker, **changes: Any) -> Heartbeat:
    checks, watchdog = replace(fake.checks(), **changes), DeviceWatchdog(1e-9)
    return Heartbeat(services.store, checks, QueueWatchdog(0.0), watchdog, fake.did.append, errors=services.errors)


def test_the_store_knows_the_worker_until_it_ends(services: Services, fake: FakeWorker, until: Until) -> None:
    """Its report is there as long as it lives, and is withdrawn with it."""
    heartbeat = heartbeat_of(services, fake)
    heartbeat.start()
    until(services.store.workers)
    heartbeat.close()
    assert services.store.workers() == []


def test_a_drain_is_reported_at_once(services: Services, fake: FakeWorker, until: Until) -> None:
    """A signal handler leaves a call; the next beat does not wait for its time."""
    heartbeat = heartbeat_of(services, fake)
    heartbeat.start()
    until(services.store.workers)
    heartbeat.call_soon(lambda: setattr(fake, "ready", False))
    until(lambda: not services.store.workers()[0].ready)
    heartbeat.close()


def test_a_stalled_worker_hands_back_and_leaves(services: Services, fake: FakeWorker) -> None:
    """Messages wait and it fetches none: the supervisor shall start another."""
    fake.messages = 3
    heartbeat = heartbeat_of(services, fake)
    heartbeat.beat()
    assert fake.did == ["abandoned", os.EX_TEMPFAIL]
    assert services.store.workers() == []


def test_a_worker_without_a_device_leaves(services: Services, fake: FakeWorker) -> None:
    """Its jobs go to others first."""
    fake.failure = RuntimeError("CUDA error")
    heartbeat_of(services, fake).beat()
    assert fake.did[:2] == ["abandoned", os.EX_TEMPFAIL]


@pytest.mark.parametrize("fault", [InvalidManifest("damaged"), ValueError("a bug")])
def test_one_faulty_duty_does_not_silence_the_others(services: Services, fake: FakeWorker, fault: Exception) -> None:
    """A report that cannot be made must not keep a worker without a device alive."""

    def report() -> WorkerReport:
        raise fault

    fake.failure = RuntimeError("CUDA error")
    heartbeat_of(services, fake, report=report).beat()
    assert fake.did == ["abandoned", os.EX_TEMPFAIL]


def test_a_device_that_hangs_ends_the_process(services: Services, fake: FakeWorker) -> None:
    """One step goes on and on: its callers get an error, and a fresh process gets the device back."""
    heartbeat, fake.activity = heartbeat_of(services, fake), 7
    heartbeat.beat()
    assert fake.did == []
    heartbeat.beat()
    assert fake.did == ["abandoned", os.EX_TEMPFAIL]
    assert isinstance(fake.failure, Exception)


def test_what_fails_at_the_end_does_not_prevent_it(services: Services, fake: FakeWorker) -> None:
    """Jobs that cannot be given back are found by their leases; a process that stays is of no use to them."""

    def abandon() -> None:
        raise ValueError("a bug")

    fake.failure = RuntimeError("CUDA error")
    heartbeat_of(services, fake, abandon=abandon).beat()
    assert fake.did == [os.EX_TEMPFAIL]


def test_a_heartbeat_that_fails_for_good_ends_the_process(services: Services, fake: FakeWorker) -> None:
    """Nobody would see this worker's health; while only Redis is away, everybody knows."""
    faults: list[Exception] = [StoreUnavailable() for _ in range(2 * GIVE_UP_AFTER)]

    def report() -> WorkerReport:
        raise faults.pop(0) if faults else ValueError("a bug")

    heartbeat = heartbeat_of(services, fake, report=report)
    for _ in range(3 * GIVE_UP_AFTER - 1):
        heartbeat.beat()
    assert fake.did == []
    heartbeat.beat()
    assert fake.did == ["abandoned", os.EX_TEMPFAIL]
    assert services.errors.counts["heartbeat"] >= GIVE_UP_AFTER


def test_a_call_that_raises_does_not_stop_it(services: Services, fake: FakeWorker, until: Until) -> None:
    """A drain asked for by a signal fails in an unforeseen way: the next one is heard all the same."""
    heartbeat = heartbeat_of(services, fake)
    heartbeat.start()
    heartbeat.call_soon(lambda: 1 // 0)
    heartbeat.call_soon(lambda: fake.did.append("heard"))
    until(lambda: fake.did)
    heartbeat.close()
    assert services.errors.counts["heartbeat"] == 1


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_worker_that_fetches_nothing_is_stalled() -> None:
    """Messages wait, it has nothing to do, and nothing comes for half a minute."""
    clock = Clock()
    check = QueueWatchdog(30.0, clock)
    assert not check.is_stalled(messages=2, fetched=0, is_busy=False)
    clock.now = 29.0
    assert not check.is_stalled(messages=2, fetched=0, is_busy=False)
    clock.now = 30.0
    assert check.is_stalled(messages=2, fetched=0, is_busy=False)


def test_any_sign_of_life_starts_the_clock_again() -> None:
    """It fetched, or is busy, or nothing waits, or Redis is away: none of these is a stall."""
    clock = Clock()
    check = QueueWatchdog(30.0, clock)
    signs = (
        {"messages": 2, "fetched": 1, "is_busy": False},
        {"messages": 2, "fetched": 1, "is_busy": True},
        {"messages": 0, "fetched": 1, "is_busy": False},
        {"messages": None, "fetched": 1, "is_busy": False},
    )
    for sign in signs:
        check.is_stalled(messages=2, fetched=0 if sign is signs[0] else 1, is_busy=False)
        clock.now += 29.0
        assert not check.is_stalled(**sign)
        clock.now += 29.0
        assert not check.is_stalled(messages=2, fetched=1, is_busy=False)


def test_a_step_without_an_end_is_noticed() -> None:
    """The same step at every check, until its time is up; checks of a device that goes on never add up."""
    clock = Clock()
    watchdog, hung = DeviceWatchdog(10.0, clock), []
    for activity in (1, 2, None, 3, 3, 3, 3, 3, 3):
        clock.now += 2.0
        hung.append(watchdog.is_hung(activity))
    assert hung == [False] * 8 + [True]


def test_a_process_that_was_suspended_does_not_blame_its_device() -> None:
    """An hour passed between two checks, for the watchdog as well: it counts for no more than one interval."""
    clock = Clock()
    watchdog = DeviceWatchdog(2 * LONGEST_INTERVAL, clock)
    watchdog.is_hung(1)
    clock.now += 3600
    assert not watchdog.is_hung(1)
    clock.now += LONGEST_INTERVAL
    assert watchdog.is_hung(1)


def test_without_a_limit_a_step_may_take_for_ever() -> None:
    """0 says so."""
    clock = Clock()
    watchdog = DeviceWatchdog(0.0, clock)
    for _ in range(100):
        clock.now += LONGEST_INTERVAL
        assert not watchdog.is_hung(1)


class State:
    alive = True
    ready = False


@pytest.fixture
def server() -> Iterator[HealthServer]:
    """A server on a free port."""
    registry = CollectorRegistry()
    Gauge("nigaoe_worker_slots", "Slots of this worker.", registry=registry).set(2)
    made = HealthServer(0, lambda: State.alive, lambda: State.ready, registry)
    made.start()
    yield made
    made.close()


def status(server: HealthServer, path: str, method: str = "GET") -> int:
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert bool(answer.read()) is (method == "GET")
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_probes_tell_alive_from_ready(server: HealthServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that warms up is alive and not ready; one whose device is gone is neither."""
    assert (status(server, "/livez"), status(server, "/readyz"), status(server, "/else")) == (200, 503, 404)
    monkeypatch.setattr(State, "ready", True)
    assert status(server, "/readyz?verbose") == status(server, "/readyz", "HEAD") == 200
    monkeypatch.setattr(State, "alive", False)
    assert status(server, "/livez") == status(server, "/livez", "HEAD") == 503


def test_prometheus_gets_its_text(server: HealthServer) -> None:
    """All of the registry, in the text format."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=60) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert answer.read().endswith(b"# TYPE nigaoe_worker_slots gauge\nnigaoe_worker_slots 2.0\n")


class DeadDevice(Collector):
    """Metrics that cannot be had."""

    @override
    def collect(self) -> Iterable[Metric]:
        raise RuntimeError("CUDA error")


def test_a_metric_that_raises_costs_no_other_path() -> None:
    """Asking a dead device for its memory raises: that path says so, the probes answer, and it is counted."""
    errors = UnexpectedErrors()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(DeadDevice())
    server = HealthServer(0, lambda: True, lambda: True, registry, errors)
    server.start()
    assert (status(server, "/metrics"), status(server, "/readyz")) == (500, 200)
    assert errors.counts == {"health_page": 1}
    server.close()
