""" """

import base64
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nigaoe_core.jobs import JobState, Outcome, Progress
from nigaoe_core.services import Services
from nigaoe_core.settings import Settings
from nigaoe_core.store.events import EventKind
from nigaoe_core.store.job_records import Claim
from nigaoe_worker.leases import ClaimedJob, JobStopped, LeaseKeeper, Preview, StopCause


def claimed_job(client: Any, seconds: float = 60.0, **options: Any) -> ClaimedJob:
    return ClaimedJob(client.claim(client.convert()), time.monotonic() + seconds, **options)


def test_the_first_cause_stands_unless_the_lease_is_gone(client: Any) -> None:
    """A drained worker that learns of a lost lease must not hand back what is not its own."""
    claimed = claimed_job(client)
    claimed.check()
    claimed.stop(StopCause.DRAINED)
    claimed.stop(StopCause.CANCELLED)
    assert claimed.stop_cause is StopCause.DRAINED
    claimed.stop(StopCause.LEASE_LOST)
    with pytest.raises(JobStopped) as stopped:
        claimed.check()
    assert stopped.value.cause is StopCause.LEASE_LOST


def test_the_deadline_stops_by_itself(client: Any) -> None:
    """Nobody has to watch the clock."""
    now = [10.0]
    claimed = ClaimedJob(client.claim(client.convert()), 11.0, clock=lambda: now[0])
    assert not claimed.is_stopped
    now[0] = 11.0
    assert claimed.stop_cause is StopCause.EXPIRED


def test_only_the_latest_update_counts_and_wakes_once(client: Any) -> None:
    """The device's thread may report every step; the keeper is woken once and takes the last."""
    wakes: list[None] = []
    claimed = claimed_job(client, on_update=lambda: wakes.append(None))
    for step in (1, 2, 3):
        claimed.update(progress=Progress(step=step), preview=Preview(step, bytes))
    assert len(wakes) == 1
    progress, preview = claimed.take_progress(), claimed.take_preview()
    assert (progress and progress.step, preview and preview.step) == (3, 3)
    assert not claimed.has_progress
    assert not claimed.has_preview


def test_a_wait_is_ended_by_a_stop(client: Any) -> None:
    """A retry pause of an hour ends when the job is cancelled."""
    claimed = claimed_job(client)
    claimed.stop(StopCause.CANCELLED)
    claimed.wait(3600)


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


def lease_end(client: Any, claim: Claim) -> float:
    lease = client.services.store.get(claim.job_id).lease
    assert lease is not None
    return float(lease.deadline)


def test_a_kept_lease_is_renewed_whatever_its_job_does(client: Any, keeper: LeaseKeeper, until: Until) -> None:
    """It reports nothing at all, and the lease moves on."""
    claim = client.claim(client.convert())
    first = lease_end(client, claim)
    with keeper.keep(claim):
        until(lambda: lease_end(client, claim) > first + 0.3)
        assert keeper.kept == 1
    assert keeper.kept == 0


def test_progress_and_previews_reach_followers(client: Any, keeper: LeaseKeeper, until: Until) -> None:
    """Both are in the job's events."""
    claim = client.claim(client.convert())
    client.services.events.watch(claim.job_id)
    with keeper.keep(claim) as claimed:
        claimed.update(progress=Progress(step=7, total=30), preview=Preview(7, lambda: b"picture"))
        until(lambda: not claimed.has_progress and not claimed.has_preview)
        until(lambda: len(client.services.events.read(claim.job_id)) >= 4)
    events = {event.kind: event.data for event in client.services.events.read(claim.job_id)}
    assert events[EventKind.PROGRESS]["step"] == 7
    assert base64.b64decode(events[EventKind.PREVIEW]["image"]) == b"picture"


def test_a_preview_that_nobody_follows_is_not_drawn(client: Any, keeper: LeaseKeeper, until: Until) -> None:
    """The newest one waits, and a new follower sees it at the next heartbeat."""
    claim = client.claim(client.convert())
    first = lease_end(client, claim)
    drawn: list[int] = []

    def draw(step: int) -> bytes:
        drawn.append(step)
        return b"picture"

    with keeper.keep(claim) as claimed:
        claimed.update(preview=Preview(1, lambda: draw(1)))
        claimed.update(preview=Preview(2, lambda: draw(2)))
        until(lambda: lease_end(client, claim) > first + 0.3)
        assert not drawn
        client.services.events.watch(claim.job_id)
        until(lambda: drawn)
    assert drawn == [2]


def test_whether_somebody_follows_is_asked_with_the_heartbeats_only(
    client: Any, services: Services, settings: Settings, until: Until
) -> None:
    """A hundred previews that nobody sees do not mean a hundred questions."""
    events = CountedEvents(services.events)
    keeper = LeaseKeeper(services.store, events, settings.model_copy(update={"preview_seconds": 0.01}))
    keeper.start()
    claim = client.claim(client.convert())
    start = time.monotonic()
    with keeper.keep(claim) as claimed:
        for step in range(100):
            claimed.update(preview=Preview(step, lambda: b"picture"))
            claimed.wait(0.01)
        until(lambda: events.questions)
    keeper.close()
    assert events.questions <= 2 + (time.monotonic() - start) / settings.heartbeat_seconds


def test_progress_that_nobody_follows_is_sent_with_the_heartbeats(
    client: Any, services: Services, settings: Settings, until: Until
) -> None:
    """Until somebody follows, to whom it is sent as often as ever."""
    changes = {"progress_seconds": 0.1, "heartbeat_seconds": 2.0}
    keeper = LeaseKeeper(services.store, services.events, settings.model_copy(update=changes))
    keeper.start()
    claim = client.claim(client.convert())

    def sent() -> int:
        return sum(event.kind is EventKind.PROGRESS for event in services.events.read(claim.job_id))

    start = time.monotonic()
    with keeper.keep(claim) as claimed:
        for step in range(200):
            claimed.update(progress=Progress(step=step, total=200))
            claimed.wait(0.005)
        until(sent)  # The keeper's thread may have had no turn yet.
        # The first one as if to a follower, and that of the pause in which the bound was computed.
        assert 1 <= sent() <= 2 + (time.monotonic() - start) / 2
        services.events.watch(claim.job_id)
        steps = itertools.count(1000)

        def goes_on() -> bool:
            claimed.update(progress=Progress(step=next(steps), total=200))
            return sent() >= 40  # Would take longer than patience at the pace of before.

        until(goes_on)
    keeper.close()


def test_progress_is_sent_at_most_so_often(client: Any, services: Services, settings: Settings, until: Until) -> None:
    """Of hundreds of steps a second only a few are sent."""
    keeper = LeaseKeeper(services.store, services.events, settings.model_copy(update={"progress_seconds": 0.5}))
    keeper.start()
    claim = client.claim(client.convert())
    start = time.monotonic()
    with keeper.keep(claim) as claimed:
        for step in range(200):
            claimed.update(progress=Progress(step=step, total=200))
            claimed.wait(0.005)
        until(lambda: not claimed.has_progress)
    keeper.close()  # Also what it has taken and not sent yet is sent then.
    sent = [event for event in services.events.read(claim.job_id) if event.kind is EventKind.PROGRESS]
    assert 1 <= len(sent) <= 1 + (time.monotonic() - start) / 0.5


def test_a_cancelled_job_is_stopped(client: Any, keeper: LeaseKeeper, until: Until) -> None:
    """The wish of its owner comes back with the next heartbeat."""
    claim = client.claim(client.convert())
    with keeper.keep(claim) as claimed:
        client.services.store.cancel(claim.job_id)
        until(lambda: claimed.stop_cause is StopCause.CANCELLED)


def test_a_lost_lease_is_noticed(client: Any, keeper: LeaseKeeper, until: Until) -> None:
    """The job was deleted: there is nothing to run any more."""
    claim = client.claim(client.convert())
    with keeper.keep(claim) as claimed:
        client.services.store.delete(claim.job_id)
        until(lambda: claimed.stop_cause is StopCause.LEASE_LOST)


def test_an_ended_job_is_not_renewed(client: Any, keeper: LeaseKeeper, until: Until) -> None:
    """A beat that comes after the end changes nothing."""
    claim = client.claim(client.convert())
    with keeper.keep(claim) as claimed:
        client.services.store.succeed(claim, Outcome(blobs={}))
        until(lambda: claimed.is_stopped)
    assert client.services.store.get(claim.job_id).state is JobState.SUCCEEDED


def test_the_deadline_is_the_stores(client: Any, keeper: LeaseKeeper, settings: Settings) -> None:
    """The time left is counted from the claim by the store's own stamps."""
    with keeper.keep(client.claim(client.convert())) as claimed:
        left = claimed.deadline - time.monotonic()
    assert settings.job_deadline_seconds - 60 < left <= settings.job_deadline_seconds


def test_all_can_be_stopped_at_once(client: Any, keeper: LeaseKeeper) -> None:
    """A drain whose time is over."""
    with (
        keeper.keep(client.claim(client.convert())) as one,
        keeper.keep(client.claim(client.convert())) as other,
    ):
        keeper.stop_all(StopCause.DRAINED)
        assert (one.stop_cause, other.stop_cause) == (StopCause.DRAINED, StopCause.DRAINED)


def test_what_nobody_expected_of_one_job_costs_no_lease(client: Any, services: Services, settings: Settings) -> None:
    """A record that cannot be written and a preview that cannot be drawn: the other leases move on, that job's, too."""
    written = services.store.heartbeat
    keeper = LeaseKeeper(services.store, services.events, settings, errors=services.errors)
    poison, undrawn, good = (client.claim(client.convert()) for _ in range(3))
    ends = {claim.job_id: lease_end(client, claim) for claim in (poison, undrawn, good)}

    def write(claim: Claim, **changes: Any) -> Any:
        if claim.job_id == poison.job_id:
            raise KeyError("a bug")
        return written(claim, **changes)

    services.store.heartbeat = write  # type: ignore[method-assign]
    services.events.watch(undrawn.job_id)
    keeper.start()
    with keeper.keep(poison), keeper.keep(undrawn) as claimed, keeper.keep(good):
        claimed.update(preview=Preview(1, lambda: bytes(1 // 0)))
        give_up = time.monotonic() + 60
        while any(lease_end(client, claim) <= ends[claim.job_id] + 0.3 for claim in (undrawn, good)):
            assert time.monotonic() < give_up
            claimed.wait(0.01)
        while services.errors.counts["lease_keeper"] < 2:
            claimed.wait(0.01)
    keeper.close()
    assert keeper.failure is None
    assert lease_end(client, poison) == ends[poison.job_id]
