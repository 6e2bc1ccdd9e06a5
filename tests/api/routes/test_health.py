"""For those who run the service: alive, ready, measured."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx

from nigaoe_core.errors import BlobStoreUnavailable
from nigaoe_core.worker_report import WorkerReport

if TYPE_CHECKING:
    import pytest
    from conftest import Api


def ready(api: "Api") -> tuple[int, dict[str, Any]]:
    answer = api.client().get("/readyz")
    return answer.status_code, answer.json()


def test_alive_is_not_ready(special_api: Callable[..., "Api"], eventually: Callable[..., Any]) -> None:
    """Ready is who has stores, a detector, and a worker that has warmed up."""
    api = special_api()
    assert api.client().get("/livez").json() == {"status": "live"}
    status, answer = ready(api)
    assert (status, answer["ready"], answer["workers"]) == (503, False, 0)
    assert (answer["checks"]["job_store"], answer["checks"]["blob_store"]) == ("ok", "ok")
    api.services.store.report_worker(WorkerReport(worker="a", ready=False, slots=2), seconds=60)
    assert eventually(lambda: ready(api)[1]["checks"]["faces"] == "ok")
    assert ready(api)[0] == 503
    api.services.store.report_worker(WorkerReport(worker="a", ready=True, slots=2), seconds=60)
    assert eventually(lambda: ready(api)[0] == 200)


def test_probes_may_look_at_nothing_but_the_status(special_api: Callable[..., "Api"]) -> None:
    """HEAD answers as GET does, without a body."""
    client = special_api().client()
    for path, status in (("/livez", 200), ("/readyz", 503)):
        answer = client.head(path)
        assert (answer.status_code, answer.content) == (status, b"")


def test_a_store_that_refuses_makes_unready(
    special_api: Callable[..., "Api"], monkeypatch: "pytest.MonkeyPatch"
) -> None:
    """The sentence says which part is missing."""
    api = special_api()

    def refuse() -> None:
        raise BlobStoreUnavailable("The folder cannot be written.")

    monkeypatch.setattr(api.services.blobs, "check", refuse)
    assert ready(api)[1]["checks"]["blob_store"] == "The folder cannot be written."


def test_version_and_interface(client: httpx.Client) -> None:
    """What runs here."""
    assert client.get("/version").json()["name"] == "nigaoe"


def test_metrics_count_routes_not_paths(api: "Api", client: httpx.Client) -> None:
    """However many ids are asked for, they are one route."""
    for number in range(3):
        client.get(f"/jobs/{number}")
    client.get("/wp-login.php")
    text = api.client().get("/metrics").text
    assert 'nigaoe_http_requests_total{method="GET",route="/jobs/{job_id}",status="404"}' in text
    assert 'route="other"' in text
    assert "wp-login" not in text
    assert "nigaoe_workers_ready 1.0" in text
    assert "nigaoe_job_store_up 1.0" in text
    assert 'nigaoe_jobs_stored{state="queued"}' in text


def test_a_part_that_fails_unexpectedly_is_one_part(
    special_api: Callable[..., "Api"], monkeypatch: "pytest.MonkeyPatch"
) -> None:
    """The others are looked at all the same, and the fault is counted."""
    api = special_api()

    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(api.services.store, "check", fail)
    checks = ready(api)[1]["checks"]
    assert "the log says more" in checks["job_store"]
    assert checks["blob_store"] == "ok"
    assert 'nigaoe_unexpected_errors_total{where="readiness"} 1.0' in api.client().get("/metrics").text


def test_a_store_that_hangs_is_told_in_time(
    special_api: Callable[..., "Api"], monkeypatch: "pytest.MonkeyPatch"
) -> None:
    """A network folder that is away blocks every thread that touches it: the answer does not wait for that thread."""
    api, is_over = special_api(), threading.Event()
    monkeypatch.setattr("nigaoe_api.readiness.ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(api.services.blobs, "check", lambda: is_over.wait(60))
    assert "did not answer" in ready(api)[1]["checks"]["blob_store"]
    assert not is_over.is_set()
    is_over.set()
