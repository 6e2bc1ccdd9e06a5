"""Real servers for the ground floor: a Valkey that can be killed, an S3 server, and stores over each."""

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.changes import ChangeFeed
from core.events import EventLog
from core.job_store.ledger_store import LedgerJobStore
from core.job_store.lifecycle import JobPolicy
from core.job_store.memory_table import MemoryJobTable
from core.job_store.redis_table import RedisJobTable
from core.job_store.table import JobTable
from core.memory_change_feed import MemoryChangeFeed
from core.memory_event_log import MemoryEventLog
from core.redis_change_feed import RedisChangeFeed
from core.redis_event_log import RedisEventLog
from core.redis_link import RedisLink
from core.s3_blob_store import S3BlobStore
from core.settings import Settings
from core.signed_links import LinkSigner
from nigaoe.embedded_redis import EmbeddedRedis, server_binary

ACCESS_KEY, SECRET_KEY = "nigaoe-test", "nigaoe-test-secret"


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """One server for all tests; each takes a namespace of its own and leaves the server alone."""
    with EmbeddedRedis(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A server that a test may kill, stop and start again."""
    with EmbeddedRedis(tmp_path / "valkey") as server:
        yield server


@pytest.fixture
def tcp_valkey(tmp_path: Path) -> Iterator[str]:
    """The address of a server on loopback that wants a password, as operators run it."""
    (port,) = free_ports(1)
    options = ["--port", str(port), "--bind", "127.0.0.1", "--requirepass", "se/cret", "--dir", str(tmp_path)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([str(server_binary()), *options, "--save", ""], stdout=log, stderr=log)
    url = f"redis://:se%2Fcret@127.0.0.1:{port}/3"
    RedisLink(url, patience_seconds=60).call(lambda client: client.ping())
    yield url
    process.kill()
    process.wait()


@dataclass(frozen=True)
class World:
    """Stores over one table; several policies may look at the same jobs."""

    table: JobTable
    events: EventLog
    feed: Callable[[], ChangeFeed]

    def store(self, **policy: float) -> LedgerJobStore:
        return LedgerJobStore(self.table, JobPolicy(**policy))  # type: ignore[arg-type]  # max_attempts is an int.


def memory_world() -> World:
    table = MemoryJobTable()
    return World(table, MemoryEventLog(table), lambda: MemoryChangeFeed(table))


def redis_world(url: str, *, patience_seconds: float = 10.0) -> World:
    namespace = uuid.uuid4().hex
    link = RedisLink(url, patience_seconds=patience_seconds, namespace=namespace)
    return World(RedisJobTable(link), RedisEventLog(link), lambda: RedisChangeFeed(url, namespace=namespace))


@pytest.fixture(params=["memory", "redis"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Every implementation of the stores, one after the other."""
    made = memory_world() if request.param == "memory" else redis_world(request.getfixturevalue("valkey").url)
    yield made
    made.table.close()


@pytest.fixture
def store(world: World) -> LedgerJobStore:
    """A job store with the usual policy."""
    return world.store()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at this moment, below those that the kernel hands out to clients."""
    found: list[int] = []
    for port in range(20_000 + uuid.uuid4().int % 8_000, 32_000):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            break
    return found


class S3Server:
    """SeaweedFS as one process on loopback: master, volume, filer and S3 gateway."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.master, self.volume, self.filer, self.s3, *self.grpc = free_ports(8)
        self.url = f"http://127.0.0.1:{self.s3}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        identity = {
            "name": "nigaoe",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List"],
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        # A short folder for its sockets: their paths have a limit.
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen([str(weed()), *self._arguments()], stdout=log, stderr=log)
        self._wait_until_ready()

    def _arguments(self) -> list[str]:
        grpc = iter(self.grpc)
        return [
            "server", "-s3", "-filer", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={self.folder}",
            f"-master.port={self.master}", f"-master.port.grpc={next(grpc)}", "-master.telemetry=false",
            "-master.volumeSizeLimitMB=64", "-volume.max=100", f"-volume.port={self.volume}",
            f"-volume.port.grpc={next(grpc)}", f"-filer.port={self.filer}", f"-filer.port.grpc={next(grpc)}",
            f"-s3.port={self.s3}", f"-s3.port.grpc={next(grpc)}", f"-s3.config={self.folder / 's3.json'}",
            "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false",
            "-s3.autoCreateBucket=false",
        ]  # fmt: skip

    def _wait_until_ready(self) -> None:
        give_up = time.monotonic() + 120
        while time.monotonic() < give_up:
            assert self.process is not None
            assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
            try:
                urllib.request.urlopen(self.url + "/healthz", timeout=5).close()
            except urllib.error.HTTPError as error:
                error.close()
                return
            except OSError:
                time.sleep(0.1)
            else:
                return
        pytest.fail((self.folder / "log").read_text()[-2000:])

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def weed() -> Path:
    beside = Path(sys.executable).parent / "weed"
    return beside if beside.exists() else Path(shutil.which("weed") or "weed")


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One S3 server for all tests."""
    server = S3Server(tmp_path_factory.mktemp("s3"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def s3_settings(s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings that lead to the S3 server."""
    return Settings(
        data_dir=tmp_path_factory.mktemp("data"),
        s3_endpoint_url=s3_server.url,
        s3_access_key_id=ACCESS_KEY,
        s3_secret_access_key=SECRET_KEY,
    )  # type: ignore[arg-type]  # pydantic makes secrets of texts.


@pytest.fixture(scope="session")
def bucket(s3_settings: Settings) -> S3BlobStore:
    """A whole bucket; tests leave it empty."""
    return made_bucket("s3://nigaoe-bare", s3_settings)


@pytest.fixture(scope="session")
def shared_bucket(s3_settings: Settings) -> S3BlobStore:
    """A part of a bucket; tests leave it empty."""
    return made_bucket("s3://nigaoe-shared/some/prefix/", s3_settings)


def made_bucket(location: str, settings: Settings) -> S3BlobStore:
    store = S3BlobStore(location, settings)
    store.create_bucket()
    store.create_bucket()
    return store


@pytest.fixture
def signer() -> LinkSigner:
    """Signs links with a secret of its own."""
    return LinkSigner(uuid.uuid4().bytes)
