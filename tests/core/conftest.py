"""Real servers: a Valkey that can be killed, an S3 server, and stores over each."""

import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from s3_server import S3Server, free_ports

from nigaoe.embedded_redis import EmbeddedRedis, server_binary
from nigaoe_core.settings import Settings
from nigaoe_core.store.changes import ChangeFeed
from nigaoe_core.store.events import EventLog
from nigaoe_core.store.job_store import JobStore
from nigaoe_core.store.lifecycle import JobPolicy
from nigaoe_core.store.redis_link import RedisLink
from nigaoe_core.store.s3_blob_store import S3BlobStore
from nigaoe_core.store.signed_links import LinkSigner


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
    """Stores over one namespace of a Valkey; several policies may share the jobs."""

    link: RedisLink
    url: str
    namespace: str

    @property
    def events(self) -> EventLog:
        """The jobs' events."""
        return EventLog(self.link)

    def feed(self) -> ChangeFeed:
        """News of changed jobs."""
        return ChangeFeed(self.url, namespace=self.namespace)

    def store(self, **policy: float) -> JobStore:
        """A job store with some of its policy chosen."""
        return JobStore(self.link, JobPolicy(**policy))  # type: ignore[arg-type]  # max_attempts is an int.

    def spoil(self, job_id: str, record: str) -> None:
        """Put a text in the place of a job's record."""
        self.link.call(lambda client: client.hset(self.link.key("job", job_id), "record", record))

    def contents(self) -> str:
        """All keys and values that are stored."""
        return repr(self.link.call(self._everything))

    def _everything(self, client: redis.Redis) -> list[object]:
        read = {"hash": client.hgetall, "set": client.smembers, "string": client.get, "stream": client.xrange}
        read["zset"] = lambda name: client.zrange(name, 0, -1)
        return [(name, read[client.type(name)](name)) for name in client.scan_iter(f"{{{self.namespace}}}:*")]


@pytest.fixture
def world(valkey: EmbeddedRedis) -> Iterator[World]:
    """Stores over Valkey, in a namespace of their own."""
    namespace = uuid.uuid4().hex
    link = RedisLink(valkey.url, patience_seconds=10.0, namespace=namespace)
    yield World(link, valkey.url, namespace)
    link.close()


@pytest.fixture
def store(world: World) -> JobStore:
    """A job store with the usual policy."""
    return world.store()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One S3 server for all tests."""
    server = S3Server(tmp_path_factory.mktemp("s3"))
    yield server.start()
    server.stop()


@pytest.fixture(scope="session")
def s3_settings(s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings that lead to the S3 server."""
    return Settings(data_dir=tmp_path_factory.mktemp("data"), **s3_server.credentials)  # type: ignore[arg-type]  # pydantic makes secrets of texts.


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
