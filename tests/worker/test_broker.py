"""Over a real Valkey: restyles wait behind no conversion, and nothing that comes in their queue stops them."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from celery import Celery

from nigaoe.embedded_redis import EmbeddedRedis
from nigaoe_core.guarded_loop import UnexpectedErrors
from nigaoe_core.jobs import JobKind, JobOptions, new_job
from nigaoe_core.queue import RESTYLE_QUEUE, Dispatcher, broker_url, queue_of, transport_options
from nigaoe_core.settings import Settings
from nigaoe_worker.app import build_app
from nigaoe_worker.broker import QueueProbe, RestyleConsumer

Until = Callable[[Callable[[], object]], None]

DEADLINE = 900.0


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A server that may be stopped."""
    with EmbeddedRedis(tmp_path / "valkey") as server:
        yield server


class Worker:
    """Handles messages as a story says."""

    def __init__(self, valkey: EmbeddedRedis) -> None:
        self.handled: list[tuple[str, int]] = []
        self.errors = UnexpectedErrors()
        self.dispatcher = Dispatcher(valkey.url, deadline_seconds=DEADLINE)
        self.app = Celery(broker=broker_url(valkey.url), set_as_current=False)
        self.app.conf.update(broker_transport_options=transport_options(DEADLINE))
        self.consumer = RestyleConsumer(self.app.connection_for_read, self.handle, 2, self.errors)

    def handle(self, job_id: str, attempt: int) -> None:
        self.handled.append((job_id, attempt))
        if job_id == "poison":
            raise ValueError("Nobody expected this.")

    def send(self, job_id: str, attempt: int = 1) -> None:
        restyle = new_job(JobOptions(priority=9), kind=JobKind.RESTYLE)
        self.dispatcher.wake(restyle.model_copy(update={"id": job_id, "attempt": attempt}))


@pytest.fixture
def worker(valkey: EmbeddedRedis) -> Iterator[Worker]:
    """One that takes restyles."""
    made = Worker(valkey)
    made.consumer.start()
    yield made
    made.consumer.close()
    made.dispatcher.close()
    made.app.close()


def test_restyles_have_a_queue_of_their_own() -> None:
    """A worker's other threads never see them."""
    assert queue_of(new_job(JobOptions(), kind=JobKind.RESTYLE)) == RESTYLE_QUEUE != queue_of(new_job(JobOptions()))


def test_messages_are_handled(worker: Worker, until: Until) -> None:
    """Each once; one that cannot be read, or whose job raises, does not block the others."""
    with worker.app.connection_for_write() as connection, connection.SimpleQueue(RESTYLE_QUEUE) as queue:
        queue.put({"not": "ours"})
    for job_id in ("one", "poison", "two", "poison", "three"):
        worker.send(job_id)
    until(lambda: len(worker.handled) == 5)
    assert sorted(worker.handled) == sorted((name, 1) for name in ("one", "two", "three", "poison", "poison"))
    until(lambda: worker.errors.counts["restyle_consumer"] == 3)


def test_one_that_takes_long_leaves_a_thread(worker: Worker, until: Until, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two at once: the second does not wait for the first; nothing is fetched that could not begin."""
    is_over, begun = threading.Event(), []

    def handle(job_id: str, _attempt: int) -> None:
        begun.append(job_id)
        if job_id != "short":
            assert is_over.wait(60)

    monkeypatch.setattr(worker.consumer, "_handle", handle)
    worker.send("long")
    until(lambda: begun == ["long"])
    worker.send("short")
    until(lambda: begun == ["long", "short"])
    is_over.set()


def test_they_are_heard_again_when_the_queue_is_back(worker: Worker, valkey: EmbeddedRedis, until: Until) -> None:
    """The server was killed: that is nothing unexpected, and no thread is lost to it."""
    worker.send("before")
    until(lambda: worker.handled == [("before", 1)])
    valkey.kill()
    valkey.start()
    worker.send("after")
    until(lambda: ("after", 1) in worker.handled)
    assert worker.errors.counts["restyle_consumer"] == 0


def test_after_a_stop_nothing_is_taken(worker: Worker) -> None:
    """What is sent then is there for another worker."""
    worker.consumer.stop()
    worker.consumer.close()
    worker.send("late")
    assert worker.handled == []


def test_messages_of_all_priorities_are_counted(valkey: EmbeddedRedis, settings: Settings) -> None:
    """Each priority is a list of its own in Redis; together they are the queue."""
    app = build_app(lambda: Settings(**{**settings.model_dump(), "redis_url": valkey.url}))
    probe = QueueProbe(app)
    assert probe.count() == 0
    dispatcher = Dispatcher(valkey.url, deadline_seconds=60)
    for priority in (0, 5, 9):
        dispatcher.wake(new_job(JobOptions(priority=priority)))
    assert probe.count() == 3
    dispatcher.close()
    app.close()


def test_a_server_that_is_away_is_not_an_empty_queue(valkey: EmbeddedRedis, settings: Settings) -> None:
    """And when it is back, the probe is, too."""
    app = build_app(lambda: Settings(**{**settings.model_dump(), "redis_url": valkey.url}))
    probe = QueueProbe(app)
    assert probe.count() == 0
    valkey.kill()
    assert probe.count() is None
    valkey.start()
    assert probe.count() == 0
    app.close()
