"""The API as its clients meet it: a real server on a real port, over a real Valkey, with a small worker of our own.

Most stories share one service and are kept apart by API keys: every story has a tenant of its own.
"""

import contextlib
import json
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from PIL import Image
from wake_ups import WakeUps

from nigaoe.embedded_redis import EmbeddedRedis
from nigaoe_api.api_keys import create_key
from nigaoe_api.app import create_app
from nigaoe_core.jobs import Job, JobReport, Outcome, Progress
from nigaoe_core.services import Services, connect
from nigaoe_core.settings import Settings
from nigaoe_core.store.blob_store import COMPARE, LATENT, RESULT_PNG, RESULT_WEBP
from nigaoe_core.store.job_records import Claim
from nigaoe_core.worker_report import WorkerReport

PATIENCE = 60.0
"""Seconds that a story waits for what must happen soon, however loaded the machine is."""


class Worker:
    """Does what a worker does to the stores, and draws nothing."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def claim(self, job_id: str) -> Claim:
        job = self.services.store.get(job_id)
        claim = self.services.store.claim(job_id, job.attempt, "tiny-worker")
        assert claim is not None
        return claim

    def step(self, claim: Claim, step: int, total: int = 100) -> Job:
        progress = Progress(step=step, total=total, distance=1.0 / (step + 1), distance_start=1.0)
        return self.services.store.heartbeat(claim, progress=progress)

    def finish(self, claim: Claim, **contents: bytes) -> Job:
        blobs = {RESULT_PNG: png(), RESULT_WEBP: b"webp", COMPARE: png(), LATENT: b"latent"} | {
            name.replace("_", "."): content for name, content in contents.items()
        }
        for name, content in blobs.items():
            self.services.blobs.put(f"{claim.job.folder}/{name}", content)
        keys = {name: f"{claim.job.folder}/{name}" for name in blobs}
        report = JobReport(steps=100, distance_start=1.0, distance_end=0.1, stop_reason="plateau")
        return self.services.store.succeed(claim, Outcome(blobs=keys, report=report, timings={"invert": 1.5}))

    def do(self, job_id: str) -> Job:
        return self.finish(self.claim(job_id))


@dataclass
class Api:
    """A running service."""

    url: str
    settings: Settings
    services: Services
    worker: Worker
    keys_file: Path | None
    facilities: Any
    wake_ups: WakeUps
    _clients: list[httpx.Client] = field(default_factory=list)

    def client(self, key: str | None = None, **options: Any) -> httpx.Client:
        """A client, with the given key or without."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        client = httpx.Client(base_url=self.url, headers=headers, timeout=PATIENCE, **options)
        self._clients.append(client)
        return client

    def new_key(self, **limits: Any) -> str:
        """A key with a tenant of its own."""
        assert self.keys_file is not None
        text, _ = create_key(self.keys_file, "story", f"t{uuid.uuid4().hex[:12]}", **limits)
        return text

    def close_clients(self) -> None:
        for client in self._clients:
            client.close()
        self._clients.clear()


@contextlib.contextmanager
def serving(settings: Settings, services: Services) -> Iterator[Api]:
    """Run a service until the block ends."""
    app = create_app(settings, services)
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_config=None, access_log=False, timeout_graceful_shutdown=5
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="uvicorn")
    thread.start()
    until(lambda: server.started or not thread.is_alive())
    port = server.servers[0].sockets[0].getsockname()[1]
    api = Api(
        f"http://127.0.0.1:{port}",
        settings,
        services,
        Worker(services),
        settings.api_keys_file,
        app.state.facilities,
        WakeUps(settings.redis_url.get_secret_value()),
    )
    try:
        yield api
    finally:
        api.close_clients()
        server.should_exit = True
        thread.join()
        services.close()
        api.wake_ups.close()


@pytest.fixture(scope="session")
def shared_api(valkey: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A service for all stories that need nothing special, with API keys and generous limits."""
    folder = tmp_path_factory.mktemp("api")
    settings = settings_for(
        folder, redis_url=valkey.url, api_keys_file=folder / "keys.json", max_active_jobs_per_key=4, link_seconds=300
    )
    with serving(settings, connect(settings)) as api:
        api.services.store.report_worker(WORKER, seconds=3600)
        yield api


WORKER = WorkerReport(
    worker="host:1:a", ready=True, slots=4, busy=0, styles=("anime",), job_seconds=10.0, step_seconds=0.1
)


@pytest.fixture
def api(shared_api: Api) -> Iterator[Api]:
    """The shared service, with clients that end with the story."""
    yield shared_api
    shared_api.close_clients()


@pytest.fixture
def client(api: Api) -> httpx.Client:
    """A client with a key and a tenant of its own."""
    return api.client(api.new_key())


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Api]]:
    """Start a service: how its stores are connected, and which settings are other than usual."""
    with contextlib.ExitStack() as stack:

        def starting(connecting: Callable[[Settings], Services], **changes: Any) -> Api:
            settings = settings_for(tmp_path / uuid.uuid4().hex, **changes)
            return stack.enter_context(serving(settings, connecting(settings)))

        yield starting


@pytest.fixture
def special_api(start: Callable[..., Api], fresh_url: Callable[[], str]) -> Callable[..., Api]:
    """Start a service with other settings, over stores of its own; without keys unless asked for."""
    return lambda **changes: start(connect, redis_url=fresh_url(), **changes)


def settings_for(folder: Path, **changes: Any) -> Settings:
    """Settings that read neither the environment's ``.env`` nor anything outside ``folder``."""
    generous: dict[str, Any] = {"rate_limit": "100000/minute", "convert_rate_limit": "100000/minute"}
    generous |= {"keep_photo_count": 100_000}
    generous |= {"max_queue_age_seconds": 86_400}  # The shared service's first jobs wait until the last story.
    return Settings(data_dir=folder, _env_file=None, **(generous | changes))  # type: ignore[call-arg]  # pydantic-settings' own argument.


def until(condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Wait until something is true, and return it."""
    give_up = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < give_up, "it never became true"
        time.sleep(0.01)
    return value


@pytest.fixture(scope="session")
def photo(repository: Path) -> bytes:
    """A portrait of one person."""
    return (repository / "samples" / "astronaut.jpg").read_bytes()


@pytest.fixture(scope="session")
def group_photo(repository: Path) -> bytes:
    """Two people side by side, the first one larger."""
    first = Image.open(repository / "samples" / "astronaut.jpg").convert("RGB")
    second = Image.open(repository / "samples" / "grace_hopper.jpg").convert("RGB")
    second.thumbnail((300, 400))
    sheet = Image.new("RGB", (first.width + second.width, max(first.height, second.height)), "white")
    sheet.paste(first, (0, 0))
    sheet.paste(second, (first.width, 0))
    return encoded(sheet, "JPEG")


@pytest.fixture(scope="session")
def landscape() -> bytes:
    """A photo without anybody."""
    return encoded(Image.linear_gradient("L").resize((320, 240)).convert("RGB"), "JPEG")


def encoded(image: Image.Image, picture_format: str) -> bytes:
    buffer = BytesIO()
    image.save(buffer, picture_format)
    return buffer.getvalue()


def png(side: int = 8) -> bytes:
    """A small picture."""
    return encoded(Image.new("RGB", (side, side), "pink"), "PNG")


@pytest.fixture(scope="session")
def convert(photo: bytes) -> Callable[..., httpx.Response]:
    """Order a portrait: ``convert(client, degree=0.5, headers={...})``."""

    def order(
        client: httpx.Client, *photos: bytes, headers: dict[str, str] | None = None, **fields: Any
    ) -> httpx.Response:
        files = [("photo", (f"{index}.jpg", data)) for index, data in enumerate(photos or (photo,))]
        return client.post("/convert", files=files, data=fields, headers=headers)

    return order


@dataclass
class Received:
    """One request that the listener got."""

    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Site:
    """A web server somewhere: answers POST with the next status in ``statuses``, GET with ``pages``."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.statuses: list[int] = []
        self.pages: dict[str, tuple[int, dict[str, str], bytes]] = {}
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                site.received.append(Received(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(site.statuses.pop(0) if site.statuses else 204)
                self.end_headers()

            def do_GET(self) -> None:
                status, headers, body = site.pages.get(self.path, (404, {}, b""))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(OSError):  # The client may have heard enough.
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def site() -> Iterator[Site]:
    """A web server that is not ours."""
    running = Site()
    yield running
    running.close()


@pytest.fixture(scope="session")
def eventually() -> Callable[..., Any]:
    """Wait until something is true."""
    return until


@pytest.fixture(scope="session")
def exchange() -> Callable[..., bytes]:
    """Speak HTTP by hand."""
    return raw_exchange


def raw_exchange(url: str, request: bytes, *more: bytes) -> bytes:
    """Send bytes as they are and return the whole answer."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
        connection.sendall(request)
        for part in more:
            connection.sendall(part)
        answer = bytearray()
        with contextlib.suppress(ConnectionResetError):
            while chunk := connection.recv(65536):
                answer += chunk
        return bytes(answer)
