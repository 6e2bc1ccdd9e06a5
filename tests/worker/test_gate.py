import threading
from collections.abc import Callable

from core.jobs import Job, JobOptions, new_job
from worker.gate import Entry, Gate


def waiting(priority: int = 5, queued_at: float = 0.0) -> Job:
    return new_job(JobOptions(priority=priority)).model_copy(update={"queued_at": queued_at})


def test_the_urgent_and_then_the_old_go_first(in_thread: Callable[..., object], until: Callable[..., None]) -> None:
    """Whoever came first is let in; those behind enter by priority, then by age, whenever one leaves."""
    gate, entered, leave = Gate(1), [], threading.Semaphore(0)
    jobs = {"young": waiting(5, 3.0), "urgent": waiting(9, 4.0), "old": waiting(5, 2.0)}

    def visit(name: str) -> None:
        with gate.passing(jobs[name]) as entry:
            assert entry is Entry.ADMITTED
            entered.append(name)
            leave.acquire()

    with gate.passing(waiting()):
        for name in jobs:
            in_thread(visit, name)
        until(lambda: gate.waiting == 3)
    leave.release(3)
    until(lambda: len(entered) == 3)
    assert entered == ["urgent", "old", "young"]


def test_a_message_that_came_twice_does_not_wait_twice(
    in_thread: Callable[..., object], until: Callable[..., None]
) -> None:
    """The same attempt of the same job takes one place; its next attempt is another story."""
    gate, job, entries = Gate(1), waiting(), []

    def visit(job: Job) -> None:
        with gate.passing(job) as entry:
            entries.append(entry)

    with gate.passing(waiting()):
        in_thread(visit, job)
        until(lambda: gate.waiting == 1)
        visit(job)
        assert entries == [Entry.TWICE]
        in_thread(visit, job.model_copy(update={"attempt": 2}))
        until(lambda: gate.waiting == 2)
    until(lambda: entries[1:] == [Entry.ADMITTED, Entry.ADMITTED])


def test_a_closed_gate_turns_away_and_keeps_nobody_inside(
    in_thread: Callable[..., object], until: Callable[..., None]
) -> None:
    """Draining: those outside leave at once, those inside finish, nobody else enters."""
    gate, entries = Gate(1), []

    def visit() -> None:
        with gate.passing(waiting()) as entry:
            entries.append(entry)

    with gate.passing(waiting()) as inside:
        in_thread(visit)
        until(lambda: gate.waiting == 1)
        gate.close()
        until(lambda: entries == [Entry.CLOSED])
        assert inside is Entry.ADMITTED
    visit()
    assert gate.is_closed
    assert entries == [Entry.CLOSED, Entry.CLOSED]
