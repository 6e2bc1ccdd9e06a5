"""A running service keeps every promise of its OpenAPI document, whatever is sent."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nigaoe_core.errors import LeaseLost
from nigaoe_core.jobs import JobOptions, new_job
from nigaoe_core.worker_report import WorkerReport

if TYPE_CHECKING:
    from conftest import Api


@pytest.fixture
def busy_api(special_api: Callable[..., "Api"]) -> Iterator["Api"]:
    """A service whose worker finishes every job at once."""
    api = special_api(max_queued_jobs=100_000, max_active_jobs_per_key=100_000)
    api.services.store.report_worker(WorkerReport(worker="a", ready=True, slots=4), seconds=3600)
    closing = threading.Event()

    def work() -> None:
        while not closing.is_set():
            message = api.wake_ups.get(3600)
            claim = api.services.store.claim(message.job_id, message.attempt, "tiny-worker")
            with suppress(LeaseLost):  # The job may be deleted meanwhile.
                if claim:
                    api.worker.finish(claim)

    thread = threading.Thread(target=work)
    thread.start()
    yield api
    closing.set()
    api.services.dispatcher.wake(new_job(JobOptions()))  # Of nobody, so that the thread finds the end.
    thread.join()


@pytest.mark.slow
def test_schemathesis_finds_no_fault(
    busy_api: "Api", repository: Path, tmp_path: Path, eventually: Callable[..., object]
) -> None:
    """Examples, edge cases, noise, and sequences of calls that follow each other's answers."""
    eventually(lambda: busy_api.client().get("/readyz").status_code == 200)
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(repository / "schemathesis.toml")]
    address = ["run", f"{busy_api.url}/openapi.json"]
    options = ["--max-examples", "6", "--seed", "20261122", "--continue-on-failure", "--no-color", "--no-shrink"]
    environment = os.environ | {
        "SCHEMATHESIS_HOOKS": "portraits_for_schemathesis",
        "PYTHONPATH": str(Path(__file__).parent),
    }
    finished = subprocess.run(
        [*command, *address, *options],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout[-8000:]
