"""What an ended job says is the same, and the whole truth, in whatever way one hears of it."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from nigaoe_api.conversions import in_batch
from nigaoe_core.jobs import ANONYMOUS, Failure, Job, JobKind, JobOptions, JobReport, Outcome, new_job

if TYPE_CHECKING:
    from conftest import Api, Site

CHANNELS = ("poll", "wait", "events", "webhook", "batch", "list")
ENDS = ("succeeded", "failed", "cancelled", "restyled")


@pytest.fixture
def api(special_api: Callable[..., "Api"]) -> "Api":
    """A service without keys that may call this machine."""
    return special_api(webhook_allow_loopback=True, webhook_pause_seconds=0.1)


def ended(api: "Api", end: str, job: Job, step: int = 20) -> None:
    """See a job to its end, after a last heartbeat in the middle of its search."""
    claim, store = api.worker.claim(job.id), api.services.store
    if end == "restyled":
        store.succeed(claim, Outcome(blobs={}, report=JobReport(stop_reason="restyled")))
        return
    api.worker.step(claim, step, 30)
    if end == "succeeded":
        store.succeed(claim, Outcome(blobs={}, report=JobReport(steps=step + 2, distance_end=0.25)))
    elif end == "failed":
        store.fail(claim, Failure(code="numerical_failure", message="The numbers ran away."))
    else:
        store.finish_cancelled(claim)


def heard(api: "Api", channel: str, end: str, url: str, called: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """What one channel says of the progress of a job that has ended so."""
    client, store, options = api.client(), api.services.store, JobOptions(webhook_url=url)
    jobs = [new_job(options, tenant=ANONYMOUS)]
    if end == "restyled":
        parent = store.submit(jobs).jobs[0]
        ended(api, "succeeded", parent)
        jobs = [new_job(options, tenant=ANONYMOUS, kind=JobKind.RESTYLE, parent_id=parent.id)]
    jobs = list(store.submit(in_batch([*jobs, new_job(options)]) if channel == "batch" else jobs).jobs)
    path = f"/jobs/{jobs[0].id}"
    with ThreadPoolExecutor() as pool:
        waits = {"wait": lambda: client.get(path, params={"wait": 60}), "events": lambda: client.get(f"{path}/events")}
        pending = pool.submit(waits[channel]) if channel in waits else None
        ended(api, end, jobs[0])
        if channel == "events":
            assert pending is not None
            return last_progress(pending.result())
        if channel == "wait":
            assert pending is not None
            return dict(pending.result().json()["progress"])
    if channel == "webhook":
        return dict(called(jobs[0].id)["progress"])
    if channel == "batch":
        return dict(client.get(f"/batches/{jobs[0].batch_id}").json()["jobs"][0]["progress"])
    if channel == "list":
        return dict(client.get("/jobs").json()["jobs"][0]["progress"])
    return dict(client.get(path).json()["progress"])


def last_progress(stream: httpx.Response) -> dict[str, Any]:
    """The last progress event of a stream, which the end follows."""
    blocks = [block.splitlines() for block in stream.text.replace("\r", "").split("\n\n")]
    fields = [dict(line.split(": ", 1) for line in lines if ": " in line) for lines in blocks]
    told = [block for block in fields if block.get("event") in {"progress", "state"}]
    assert [block["event"] for block in told[-2:]] == ["progress", "state"]
    return dict(json.loads(told[-2]["data"]))


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("channel", CHANNELS)
def test_an_ended_job_says_one_and_what_was_done(
    api: "Api", site: "Site", eventually: Callable[..., Any], channel: str, end: str
) -> None:
    """Not where its last heartbeat was: fraction 1, stage `ended`, and the steps that were really made."""

    def called(job_id: str) -> dict[str, Any]:
        eventually(lambda: any(call.json()["data"]["id"] == job_id for call in site.received))
        return dict(next(call.json()["data"] for call in site.received if call.json()["data"]["id"] == job_id))

    progress = heard(api, channel, end, site.url, called)
    steps = {"succeeded": (22, 22), "restyled": (0, 0)}.get(end, (20, 30))
    assert (progress["fraction"], progress["stage"]) == (1.0, "ended")
    assert (progress["step"], progress["total"]) == steps


def test_waiting_for_an_order_gets_its_end(api: "Api", convert: Callable[..., httpx.Response]) -> None:
    """`Prefer: wait` answers with the finished job, not with the search of a moment ago."""
    client = api.client()
    with ThreadPoolExecutor() as pool:
        pending = pool.submit(convert, client, headers={"Prefer": "wait=60"})
        ended(api, "succeeded", api.services.store.get(api.wake_ups.get(60).job_id))
        progress = pending.result().json()["progress"]
    assert (progress["fraction"], progress["stage"], progress["step"], progress["total"]) == (1.0, "ended", 22, 22)
