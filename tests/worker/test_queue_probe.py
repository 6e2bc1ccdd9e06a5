from collections.abc import Iterator
from pathlib import Path

import pytest

from nigaoe.embedded_redis import EmbeddedRedis
from nigaoe_core.celery_dispatcher import CeleryDispatcher
from nigaoe_core.settings import Settings
from nigaoe_core.store.contract import Doorbell
from nigaoe_worker.app import build_app
from nigaoe_worker.queue_probe import QueueProbe


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A server that may be stopped."""
    with EmbeddedRedis(tmp_path / "valkey") as server:
        yield server


def test_messages_of_all_priorities_are_counted(valkey: EmbeddedRedis, settings: Settings) -> None:
    """Each priority is a list of its own in Redis; together they are the queue."""
    app = build_app(lambda: Settings(**{**settings.model_dump(), "redis_url": valkey.url}))
    probe = QueueProbe(app)
    assert probe.count() == 0
    dispatcher = CeleryDispatcher(valkey.url, deadline_seconds=60)
    for priority in (0, 5, 9):
        dispatcher.ring(Doorbell("some-job", 1, priority))
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
