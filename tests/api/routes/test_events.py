"""Following a job by server-sent events."""

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from nigaoe_core.jobs import ANONYMOUS, JobOptions, new_job

if TYPE_CHECKING:
    from conftest import Api


@dataclass
class Told:
    """One event as it came over the wire."""

    kind: str
    data: dict[str, Any]
    id: str | None


def read(response: httpx.Response) -> Iterator[Told]:
    """The stream's events; comments (pings) are skipped."""
    fields: dict[str, str] = {}
    for line in response.iter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "event" in fields:
            yield Told(fields["event"], json.loads(fields["data"]), fields.get("id"))
            fields = {}


def states(events: Iterable[Told]) -> list[str]:
    """The states that were told."""
    return [event.data["state"] for event in events if event.kind == "state"]


@pytest.fixture
def open_api(special_api: Callable[..., "Api"]) -> "Api":
    """A service without keys."""
    return special_api()


@pytest.fixture
def job_id(open_api: "Api") -> str:
    return open_api.services.store.submit([new_job(JobOptions(), tenant=ANONYMOUS)]).jobs[0].id


def test_a_client_sees_everything_in_order(open_api: "Api", job_id: str) -> None:
    """States, progress and previews, until the end closes the stream."""
    api = open_api
    with api.client().stream("GET", f"/jobs/{job_id}/events") as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        events = read(stream)
        first = next(events)
        claim = api.worker.claim(job_id)
        api.worker.step(claim, 3)
        api.services.events.preview(claim, b"picture", step=3)
        api.worker.finish(claim)
        rest = list(events)
    assert [(event.kind, event.data.get("state")) for event in (first, *rest)] == [
        ("state", "queued"),
        ("state", "running"),
        ("progress", None),
        ("preview", None),
        ("progress", None),
        ("state", "succeeded"),
    ]
    assert rest[1].data["step"] == 3
    assert rest[2].data["content_type"] == "image/jpeg"


def test_a_client_that_was_away_misses_nothing(open_api: "Api", job_id: str) -> None:
    """`Last-Event-ID` continues behind it, and 204 ends the matter."""
    api, client = open_api, open_api.client()
    with client.stream("GET", f"/jobs/{job_id}/events") as stream:
        seen = next(read(stream)).id
    api.worker.do(job_id)
    answer = client.get(f"/jobs/{job_id}/events", headers={"Last-Event-ID": str(seen)})
    missed = list(read(answer))
    assert states(missed) == ["running", "succeeded"]
    nothing = client.get(f"/jobs/{job_id}/events", headers={"Last-Event-ID": str(missed[-1].id)})
    assert nothing.status_code == 204


def test_nonsense_as_last_event_begins_at_the_start(open_api: "Api", job_id: str) -> None:
    """A refusal would make an EventSource give up."""
    open_api.worker.do(job_id)
    answer = open_api.client().get(f"/jobs/{job_id}/events", headers={"Last-Event-ID": "yesterday"})
    assert states(read(answer)) == ["queued", "running", "succeeded"]


def test_a_deleted_job_ends_its_streams(open_api: "Api", job_id: str) -> None:
    """The client learns that there is nothing to come back for."""
    client = open_api.client()
    with client.stream("GET", f"/jobs/{job_id}/events") as stream:
        events = read(stream)
        next(events)
        client.delete(f"/jobs/{job_id}")
        assert [(event.kind, event.data) for event in events] == [("gone", {"code": "unknown_job"})]


def test_clients_that_vanish_leave_nothing_behind(open_api: "Api", job_id: str, eventually: Callable[..., Any]) -> None:
    """The gauge of open streams comes back to zero."""
    gauge = open_api.facilities.metrics.event_streams

    def look(_: int) -> str:
        with open_api.client().stream("GET", f"/jobs/{job_id}/events") as stream:
            return next(read(stream)).kind

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(look, range(8))) == {"state"}
    eventually(lambda: gauge._value.get() == 0)


def test_a_latecomer_is_told_the_state(open_api: "Api", job_id: str) -> None:
    """The log may be gone; the job is not."""
    open_api.worker.do(job_id)
    first = list(read(open_api.client().get(f"/jobs/{job_id}/events")))
    assert first[-1].data["state"] == "succeeded"
