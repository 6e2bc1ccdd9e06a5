import time
from typing import Any

import pytest

from nigaoe_core.jobs import Progress
from nigaoe_worker.claimed_job import Hold, JobStopped, Preview, StopCause


def held(desk: Any, seconds: float = 60.0, **options: Any) -> Hold:
    return Hold(desk.claim(desk.order()), time.monotonic() + seconds, **options)


def test_the_first_cause_stands_unless_the_lease_is_gone(desk: Any) -> None:
    """A drained worker that learns of a lost lease must not hand back what it does not hold."""
    hold = held(desk)
    hold.check()
    hold.stop(StopCause.DRAINED)
    hold.stop(StopCause.CANCELLED)
    assert hold.stop_cause is StopCause.DRAINED
    hold.stop(StopCause.LEASE_LOST)
    with pytest.raises(JobStopped) as stopped:
        hold.check()
    assert stopped.value.cause is StopCause.LEASE_LOST


def test_the_deadline_stops_by_itself(desk: Any) -> None:
    """Nobody has to watch the clock."""
    now = [10.0]
    hold = Hold(desk.claim(desk.order()), 11.0, clock=lambda: now[0])
    assert not hold.is_stopped
    now[0] = 11.0
    assert hold.stop_cause is StopCause.EXPIRED


def test_only_the_latest_news_count_and_wake_once(desk: Any) -> None:
    """The device's thread may tell every step; the keeper is woken once and takes the last."""
    wakes: list[None] = []
    hold = held(desk, on_news=lambda: wakes.append(None))
    for step in (1, 2, 3):
        hold.tell(progress=Progress(step=step), preview=Preview(step, bytes))
    assert len(wakes) == 1
    progress, preview = hold.take_progress(), hold.take_preview()
    assert (progress and progress.step, preview and preview.step) == (3, 3)
    assert not hold.has_progress
    assert not hold.has_preview


def test_whoever_waits_is_woken_by_a_stop(desk: Any) -> None:
    """A retry pause of an hour ends when the job is cancelled."""
    hold = held(desk)
    hold.stop(StopCause.CANCELLED)
    hold.wait(3600)
