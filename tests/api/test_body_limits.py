"""Bodies are counted and timed while they arrive."""

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from nigaoe_core.jobs import ANONYMOUS, JobOptions, new_job

if TYPE_CHECKING:
    from conftest import Api

HEAD = b"POST /convert HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
PART = b'--b\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n\r\n'


@pytest.fixture
def small_api(special_api: Callable[..., "Api"]) -> "Api":
    """A service that takes little."""
    return special_api(max_upload_bytes=64 * 1024, max_request_bytes=2**20, max_photos_per_request=1000)


@pytest.fixture
def hasty_api(special_api: Callable[..., "Api"]) -> "Api":
    """A service that waits little; on a loaded machine that may be over before a body that is not slow has arrived."""
    return special_api(body_timeout_seconds=1)


def test_a_large_body_is_refused_by_its_own_word(small_api: "Api", exchange: Callable[..., bytes]) -> None:
    """Nothing of it is read."""
    answer = exchange(small_api.url, HEAD + b"Connection: close\r\nContent-Length: 1048577\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413")
    assert b'"code":"request_too_large"' in answer


def test_a_large_photo_is_refused_while_it_arrives(small_api: "Api") -> None:
    """413 comes although the client would go on for ever."""
    with socket.create_connection(_address(small_api), timeout=60) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        _send_chunk(connection, PART)
        sent = _send_until_answered(connection, b"x" * 8192)
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b'"code":"image_too_large"' in answer
    assert sent < 2**24  # The kernel buffers megabytes while the service waits for a core.


def test_a_large_body_in_small_parts_is_refused_too(small_api: "Api") -> None:
    """Parts that are small by themselves add up."""
    with socket.create_connection(_address(small_api), timeout=60) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        _send_until_answered(connection, PART + b"x" * 60_000 + b"\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 413")


def test_a_slow_body_runs_out_of_time(hasty_api: "Api") -> None:
    """However alive the connection looks."""
    with socket.create_connection(_address(hasty_api), timeout=60) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        _send_chunk(connection, PART)
        _send_until_answered(connection, b"x", pause=0.05)
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"connection: close" in answer.lower()


def test_a_client_that_goes_away_leaves_nothing(small_api: "Api", eventually: Callable[..., bool]) -> None:
    """No job, no error, no request under way."""
    with socket.create_connection(_address(small_api), timeout=60) as connection:
        connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n" + PART)
        eventually(lambda: _in_progress(small_api) == 1)
    eventually(lambda: _in_progress(small_api) == 0)
    assert small_api.services.store.queue().queued == 0


def test_waiting_is_no_slow_body(hasty_api: "Api") -> None:
    """The clock of the body stops when it is there; a long poll may take longer."""
    job = hasty_api.services.store.submit([new_job(JobOptions(), tenant=ANONYMOUS)]).jobs[0]
    answer = hasty_api.client().get(f"/jobs/{job.id}", params={"wait": 1.5})
    assert (answer.status_code, answer.json()["state"]) == (200, "queued")


def _address(api: "Api") -> tuple[str, int]:
    host, _, port = api.url.removeprefix("http://").partition(":")
    return host, int(port)


def _in_progress(api: "Api") -> float:
    return float(api.facilities.metrics.in_progress._value.get())


def _send_chunk(connection: socket.socket, data: bytes) -> None:
    connection.sendall(f"{len(data):x}\r\n".encode() + data + b"\r\n")


def _send_until_answered(connection: socket.socket, data: bytes, pause: float = 0.0) -> int:
    """Send chunk after chunk until the server has something to say; return how many bytes that took."""
    sent = 0
    for _ in _until_readable(connection, pause):
        try:
            _send_chunk(connection, data)
        except (BrokenPipeError, ConnectionResetError):
            break
        sent += len(data)
    return sent


def _until_readable(connection: socket.socket, pause: float) -> Iterator[None]:
    give_up = time.monotonic() + 60
    connection.setblocking(False)
    try:
        while time.monotonic() < give_up:
            try:
                connection.recv(1, socket.MSG_PEEK)
            except BlockingIOError:
                connection.setblocking(True)
                yield
                time.sleep(pause)
                connection.setblocking(False)
            else:
                return
    finally:
        connection.settimeout(60)


@pytest.fixture
def crowded_api(special_api: Callable[..., "Api"]) -> "Api":
    """A service that has memory for one large upload at a time."""
    return special_api(
        max_upload_bytes=2**20, max_request_bytes=2**20, max_upload_bytes_in_flight=2**20, body_timeout_seconds=60
    )


def held(api: "Api") -> int:
    return int(api.facilities.uploads.bytes)


def test_all_uploads_together_have_a_limit(crowded_api: "Api", eventually: Callable[..., object]) -> None:
    """503 with `Retry-After` before a byte has travelled in vain, or as soon as it is too much; small bodies pass."""
    client = crowded_api.client()
    with socket.create_connection(_address(crowded_api), timeout=60) as first:
        first.sendall(HEAD + b"Content-Length: 900000\r\n\r\n" + PART + b"x" * 700_000)
        eventually(lambda: held(crowded_api) > 700_000)
        refused = client.post("/convert", files={"photo": b"x" * 400_000})
        assert (refused.status_code, refused.json()["code"]) == (503, "uploads_full")
        assert int(refused.headers["Retry-After"]) > 0
        with socket.create_connection(_address(crowded_api), timeout=60) as second:
            second.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
            _send_until_answered(second, PART + b"x" * 60_000 + b"\r\n")
            assert second.recv(65536).startswith(b"HTTP/1.1 503")
        assert client.post("/convert", files={"photo": b"x" * 1000}).json()["code"] == "unsupported_format"
        assert "nigaoe_upload_bytes_in_flight 7" in client.get("/metrics").text
    eventually(lambda: held(crowded_api) == 0)  # The first one hung up.
    assert client.post("/convert", files={"photo": b"x" * 400_000}).json()["code"] == "unsupported_format"
    assert held(crowded_api) == 0


def test_who_waits_for_a_job_holds_no_photo(
    crowded_api: "Api", photo: bytes, eventually: Callable[..., object]
) -> None:
    """The upload is over when the job is queued, however long the answer takes."""
    body = photo + b"\0" * (600_000 - len(photo))  # Behind a JPEG's end may stand anything.
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(
            crowded_api.client().post, "/convert", files={"photo": body}, headers={"Prefer": "wait=60"}
        )
        wake_up = crowded_api.wake_ups.get(60)
        eventually(lambda: held(crowded_api) == 0)
        assert not waiting.done()
        crowded_api.worker.do(wake_up.job_id)
        assert waiting.result().status_code == 200
