import threading
from collections.abc import Callable

from nigaoe_core.jobs import Job, JobKind, JobOptions, new_job
from nigaoe_worker.admission import Entry, Gate


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


def test_a_suspect_has_the_worker_for_itself(in_thread: Callable[..., object], until: Callable[..., None]) -> None:
    """A worker was lost to it before. It waits until nobody is inside, then nobody enters until it has left."""
    gate, inside, leave = Gate(2), [], threading.Semaphore(0)
    suspect = waiting(5, 1.0).model_copy(update={"losses": 1})
    later, restyle = waiting(5, 2.0), waiting(9).model_copy(update={"kind": JobKind.RESTYLE})

    def visit(name: str, job: Job) -> None:
        with gate.passing(job) as entry:
            assert entry is Entry.ADMITTED
            inside.append(name)
            leave.acquire()
            inside.remove(name)

    in_thread(visit, "first", waiting(5, 0.0))
    until(lambda: inside == ["first"])
    in_thread(visit, "suspect", suspect)
    until(lambda: gate.waiting == 1)
    in_thread(visit, "later", later)  # There is room for two, but whoever came after a suspect does not overtake it.
    until(lambda: gate.waiting == 2)
    leave.release()
    until(lambda: inside == ["suspect"])
    in_thread(visit, "restyle", restyle)
    until(lambda: gate.waiting == 2)
    leave.release()
    until(lambda: sorted(inside) == ["later", "restyle"])
    leave.release(2)


def test_a_restyle_waits_for_no_room(in_thread: Callable[..., object], until: Callable[..., None]) -> None:
    """All rooms are taken and others wait, and it takes none."""
    gate, leave = Gate(1), threading.Event()

    def visit() -> None:
        with gate.passing(waiting()):
            leave.wait(60)

    for _ in range(2):
        in_thread(visit)
    until(lambda: gate.waiting == 1)
    for _ in range(3):
        with gate.passing(waiting().model_copy(update={"kind": JobKind.RESTYLE})) as entry:
            assert entry is Entry.ADMITTED
    leave.set()
