import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from core.errors import InvalidManifest
from core.services import Services
from core.worker_report import WorkerReport
from worker.pulse import Organs, Pulse
from worker.self_check import SelfCheck

Until = Callable[[Callable[[], object]], None]


class Body:
    """What a pulse looks at."""

    def __init__(self) -> None:
        self.ready = True
        self.messages: int | None = 0
        self.failure: BaseException | None = None
        self.did: list[Any] = []

    def organs(self) -> Organs:
        return Organs(
            report=lambda: WorkerReport(worker="w1", ready=self.ready, slots=2),
            refresh=lambda: None,
            messages=lambda: self.messages,
            fetched=lambda: 0,
            is_busy=lambda: False,
            failure=lambda: self.failure,
            abandon=lambda: self.did.append("abandoned"),
        )


@pytest.fixture
def body() -> Body:
    return Body()


def pulse_of(services: Services, body: Body, **changes: Any) -> Pulse:
    return Pulse(services.store, replace(body.organs(), **changes), SelfCheck(0.0), body.did.append)


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
    """A damaged manifest must not make a working worker look dead."""

    def refresh() -> None:
        raise fault

    body.messages = 3
    pulse_of(services, body, refresh=refresh).beat()
    assert body.did == ["abandoned", os.EX_TEMPFAIL]
