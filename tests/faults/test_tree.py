"""`nigaoe serve` as one process tree: what is killed comes back, what is ended leaves nothing."""

import os
import signal
import socket
import struct
from pathlib import Path
from typing import Any

import httpx
import pytest

from nigaoe_core.jobs import JobState

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(900)]


def test_the_supervisor_is_killed_alone(tree: Any) -> None:
    """Its children watch their parent: nothing is left running, the port and the data are free for the next start."""
    tree.until(lambda: len(tree.pids) == 4)
    below = [pid for pid in tree.pids if pid != tree.supervisor.pid]
    tree.supervisor.kill()
    tree.until(lambda: not any(tree.is_alive(pid) for pid in below))
    tree.supervisor.start()


def test_everything_is_killed_and_started_again(tree: Any, sample_photo: Path) -> None:
    """kill -9 of API, worker, Valkey and supervisor: every accepted job ends after the next start."""
    tree.wait_until_ready()
    ids = tree.convert(sample_photo, 3, preset="standard")
    tree.until(lambda: any(tree.job(job_id)["state"] == "running" for job_id in ids))
    tree.kill()
    tree.supervisor.start()
    tree.wait_until_ready()
    jobs = tree.wait_for_end(ids, tree.recovery())
    assert [job["state"] for job in jobs] == ["succeeded"] * 3
    assert max(job["attempt"] for job in jobs) == 2
    tree.check()


def test_watchers_vanish(tree: Any, sample_photo: Path) -> None:
    """Twenty clients follow a job and are cut off; nothing of them stays, and the job does not care."""
    tree.wait_until_ready()
    (job_id,) = tree.convert(sample_photo, preset="standard")
    watchers = [_watch(tree.port, job_id) for _ in range(20)]
    tree.until(lambda: tree.figure("nigaoe_event_streams") == 20)
    for watcher in watchers:
        # Reset instead of a farewell, as when a phone leaves the network.
        watcher.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        watcher.close()
    tree.until(lambda: tree.figure("nigaoe_event_streams") == 0)
    (job,) = tree.wait_for_end([job_id])
    assert job["state"] == "succeeded"
    tree.check()


def test_the_disk_of_the_api_is_full(tree: Any, sample_photo: Path) -> None:
    """An order is refused by the right name and leaves nothing; with space again, it is taken."""
    tree.wait_until_ready()
    with tree.full_disk(tree.pid_of("api")):
        refused = tree.send(sample_photo)
    assert (refused.status_code, refused.json()["code"]) == (507, "storage_full")
    tree.convert(sample_photo, preset="draft")
    tree.check()


def test_the_api_is_killed_alone(tree: Any, sample_photo: Path) -> None:
    """The supervisor keeps its socket: clients wait for the next process instead of being refused."""
    tree.wait_until_ready()
    os.kill(tree.pid_of("api"), signal.SIGKILL)
    assert httpx.get(f"{tree.url}/livez", timeout=240).status_code == 200
    assert tree.convert(sample_photo, preset="draft")
    tree.check()


def test_the_tree_is_terminated(tree: Any, sample_photo: Path) -> None:
    """SIGTERM with jobs under way: it ends in order, with status 0; no process is left, and no job counts as lost."""
    tree.wait_until_ready()
    ids = tree.convert(sample_photo, 4, preset="best")
    everything = tree.pids
    tree.supervisor.signal(signal.SIGTERM)
    assert tree.supervisor.process.wait(240) == 0
    assert not any(tree.is_alive(pid) for pid in everything)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{tree.url}/livez", timeout=10)
    with tree.records() as services:
        jobs = [services.store.get(job_id) for job_id in ids]
    assert {job.state for job in jobs} <= {JobState.QUEUED, JobState.SUCCEEDED}
    assert [(job.losses, job.lease) for job in jobs] == [(0, None)] * 4


def _watch(port: int, job_id: str) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=60)
    client.sendall(f"GET /jobs/{job_id}/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
    assert client.recv(64).startswith(b"HTTP/1.1 200")
    return client
