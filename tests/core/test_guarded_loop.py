"""Loops that live as long as their process, and what becomes of them when they raise."""

import asyncio
import threading

import pytest
import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from nigaoe_core.collectors import ErrorCollector
from nigaoe_core.guarded_loop import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    GuardedThread,
    UnexpectedErrors,
    contained_task,
    guarded_task,
    pause_after,
)

PATIENCE = 60.0


@pytest.fixture
def errors() -> UnexpectedErrors:
    """Of this story's process."""
    return UnexpectedErrors()


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses are of no interest here, except in the story about them."""
    monkeypatch.setattr("nigaoe_core.guarded_loop.LONGEST_PAUSE", 0.001)


class Failing:
    """A loop that raises the given errors, one a call, then says that it runs and returns when it is asked to."""

    def __init__(self, *faults: BaseException) -> None:
        self.faults = list(faults)
        self.is_running = threading.Event()
        self.is_over = threading.Event()

    def __call__(self) -> None:
        if self.faults:
            raise self.faults.pop(0)
        self.is_running.set()
        assert self.is_over.wait(PATIENCE)


def test_a_thread_begins_its_loop_again(errors: UnexpectedErrors) -> None:
    """Three faults of which nobody thought: each is counted and logged with its traceback, and the loop runs."""
    faults = [ValueError("one"), KeyError("two"), ZeroDivisionError("three")]
    loop = Failing(*faults)
    thread = GuardedThread("story", loop, errors)
    assert errors.counts == {"story": 0}
    with structlog.testing.capture_logs() as log:
        thread.start()
        assert loop.is_running.wait(PATIENCE)
    assert errors.counts == {"story": 3}
    assert (thread.is_alive, thread.failure) == (True, None)
    assert [(line["where"], line["exc_info"]) for line in log] == [("story", fault) for fault in faults]
    loop.is_over.set()
    thread.join()
    assert not thread.is_alive


def test_an_indispensable_loop_gives_up_and_says_so(errors: UnexpectedErrors) -> None:
    """The third failure in a row is the last, and its owner, who can end the process, hears of it."""
    heard: list[BaseException] = []
    faults = [ValueError(str(number)) for number in range(5)]
    thread = GuardedThread("story", Failing(*faults), errors, give_up_after=3, on_given_up=heard.append)
    thread.start()
    thread._thread.join(PATIENCE)
    assert not thread.is_alive
    assert heard == [thread.failure] == [faults[2]]
    assert errors.counts == {"story": 3}


@pytest.mark.parametrize("fault", [LookupError("the device is gone"), SystemExit(3)])
def test_what_cannot_be_tried_again_is_not(errors: UnexpectedErrors, fault: BaseException) -> None:
    """A fault that its owner calls fatal, and an exit, which would end a thread without a word."""
    heard: list[BaseException] = []
    thread = GuardedThread("story", Failing(fault), errors, fatal=(LookupError,), on_given_up=heard.append)
    thread.start()
    thread._thread.join(PATIENCE)
    assert heard == [thread.failure] == [fault]
    assert errors.counts == {"story": 1}


def test_a_listener_that_raises_harms_nobody(errors: UnexpectedErrors) -> None:
    """What is called at the end may be at fault itself."""

    def raise_again(error: BaseException) -> None:
        raise error

    thread = GuardedThread("story", Failing(ValueError()), errors, give_up_after=1, on_given_up=raise_again)
    thread.start()
    thread._thread.join(PATIENCE)
    assert errors.counts == {"story": 2}


def test_failures_long_apart_are_not_in_a_row(errors: UnexpectedErrors) -> None:
    """A loop that ran for an hour and fails twice a day never gives up."""
    now = [0.0]
    loop = Failing()
    faults = 10

    def fail_after_an_hour() -> None:
        nonlocal faults
        now[0] += 3600
        if faults:
            faults -= 1
            raise ValueError
        loop()

    thread = GuardedThread("story", fail_after_an_hour, errors, give_up_after=2, clock=lambda: now[0])
    thread.start()
    assert loop.is_running.wait(PATIENCE)
    assert errors.counts == {"story": 10}
    loop.is_over.set()
    thread.join()


def test_closing_does_not_wait_for_a_pause(errors: UnexpectedErrors, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that fails while it is asked to end does not begin again."""
    monkeypatch.setattr("nigaoe_core.guarded_loop.LONGEST_PAUSE", 3600.0)
    monkeypatch.setattr("nigaoe_core.guarded_loop.FIRST_PAUSE", 3600.0)
    calls: list[None] = []
    failed = threading.Event()

    def fail() -> None:
        calls.append(None)
        failed.set()
        raise ValueError

    thread = GuardedThread("story", fail, errors)
    thread.join()  # Nothing happens before it was started.
    thread = GuardedThread("story", fail, errors)
    thread.start()
    assert failed.wait(PATIENCE)
    thread.join()
    assert (len(calls), thread.is_alive) == (1, False)


def test_pauses_grow_and_have_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is short, so that one fault costs nothing; a thousand do not fill the log."""
    monkeypatch.setattr("nigaoe_core.guarded_loop.LONGEST_PAUSE", LONGEST_PAUSE)
    assert [pause_after(failures) for failures in (1, 2, 3)] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert pause_after(1000) == LONGEST_PAUSE


def test_a_task_begins_its_loop_again(errors: UnexpectedErrors) -> None:
    """The same rule in an event loop; a cancellation is no fault."""
    faults: list[Exception] = [ValueError("one"), KeyError("two")]

    async def story() -> None:
        runs = asyncio.Event()

        async def loop() -> None:
            if faults:
                raise faults.pop()
            runs.set()
            await asyncio.sleep(PATIENCE)

        task = guarded_task("story", loop, errors)
        await asyncio.wait_for(runs.wait(), PATIENCE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(story())
    assert errors.counts == {"story": 2}


def test_a_task_whose_loop_returns_is_over(errors: UnexpectedErrors) -> None:
    """What is to be done once is not done again when it has succeeded."""
    calls: list[None] = []

    async def once() -> None:
        calls.append(None)

    async def story() -> None:
        await guarded_task("story", once, errors)

    asyncio.run(story())
    assert (len(calls), errors.counts) == (1, {"story": 0})


def test_one_piece_of_work_keeps_its_fault_to_itself(errors: UnexpectedErrors) -> None:
    """A block, and a task that is not repeated; both can still be cancelled."""

    async def fail() -> None:
        raise ValueError

    async def wait() -> None:
        await asyncio.sleep(PATIENCE)

    async def story() -> None:
        await contained_task("delivery", fail(), errors, name="one")
        waiting = contained_task("delivery", wait(), errors, name="two")
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    with errors.contained("sweep"):
        raise KeyError
    with pytest.raises(KeyboardInterrupt), errors.contained("sweep"):
        raise KeyboardInterrupt
    asyncio.run(story())
    assert errors.counts == {"sweep": 1, "delivery": 1}


def test_prometheus_sees_every_place(errors: UnexpectedErrors) -> None:
    """Also one where nothing happened yet, so that the first error is an increase."""
    errors.declare("quiet")
    errors.record("loud", ValueError())
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ErrorCollector(errors))
    page = generate_latest(registry).decode()
    assert 'nigaoe_unexpected_errors_total{where="loud"} 1.0' in page
    assert 'nigaoe_unexpected_errors_total{where="quiet"} 0.0' in page


def test_many_threads_may_record_at_once(errors: UnexpectedErrors) -> None:
    """No error is lost between two of them."""
    threads = [
        threading.Thread(target=lambda: [errors.record("story", ValueError()) for _ in range(50)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors.counts == {"story": 200}
