import threading
from collections.abc import Callable

import pytest

from nigaoe_core.jobs import Job, JobKind, JobOptions, Preset, new_job
from nigaoe_worker.admission import Admission, Decision


def waiting(priority: int = 5, queued_at: float = 0.0) -> Job:
    return new_job(JobOptions(priority=priority)).model_copy(update={"queued_at": queued_at})


def test_the_urgent_and_then_the_old_go_first(in_thread: Callable[..., object], until: Callable[..., None]) -> None:
    """The first is admitted; those behind enter by priority, then by age, whenever one leaves."""
    admission, entered, leave = Admission(1), [], threading.Semaphore(0)
    jobs = {"young": waiting(5, 3.0), "urgent": waiting(9, 4.0), "old": waiting(5, 2.0)}

    def visit(name: str) -> None:
        with admission.admit(jobs[name]) as decision:
            assert decision is Decision.ADMITTED
            entered.append(name)
            leave.acquire()

    with admission.admit(waiting()):
        for name in jobs:
            in_thread(visit, name)
        until(lambda: admission.waiting == 3)
    leave.release(3)
    until(lambda: len(entered) == 3)
    assert entered == ["urgent", "old", "young"]


def test_a_message_that_came_twice_does_not_wait_twice(
    in_thread: Callable[..., object], until: Callable[..., None]
) -> None:
    """The same attempt of the same job takes one place; its next attempt is another story."""
    admission, job, decisions = Admission(1), waiting(), []

    def visit(job: Job) -> None:
        with admission.admit(job) as decision:
            decisions.append(decision)

    with admission.admit(waiting()):
        in_thread(visit, job)
        until(lambda: admission.waiting == 1)
        visit(job)
        assert decisions == [Decision.DUPLICATE]
        in_thread(visit, job.model_copy(update={"attempt": 2}))
        until(lambda: admission.waiting == 2)
    until(lambda: decisions[1:] == [Decision.ADMITTED, Decision.ADMITTED])


def test_a_closed_admission_turns_away_and_stops_nothing_that_runs(
    in_thread: Callable[..., object], until: Callable[..., None]
) -> None:
    """Draining: those outside leave at once, those inside finish, nobody else enters."""
    admission, decisions = Admission(1), []

    def visit() -> None:
        with admission.admit(waiting()) as decision:
            decisions.append(decision)

    with admission.admit(waiting()) as inside:
        in_thread(visit)
        until(lambda: admission.waiting == 1)
        admission.close()
        until(lambda: decisions == [Decision.CLOSED])
        assert inside is Decision.ADMITTED
    visit()
    assert admission.is_closed
    assert decisions == [Decision.CLOSED, Decision.CLOSED]


def test_a_suspect_has_the_worker_for_itself(in_thread: Callable[..., object], until: Callable[..., None]) -> None:
    """A worker was lost to it before. It waits until nobody is inside, then nobody enters until it has left."""
    admission, inside, leave = Admission(2), [], threading.Semaphore(0)
    suspect = waiting(5, 1.0).model_copy(update={"losses": 1})
    later, restyle = waiting(5, 2.0), waiting(9).model_copy(update={"kind": JobKind.RESTYLE})

    def visit(name: str, job: Job) -> None:
        with admission.admit(job) as decision:
            assert decision is Decision.ADMITTED
            inside.append(name)
            leave.acquire()
            inside.remove(name)

    in_thread(visit, "first", waiting(5, 0.0))
    until(lambda: inside == ["first"])
    in_thread(visit, "suspect", suspect)
    until(lambda: admission.waiting == 1)
    in_thread(visit, "later", later)  # There is capacity for two, but what came after a suspect does not overtake it.
    until(lambda: admission.waiting == 2)
    leave.release()
    until(lambda: inside == ["suspect"])
    in_thread(visit, "restyle", restyle)
    until(lambda: admission.waiting == 2)
    leave.release()
    until(lambda: sorted(inside) == ["later", "restyle"])
    leave.release(2)


@pytest.mark.parametrize(
    "quick", [{"kind": JobKind.RESTYLE}, {"options": JobOptions(preset=Preset.INSTANT)}], ids=["restyle", "instant"]
)
def test_what_is_not_searched_needs_no_capacity(
    in_thread: Callable[..., object], until: Callable[..., None], quick: dict[str, object]
) -> None:
    """All of it is taken and others wait, and it takes none."""
    admission, leave = Admission(1), threading.Event()

    def visit() -> None:
        with admission.admit(waiting()):
            leave.wait(60)

    for _ in range(2):
        in_thread(visit)
    until(lambda: admission.waiting == 1)
    for _ in range(3):
        with admission.admit(waiting().model_copy(update=quick)) as decision:
            assert decision is Decision.ADMITTED
    leave.set()
