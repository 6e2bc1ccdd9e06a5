import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from nigaoe_core.errors import InvalidManifest, StoreUnavailable
from nigaoe_core.guarded_loop import GIVE_UP_AFTER
from nigaoe_core.services import Services
from nigaoe_core.worker_report import WorkerReport
from nigaoe_worker.heartbeat import Organs, Pulse
from nigaoe_worker.self_check import DeviceWatchdog, SelfCheck

Until = Callable[[Callable[[], object]], None]


class Body:
    """What a pulse looks at."""

    def __init__(self) -> None:
        self.ready = True
        self.messages: int | None = 0
        self.failure: BaseException | None = None
        self.activity: int | None = None
        self.did: list[Any] = []

    def organs(self) -> Organs:
        return Organs(
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
def body() -> Body:
    return Body()


def pulse_of(services: Services, body: Body, **changes: Any) -> Pulse:
    organs, watchdog = replace(body.organs(), **changes), DeviceWatchdog(1e-9)
    return Pulse(services.store, organs, SelfCheck(0.0), watchdog, body.did.append, errors=services.errors)


def test_the_board_knows_the_worker_until_it_ends(services: Services, body: Body, until: Until) -> None:
    """Its report is there as long as it lives, and is taken down with it."""
    pulse = pulse_of(services, body)
    pulse.start()
    until(services.store.workers)
    pulse.close()
    assert services.store.workers() == []


def test_a_drain_is_told_at_once(services: Services, body: Body, until: Until) -> None:
    """A signal handler leaves a call; the next beat does not wait for its time."""
    pulse = pulse_of(services, body)
    pulse.start()
    until(services.store.workers)
    pulse.soon(lambda: setattr(body, "ready", False))
    until(lambda: not services.store.workers()[0].ready)
    pulse.close()


def test_a_deaf_worker_gives_back_and_leaves(services: Services, body: Body) -> None:
    """Messages wait and it fetches none: the supervisor shall start another."""
    body.messages = 3
    pulse = pulse_of(services, body)
    pulse.beat()
    assert body.did == ["abandoned", os.EX_TEMPFAIL]
    assert services.store.workers() == []


def test_a_worker_without_a_device_leaves(services: Services, body: Body) -> None:
    """What it holds goes to others first."""
    body.failure = RuntimeError("CUDA error")
    pulse_of(services, body).beat()
    assert body.did[:2] == ["abandoned", os.EX_TEMPFAIL]


@pytest.mark.parametrize("fault", [InvalidManifest("damaged"), ValueError("a bug")])
def test_one_faulty_duty_does_not_silence_the_others(services: Services, body: Body, fault: Exception) -> None:
    """A report that cannot be made must not keep a worker without a device alive."""

    def report() -> WorkerReport:
        raise fault

    body.failure = RuntimeError("CUDA error")
    pulse_of(services, body, report=report).beat()
    assert body.did == ["abandoned", os.EX_TEMPFAIL]


def test_a_device_that_hangs_ends_the_process(services: Services, body: Body) -> None:
    """One step goes on and on: those who wait for it are told, and a fresh process gets the device back."""
    pulse, body.activity = pulse_of(services, body), 7
    pulse.beat()
    assert body.did == []
    pulse.beat()
    assert body.did == ["abandoned", os.EX_TEMPFAIL]
    assert isinstance(body.failure, Exception)


def test_what_fails_on_the_way_out_keeps_nobody_in(services: Services, body: Body) -> None:
    """Jobs that cannot be given back are found by their leases; a process that stays is of no use to them."""

    def abandon() -> None:
        raise ValueError("a bug")

    body.failure = RuntimeError("CUDA error")
    pulse_of(services, body, abandon=abandon).beat()
    assert body.did == [os.EX_TEMPFAIL]


def test_a_pulse_that_fails_for_good_ends_the_process(services: Services, body: Body) -> None:
    """Nobody would see how this worker is; while only Redis is away, everybody knows."""
    faults: list[Exception] = [StoreUnavailable() for _ in range(2 * GIVE_UP_AFTER)]

    def report() -> WorkerReport:
        raise faults.pop(0) if faults else ValueError("a bug")

    pulse = pulse_of(services, body, report=report)
    for _ in range(3 * GIVE_UP_AFTER - 1):
        pulse.beat()
    assert body.did == []
    pulse.beat()
    assert body.did == ["abandoned", os.EX_TEMPFAIL]
    assert services.errors.counts["heartbeat"] >= GIVE_UP_AFTER


def test_a_call_that_raises_does_not_stop_it(services: Services, body: Body, until: Until) -> None:
    """A drain asked for by a signal fails in an unforeseen way: the next one is heard all the same."""
    pulse = pulse_of(services, body)
    pulse.start()
    pulse.soon(lambda: 1 // 0)
    pulse.soon(lambda: body.did.append("heard"))
    until(lambda: body.did)
    pulse.close()
    assert services.errors.counts["heartbeat"] == 1
