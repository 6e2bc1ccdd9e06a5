"""Compare-and-set, row by row: a writer that read an old row cannot write."""

from typing import TYPE_CHECKING

from nigaoe_core.jobs import Job, JobOptions, JobState, new_job
from nigaoe_core.store.job_records import AdmissionLimits
from nigaoe_core.store.job_rows import DueIndex, Snapshot, write_of
from nigaoe_core.store.lifecycle import JobPolicy, cancelled, claimed, submitted

if TYPE_CHECKING:
    from conftest import World

POLICY = JobPolicy()


def stored(world: "World") -> Snapshot:
    job = world.store().submit([new_job(JobOptions())]).jobs[0]
    snapshot = world.store().read_row(job.id)
    assert isinstance(snapshot, Snapshot)
    return snapshot


def swapped(world: "World", old: Snapshot, new: Job) -> bool:
    return world.store().replace_row(old, write_of(old.job, new, POLICY, old.now))


def test_of_two_writers_one_wins(world: "World") -> None:
    """Both read the same row; the second one's write is refused and changes nothing."""
    old = stored(world)
    assert swapped(world, old, claimed(old.job, "one", old.now, POLICY))
    assert not swapped(world, old, cancelled(old.job, old.now, POLICY))
    now = world.store().read_row(old.job.id)
    assert isinstance(now, Snapshot)
    assert (now.job.state, now.revision) == (JobState.RUNNING, old.revision + 1)


def test_a_row_that_changed_is_not_erased(world: "World") -> None:
    """An eraser must have seen the row as it is; one that is gone is erased already."""
    old = stored(world)
    swapped(world, old, claimed(old.job, "one", old.now, POLICY))
    assert not world.store().erase_row(old.job.id, old.revision, {})
    now = world.store().read_row(old.job.id)
    assert isinstance(now, Snapshot)
    assert world.store().erase_row(now.job.id, now.revision, {})
    assert world.store().erase_row(now.job.id, now.revision, {})


def test_a_row_that_is_gone_is_not_written(world: "World") -> None:
    """A late writer does not bring a deleted job back to life."""
    old = stored(world)
    world.store().erase_row(old.job.id, old.revision, {})
    assert not swapped(world, old, claimed(old.job, "one", old.now, POLICY))
    assert world.store().read_row(old.job.id) is None


def test_entries_come_again_at_doubling_intervals(world: "World") -> None:
    """Tries are counted, a pause keeps an entry away, settling removes it and its count."""
    table = world.store()
    old = stored(world)
    table.erase_row(old.job.id, old.revision, {"some/key": old.now - 1})
    for tries in (1, 2, 3):
        (due,) = table.take_due(DueIndex.ERASURE, limit=10, pause=0, max_pause=60)
        assert (due.member, due.tries) == ("some/key", tries)
    table.take_due(DueIndex.ERASURE, limit=10, pause=60, max_pause=3600)
    assert table.take_due(DueIndex.ERASURE, limit=10, pause=60, max_pause=3600) == []
    table.settle(DueIndex.ERASURE, "some/key")


def test_times_keep_their_digits(world: "World") -> None:
    """Even the least urgent jobs of one millisecond keep their order."""
    table = world.store()
    now = table.now()
    jobs = [submitted(new_job(JobOptions(priority=0)), now + number * 20e-6, POLICY) for number in range(50)]
    table.insert_rows([write_of(None, job, POLICY, now) for job in jobs], limits=AdmissionLimits())
    assert [table.position(job.id) for job in jobs] == list(range(50))
