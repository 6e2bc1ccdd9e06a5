"""One conversion through the embedded service, from start to stop."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from nigaoe_core.errors import NigaoeError, UsageError

PICTURES = {"result_png": "portrait.png", "compare": "compare.png", "animation": "animation.webp"}
"""The job's links to what people want to see, and the names of the files."""

LONG_POLL_SECONDS = 20
STOP_SECONDS = 60
LOG_NAME = "service.log"


@dataclass(frozen=True, slots=True)
class DemoReport:
    """What came out of the demo."""

    files: list[Path]
    steps: int
    distance_start: float
    distance_end: float
    seconds: float


def run_demo(photo: Path, folder: Path, style: str | None, timeout: float, tell: Callable[[str], None]) -> DemoReport:
    """Start the service on a free port with a fresh data folder, convert ``photo``, fetch the pictures, stop.

    Args:
        photo: The photo's file.
        folder: Where the pictures and the service's log go.
        style: Style to draw in; None takes the first.
        timeout: Seconds until the service must be ready, and again until the job must have ended.
        tell: Says what happens.

    Raises:
        UsageError: The photo cannot be read.
        NigaoeError: The service did not start, refused the photo, or failed; its log says why.
    """
    if not photo.is_file():
        raise UsageError(f"There is no photo `{photo}`; name a JPEG, PNG, WebP, AVIF or HEIC file.")
    folder.mkdir(parents=True, exist_ok=True)
    tell("Starting the embedded service: API, worker and a store of their own ...")
    with _service(folder / LOG_NAME) as process, _client(process) as client:
        _wait_until_ready(client, process, timeout, folder / LOG_NAME)
        tell(f"POST /convert with {photo.name} ...")
        start = time.monotonic()
        job = _convert(client, photo, style, timeout)
        seconds = time.monotonic() - start
        files = [_fetch(client, job["links"][link], folder / name) for link, name in PICTURES.items()]
    report = job["report"]
    return DemoReport(files, report["steps"], report["distance_start"], report["distance_end"], seconds)


@contextlib.contextmanager
def _service(log: Path) -> Iterator["subprocess.Popen[str]"]:
    with tempfile.TemporaryDirectory(prefix="nigaoe-demo-") as data, log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "nigaoe", "serve", "--port", "0"],  # -P: see nigaoe.serve.
            env=os.environ | {"NIGAOE_DATA_DIR": data, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _client(process: "subprocess.Popen[str]") -> httpx.Client:
    """Read the address from the service's first line."""
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    line = process.stdout.readline()
    address = line.partition("http://")[2].strip()
    if not address:
        raise NigaoeError("The embedded service did not start; its log says why.")
    return httpx.Client(base_url=f"http://{address}", timeout=LONG_POLL_SECONDS + 10, follow_redirects=True)


def _wait_until_ready(client: httpx.Client, process: "subprocess.Popen[str]", timeout: float, log: Path) -> None:
    give_up = time.monotonic() + timeout
    while time.monotonic() < give_up:
        if process.poll() is not None:
            raise NigaoeError(f"The embedded service ended while it started; see `{log}`.")
        with contextlib.suppress(httpx.TransportError):
            if client.get("/readyz").is_success:
                return
        time.sleep(0.2)  # Readiness has no event: any HTTP client would ask again.
    raise NigaoeError(f"The embedded service was not ready after {timeout:.0f} s; see `{log}`.")


def _convert(client: httpx.Client, photo: Path, style: str | None, timeout: float) -> dict[str, Any]:
    answer = client.post(
        "/convert", files={"photo": (photo.name, photo.read_bytes())}, data={"style": style} if style else {}
    )
    job = _json(answer)
    give_up = time.monotonic() + timeout
    while job["state"] in ("queued", "running") and time.monotonic() < give_up:
        job = _json(client.get(job["links"]["self"], params={"wait": LONG_POLL_SECONDS}))
    if job["state"] != "succeeded":
        reason = (job["error"] or {}).get("message", "it took too long")
        raise NigaoeError(f"The conversion ended as {job['state']}: {reason}")
    return job


def _fetch(client: httpx.Client, link: str, path: Path) -> Path:
    answer = client.get(link)
    if not answer.is_success:
        _json(answer)
    path.write_bytes(answer.content)
    return path


def _json(answer: httpx.Response) -> dict[str, Any]:
    document: dict[str, Any] = answer.json()
    if answer.is_error:
        raise NigaoeError(f"The service refused ({document.get('code')}): {document.get('detail')}")
    return document
