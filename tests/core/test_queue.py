"""Wake-up messages: what lies in the queue, read by Redis's own commands, and what a real Celery consumer gets."""

import base64
import json
from typing import Any

import pytest
import redis

from nigaoe.embedded_redis import EmbeddedRedis
from nigaoe_core.errors import StoreUnavailable
from nigaoe_core.jobs import Job, JobKind, JobOptions, Preset, new_job
from nigaoe_core.queue import (
    QUEUE_NAME,
    RESTYLE_QUEUE,
    TASK_NAME,
    Dispatcher,
    broker_url,
    message_of,
    queue_of,
    queue_priority,
    transport_options,
)


@pytest.mark.parametrize(
    ("redis_url", "celerys"),
    [
        ("redis://:secret@host:6379/1", "redis://:secret@host:6379/1"),
        ("rediss://host", "rediss://host"),
        ("unix:///run/valkey.sock", "redis+socket:///run/valkey.sock"),
        ("unix:///run/valkey.sock?db=2", "redis+socket:///run/valkey.sock?virtual_host=2"),
    ],
)
def test_addresses_are_translated(redis_url: str, celerys: str) -> None:
    """One setting, two libraries."""
    assert broker_url(redis_url) == celerys


def test_a_message_names_job_and_attempt_only() -> None:
    """No picture, no option, no Python name."""
    job = new_job(JobOptions())
    assert message_of(job) == {"job_id": job.id, "attempt": 1}


@pytest.mark.parametrize(
    ("changes", "queue"),
    [
        ({}, QUEUE_NAME),
        ({"options": JobOptions(preset=Preset.INSTANT)}, RESTYLE_QUEUE),
        ({"kind": JobKind.RESTYLE}, RESTYLE_QUEUE),
    ],
)
def test_what_is_not_searched_waits_behind_no_search(changes: dict[str, object], queue: str) -> None:
    """Restyles and instant portraits have a queue of their own."""
    assert queue_of(new_job(JobOptions()).model_copy(update=changes)) == queue


def test_urgent_messages_come_first_in_kombus_order() -> None:
    """There 0 is the most urgent."""
    assert [queue_priority(priority) for priority in (9, 5, 0)] == [0, 4, 9]


def named(name: str, attempt: int = 1, priority: int = 5) -> Job:
    return new_job(JobOptions(priority=priority)).model_copy(update={"id": name, "attempt": attempt})


def messages(client: redis.Redis) -> list[dict[str, Any]]:
    """What waits in all of the queue's lists, most urgent list first."""
    lists = sorted(name.decode() for name in client.keys(f"{QUEUE_NAME}*"))  # type: ignore[union-attr]
    return [json.loads(text) for name in lists for text in reversed(client.lrange(name, 0, -1))]  # type: ignore[arg-type]


def test_a_wake_up_is_one_small_json_message(own_valkey: EmbeddedRedis) -> None:
    """Its task has an explicit name, its body is JSON, and urgent ones lie in a list that is read first."""
    dispatcher = Dispatcher(own_valkey.url, deadline_seconds=900)
    dispatcher.wake(named("calm"))
    dispatcher.wake(named("urgent", attempt=3, priority=9))
    dispatcher.close()
    with redis.Redis.from_url(own_valkey.url) as client:
        found = messages(client)
    bodies = [json.loads(base64.b64decode(message["body"]))[1] for message in found]
    assert bodies == [{"job_id": "urgent", "attempt": 3}, {"job_id": "calm", "attempt": 1}]
    for message in found:
        assert message["headers"]["task"] == TASK_NAME
        assert message["content-type"] == "application/json"
        assert len(json.dumps(message)) < 2000


def test_a_celery_consumer_hears_the_urgent_first(own_valkey: EmbeddedRedis) -> None:
    """Both sides agree on the transport's options: what was sent is received, by urgency, then by order."""
    dispatcher = Dispatcher(own_valkey.url, deadline_seconds=900)
    for number, priority in enumerate([5, 0, 9, 5]):
        dispatcher.wake(named(str(number), priority=priority))
    with dispatcher._app.connection_for_read() as connection, connection.SimpleQueue(QUEUE_NAME) as queue:
        heard = []
        for _ in range(4):
            message = queue.get(timeout=60)
            heard.append(json.loads(message.body)[1]["job_id"])
            message.ack()
    dispatcher.close()
    assert heard == ["2", "0", "3", "1"]


@pytest.mark.faults
def test_an_unreachable_queue_has_a_name(own_valkey: EmbeddedRedis) -> None:
    """The job is stored already, so the caller may go on; when the server is back, sending works again."""
    dispatcher = Dispatcher(own_valkey.url, deadline_seconds=900)
    dispatcher.wake(named("before"))
    own_valkey.kill()
    with pytest.raises(StoreUnavailable):
        dispatcher.wake(named("during"))
    own_valkey.start()
    dispatcher.wake(named("after"))
    dispatcher.close()
    with redis.Redis.from_url(own_valkey.url) as client:
        heard = [json.loads(base64.b64decode(message["body"]))[1]["job_id"] for message in messages(client)]
    assert heard == ["before", "after"]


def test_the_visibility_outlasts_any_job() -> None:
    """Or kombu would deliver a running job's message again."""
    assert transport_options(900)["visibility_timeout"] >= 2 * 900
