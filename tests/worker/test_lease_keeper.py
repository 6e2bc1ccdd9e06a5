import base64
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nigaoe_core.jobs import JobState, Outcome, Progress
from nigaoe_core.services import Services
from nigaoe_core.settings import Settings
from nigaoe_core.store.contract import Claim
from nigaoe_core.store.events import EventKind
from nigaoe_worker.claimed_job import Preview, StopCause
from nigaoe_worker.lease_keeper import LeaseKeeper

Until = Callable[[Callable[[], object]], None]


@pytest.fixture
def keeper(services: Services, settings: Settings) -> Iterator[LeaseKeeper]:
    """A running keeper."""
    made = LeaseKeeper(services.store, services.events, settings)
    made.start()
    yield made
    made.close()


class CountedEvents:
    """An event log that counts how often it is asked for followers."""

    def __init__(self, log: Any) -> None:
        self.questions = 0
        self._log = log

    def is_watched(self, job_id: str) -> bool:
        self.questions += 1
        return bool(self._log.is_watched(job_id))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


def lease_end(desk: Any, claim: Claim) -> float:
    lease = desk.services.store.get(claim.job_id).lease
    assert lease is not None
    return float(lease.deadline)


def test_a_held_lease_is_renewed_whatever_the_holder_does(desk: Any, keeper: LeaseKeeper, until: Until) -> None:
    """The holder says nothing at all, and the lease moves on."""
    claim = desk.claim(desk.order())
    first = lease_end(desk, claim)
    with keeper.holding(claim):
        until(lambda: lease_end(desk, claim) > first + 0.3)
        assert keeper.held == 1
    assert keeper.held == 0


def test_progress_and_previews_reach_those_who_watch(desk: Any, keeper: LeaseKeeper, until: Until) -> None:
    """Both are in the job's events."""
    claim = desk.claim(desk.order())
    desk.services.events.watch(claim.job_id)
    with keeper.holding(claim) as hold:
        hold.tell(progress=Progress(step=7, total=30), preview=Preview(7, lambda: b"picture"))
        until(lambda: not hold.has_progress and not hold.has_preview)
        until(lambda: len(desk.services.events.read(claim.job_id)) >= 4)
    events = {event.kind: event.data for event in desk.services.events.read(claim.job_id)}
    assert events[EventKind.PROGRESS]["step"] == 7
    assert base64.b64decode(events[EventKind.PREVIEW]["image"]) == b"picture"


def test_a_preview_that_nobody_watches_is_not_drawn(desk: Any, keeper: LeaseKeeper, until: Until) -> None:
    """The newest one waits, and whoever comes sees it at the next sign of life."""
    claim = desk.claim(desk.order())
    first = lease_end(desk, claim)
    drawn: list[int] = []

    def draw(step: int) -> bytes:
        drawn.append(step)
        return b"picture"

    with keeper.holding(claim) as hold:
        hold.tell(preview=Preview(1, lambda: draw(1)))
        hold.tell(preview=Preview(2, lambda: draw(2)))
        until(lambda: lease_end(desk, claim) > first + 0.3)
        assert not drawn
        desk.services.events.watch(claim.job_id)
        until(lambda: drawn)
    assert drawn == [2]


def test_whether_somebody_follows_is_asked_with_the_heartbeats_only(
    desk: Any, services: Services, settings: Settings, until: Until
) -> None:
    """A hundred previews that nobody sees do not mean a hundred questions."""
    events = CountedEvents(services.events)
    keeper = LeaseKeeper(services.store, events, settings.model_copy(update={"preview_seconds": 0.01}))
    keeper.start()
    claim = desk.claim(desk.order())
    start = time.monotonic()
    with keeper.holding(claim) as hold:
        for step in range(100):
            hold.tell(preview=Preview(step, lambda: b"picture"))
            hold.wait(0.01)
        until(lambda: events.questions)
    keeper.close()
    assert events.questions <= 2 + (time.monotonic() - start) / settings.heartbeat_seconds


def test_progress_that_nobody_follows_is_sent_with_the_heartbeats(
    desk: Any, services: Services, settings: Settings, until: Until
) -> None:
    """Until somebody comes, who is told as often as ever."""
    changes = {"progress_seconds": 0.1, "heartbeat_seconds": 2.0}
    keeper = LeaseKeeper(services.store, services.events, settings.model_copy(update=changes))
    keeper.start()
    claim = desk.claim(desk.order())

    def told() -> int:
        return sum(event.kind is EventKind.PROGRESS for event in services.events.read(claim.job_id))

    start = time.monotonic()
    with keeper.holding(claim) as hold:
        for step in range(200):
            hold.tell(progress=Progress(step=step, total=200))
            hold.wait(0.005)
        # The first one as if to a follower, and that of the pause in which the bound was computed.
        assert 1 <= told() <= 2 + (time.monotonic() - start) / 2
        services.events.watch(claim.job_id)
        steps = itertools.count(1000)

        def goes_on() -> bool:
            hold.tell(progress=Progress(step=next(steps), total=200))
            return told() >= 40  # Would take longer than patience at the pace of before.

        until(goes_on)
    keeper.close()


def test_progress_is_sent_at_most_so_often(desk: Any, services: Services, settings: Settings, until: Until) -> None:
    """Of hundreds of steps a second only a few are told."""
    keeper = LeaseKeeper(services.store, services.events, settings.model_copy(update={"progress_seconds": 0.5}))
    keeper.start()
    claim = desk.claim(desk.order())
    start = time.monotonic()
    with keeper.holding(claim) as hold:
        for step in range(200):
            hold.tell(progress=Progress(step=step, total=200))
            hold.wait(0.005)
        until(lambda: not hold.has_progress)
    told = [event for event in services.events.read(claim.job_id) if event.kind is EventKind.PROGRESS]
    keeper.close()
    assert 1 <= len(told) <= 1 + (time.monotonic() - start) / 0.5


def test_a_cancelled_job_is_stopped(desk: Any, keeper: LeaseKeeper, until: Until) -> None:
    """The wish of its owner comes back with the next sign of life."""
    claim = desk.claim(desk.order())
    with keeper.holding(claim) as hold:
        desk.services.store.cancel(claim.job_id)
        until(lambda: hold.stop_cause is StopCause.CANCELLED)


def test_a_lost_lease_is_noticed(desk: Any, keeper: LeaseKeeper, until: Until) -> None:
    """The job was deleted: there is nothing to hold any more."""
    claim = desk.claim(desk.order())
    with keeper.holding(claim) as hold:
        desk.services.store.delete(claim.job_id)
        until(lambda: hold.stop_cause is StopCause.LEASE_LOST)


def test_an_ended_job_is_not_renewed(desk: Any, keeper: LeaseKeeper, until: Until) -> None:
    """A beat that comes after the end changes nothing."""
    claim = desk.claim(desk.order())
    with keeper.holding(claim) as hold:
        desk.services.store.succeed(claim, Outcome(blobs={}))
        until(lambda: hold.is_stopped)
    assert desk.services.store.get(claim.job_id).state is JobState.SUCCEEDED


def test_the_deadline_is_the_stores(desk: Any, keeper: LeaseKeeper, settings: Settings) -> None:
    """The time left is counted from the claim by the store's own stamps."""
    with keeper.holding(desk.claim(desk.order())) as hold:
        left = hold.deadline - time.monotonic()
    assert settings.job_deadline_seconds - 60 < left <= settings.job_deadline_seconds


def test_all_can_be_stopped_at_once(desk: Any, keeper: LeaseKeeper) -> None:
    """A drain whose time is over."""
    with keeper.holding(desk.claim(desk.order())) as one, keeper.holding(desk.claim(desk.order())) as other:
        keeper.stop_all(StopCause.DRAINED)
        assert (one.stop_cause, other.stop_cause) == (StopCause.DRAINED, StopCause.DRAINED)


def test_what_nobody_expected_of_one_job_costs_no_lease(desk: Any, services: Services, settings: Settings) -> None:
    """A record that cannot be written and a preview that cannot be drawn: the other leases move on, that job's, too."""
    written = services.store.heartbeat
    keeper = LeaseKeeper(services.store, services.events, settings, errors=services.errors)
    poison, undrawn, good = (desk.claim(desk.order()) for _ in range(3))
    ends = {claim.job_id: lease_end(desk, claim) for claim in (poison, undrawn, good)}

    def write(claim: Claim, **news: Any) -> Any:
        if claim.job_id == poison.job_id:
            raise KeyError("a bug")
        return written(claim, **news)

    services.store.heartbeat = write  # type: ignore[method-assign]
    services.events.watch(undrawn.job_id)
    keeper.start()
    with keeper.holding(poison), keeper.holding(undrawn) as hold, keeper.holding(good):
        hold.tell(preview=Preview(1, lambda: bytes(1 // 0)))
        give_up = time.monotonic() + 60
        while any(lease_end(desk, claim) <= ends[claim.job_id] + 0.3 for claim in (undrawn, good)):
            assert time.monotonic() < give_up
            hold.wait(0.01)
        while services.errors.counts["lease_keeper"] < 2:
            hold.wait(0.01)
    keeper.close()
    assert keeper.failure is None
    assert lease_end(desk, poison) == ends[poison.job_id]
