"""A storm: faults drawn at random over a running service, a job ordered after each, and what became of all of it.

The service is real: an API, three workers, Valkey, a folder of blobs, and a receiver of webhooks; only the searches'
arithmetic is replaced (`faulty_worker`). Faults overlap: the next one comes as soon as few enough jobs are open.
"""

import contextlib
import json
import os
import random
import signal
import socket
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import httpx
import redis
from processes import Process, free_port
from site_of_processes import PATIENCE, Site

from nigaoe_core.jobs import ANONYMOUS, Job, JobState

WORKERS: Final = 3
OPEN_JOBS: Final = 8
"""Jobs that may be open while the next fault comes."""
LOOK_SECONDS: Final = 0.1
LOST: Final = frozenset({"worker_lost", "deadline_exceeded"})
"""How a job ends that its service has lost."""
SETTINGS: Final[dict[str, Any]] = {
    "warm_up": False,
    "lease_seconds": 3.0,
    "heartbeat_seconds": 0.5,
    "redis_patience_seconds": 30.0,
    "max_attempts": 10,  # Here, a job that runs out of them is one that was lost.
    "worker_concurrency": 8,
    "webhook_allow_loopback": True,
    "webhook_pause_seconds": 0.5,
    "max_active_jobs_per_key": 10_000,
    "max_queued_jobs": 10_000,
}


class Receiver:
    """Takes webhooks, and counts them by their id."""

    def __init__(self) -> None:
        self.received: Counter[str] = Counter()
        received = self.received

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                received[self.headers["webhook-id"].removeprefix("msg_")] += 1
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Result:
    """What became of a storm."""

    faults: Counter[str] = field(default_factory=Counter)
    recoveries: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Seconds from a fault to the end of the job that was ordered after it."""
    ends: Counter[str] = field(default_factory=Counter)
    """State, and code where there is one, to jobs; those that were deleted are not among them."""
    deleted: int = 0
    lost: list[str] = field(default_factory=list)
    """Jobs that never ended, or ended although nobody asked for it."""
    twice: list[str] = field(default_factory=list)
    """Jobs of which more, or less, than one end was reported."""
    leftovers: set[str] = field(default_factory=set)
    unreported: list[str] = field(default_factory=list)
    """Jobs whose webhook never came."""
    repeated: int = 0
    """Webhooks that came again under their id, as they may where an acknowledgement is lost."""
    seconds: float = 0.0

    @property
    def slowest(self) -> float:
        """The longest recovery."""
        return max((seconds for times in self.recoveries.values() for seconds in times), default=0.0)


class Storm:
    """A service, and what happens to it.

    Args:
        folder: For everything.
        weights: An installed style.
        seed: Of what is drawn at random.
    """

    def __init__(self, folder: Path, weights: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.receiver = Receiver()
        self.controls = [folder / f"control-{number}" for number in range(WORKERS)]
        script = str(Path(__file__).with_name("faulty_worker.py"))
        self.port = free_port()
        self.site = Site(
            folder,
            weights,
            workers=WORKERS,
            program=lambda number: (script, str(self.controls[number])),
            port=self.port,
            **SETTINGS,
        )
        self.api = Process(self.site.settings, folder / "api.log", "api")
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30)
        self.redis = redis.Redis.from_url(self.site.valkey.url)
        self.result = Result()
        self.parent: Job | None = None
        self.open: dict[str, tuple[str, float]] = {}
        """Jobs that have not ended: after which fault, and when that was."""
        self.kept: set[str] = set()
        self.unwanted: set[str] = set()
        """Jobs that somebody has cancelled."""
        self.is_over = False
        """Set it, and no further fault happens."""

    def close(self) -> None:
        self.client.close()
        self.api.kill()
        self.redis.close()
        self.site.close()
        self.receiver.close()

    def wait_until_ready(self) -> None:
        """Wait for all processes, and for a first portrait."""
        self.site.wait_for_workers(WORKERS)
        self.site.until(self._api_is_ready)
        (self.parent,) = self.site.order()
        self.site.wait_for_end([self.parent])
        self.kept.add(self.parent.id)

    def _api_is_ready(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return self.client.get("/livez").status_code == 200
        return False

    def run(self, count: int, on_fault: Callable[[int], None] = lambda _: None) -> Result:
        """Let so many faults happen, wait for the end of all jobs, and look at what is left."""
        start = time.monotonic()
        kinds, weights = list(FAULTS), [weight for weight, _ in FAULTS.values()]
        for number in range(count):
            self._wait_until_open(OPEN_JOBS - 1)
            if self.is_over:
                break
            (kind,) = self.random.choices(kinds, weights)
            self.result.faults[kind] += 1
            at = time.monotonic()
            FAULTS[kind][1](self)
            self._order(kind, at)
            on_fault(number + 1)
        self._wait_until_open(0)
        self._look_at_the_books()
        self.result.seconds = time.monotonic() - start
        return self.result

    def _order(self, kind: str, at: float) -> None:
        # Most are conversions, ordered as the API does; some are restyles, through the API and with patience.
        restyled = self._restyle() if self.random.random() < 0.2 else None
        if restyled is None:
            (job,) = self.site.order(webhook_url=self.receiver.url)
            restyled = job.id
        self.open[restyled] = (kind, at)
        self.kept.add(restyled)

    def _restyle(self) -> str | None:
        assert self.parent is not None
        look = {"degree": self.random.random(), "webhook_url": self.receiver.url}
        key, give_up = str(uuid.uuid4()), time.monotonic() + PATIENCE
        while time.monotonic() < give_up:
            with contextlib.suppress(httpx.HTTPError):
                answer = self.client.post(
                    f"/jobs/{self.parent.id}/restyle", json=look, headers={"Idempotency-Key": key}
                )
                if answer.status_code in {200, 202}:
                    return str(answer.json()["id"])
            self._look()
            time.sleep(LOOK_SECONDS)
        return None

    def _wait_until_open(self, most: int) -> None:
        give_up = time.monotonic() + PATIENCE
        while len(self.open) > most:
            before = len(self.open)
            self._look()
            if len(self.open) < before:
                give_up = time.monotonic() + PATIENCE
            if time.monotonic() > give_up:
                self.result.lost += list(self.open)
                self.open.clear()
            time.sleep(LOOK_SECONDS)

    def _look(self) -> None:
        """Start again what has died, as a supervisor does, and take note of the jobs that have ended."""
        for process in (*self.site.workers, self.api):
            if process.process.poll() is not None:
                process.start()
        now = time.monotonic()
        for job in self.site.services.store.get_many(list(self.open), tenant=ANONYMOUS):
            if job.state.is_end:
                kind, at = self.open.pop(job.id)
                self.result.recoveries[kind].append(now - at)

    def _look_at_the_books(self) -> None:
        result, site = self.result, self.site
        jobs = {job_id: site.services.store.get(job_id) for job_id in self.kept}
        result.ends = Counter(f"{job.state}{f': {job.error.code}' if job.error else ''}" for job in jobs.values())
        result.lost += [
            job_id
            for job_id, job in jobs.items()
            if (job.error is not None and job.error.code in LOST)
            or (job.state is JobState.CANCELLED and job_id not in self.unwanted)
        ]
        result.twice = [job_id for job_id, job in jobs.items() if site.books.ends_reported(job_id) != [job.state.value]]
        hooked = {job_id for job_id, job in jobs.items() if job.options.webhook_url}
        with contextlib.suppress(AssertionError):
            site.until(lambda: self._tend() or hooked <= self.receiver.received.keys(), PATIENCE)
        result.unreported = sorted(hooked - self.receiver.received.keys())
        result.repeated = sum(self.receiver.received.values()) - len(self.receiver.received)
        with contextlib.suppress(AssertionError):
            site.until(lambda: self._tend() or not site.books.leftovers(self.kept), PATIENCE)
        result.leftovers = site.books.leftovers(self.kept)

    def _tend(self) -> None:
        self._look()

    # What can happen.

    def arm(self, point: str, what: str | float, *, everywhere: bool = False) -> None:
        """Let something go wrong inside of one worker, or of all."""
        chosen = self.controls if everywhere else [self.random.choice(self.controls)]
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as sender:
            for control in chosen:
                with contextlib.suppress(OSError):  # It is just being started.
                    sender.sendto(json.dumps({"point": point, "what": what}).encode(), str(control))

    def one_worker(self) -> Process:
        """Any of the workers."""
        return self.random.choice(self.site.workers)

    @contextlib.contextmanager
    def suspended(self, pid: int | None) -> Iterator[None]:
        """Let a process sleep for the block, if it lives."""
        if pid is None:
            yield
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def suspend_worker(self) -> None:
        """Longer than a lease: it wakes as a zombie, while others have its jobs."""
        pid = self.one_worker().pid
        with self.suspended(pid):
            time.sleep(1.5 * SETTINGS["lease_seconds"])

    def suspend_valkey(self) -> None:
        """It does not answer for a while."""
        with self.suspended(self.site.valkey.pid):
            time.sleep(self.random.uniform(0.2, 2.0))

    def restart_valkey(self) -> None:
        """kill -9, and a start from the journal."""
        self.site.valkey.kill()
        self.site.valkey.start()

    def cut_connections(self, kind: str) -> None:
        """Every connection of this kind but the harness's own breaks."""
        self.redis.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")

    def break_blobs(self) -> None:
        """The folder is no folder for a moment."""
        blobs = self.site.services.blobs.root  # type: ignore[attr-defined]  # It is the folder store.
        away = blobs.with_name("blobs-away")
        blobs.rename(away)
        blobs.write_text("This is no folder.")
        time.sleep(self.random.uniform(0.1, 1.0))
        blobs.unlink()
        away.rename(blobs)

    def ring_again(self) -> None:
        """The same message ten times."""
        for job_id in list(self.open)[:1]:
            job = self.site.services.store.get(job_id)
            for _ in range(10):
                self.site.services.dispatcher.wake(job)

    def cancel(self) -> None:
        """Somebody changes his mind, twice."""
        for job_id in list(self.open)[:1]:
            self.unwanted.add(job_id)
            for _ in range(2):
                self.site.services.store.cancel(job_id)

    def delete(self) -> None:
        """Somebody wants to be forgotten, while his job is open."""
        for job_id in list(self.open)[:1]:
            self.site.services.retention.erase(job_id)
            del self.open[job_id]
            self.kept.discard(job_id)
            self.site.jobs = [job for job in self.site.jobs if job.id != job_id]
            self.result.deleted += 1


def _signalled(number: int) -> Callable[[Storm], None]:
    def act(storm: Storm) -> None:
        with contextlib.suppress(ProcessLookupError):
            storm.one_worker().signal(number)

    return act


FAULTS: Final[dict[str, tuple[float, Callable[[Storm], None]]]] = {
    "worker: kill -9": (2, _signalled(signal.SIGKILL)),
    "worker: told to end": (1, _signalled(signal.SIGTERM)),
    "worker: sleeps past its lease": (2, Storm.suspend_worker),
    "API: kill -9": (0.5, lambda storm: storm.api.kill()),
    "Redis: kill -9 and restart": (2, Storm.restart_valkey),
    "Redis: does not answer for up to 2 s": (4, Storm.suspend_valkey),
    "Redis: connections cut": (8, lambda storm: storm.cut_connections("normal")),
    "Redis: subscriptions cut": (3, lambda storm: storm.cut_connections("pubsub")),
    "device: lost": (1.5, lambda storm: storm.arm("step", "device")),
    "device: a step raises": (8, lambda storm: storm.arm("step", "unexpected")),
    "device: a step takes 2 s": (6, lambda storm: storm.arm("step", 2.0)),
    "blobs: gone for up to 1 s": (5, Storm.break_blobs),
    "blobs: a write is refused": (7, lambda storm: storm.arm("put", "blobs")),
    "blobs: a read is refused": (6, lambda storm: storm.arm("get", "blobs")),
    "blobs: an erasure raises": (5, lambda storm: storm.arm("delete_folder", "unexpected", everywhere=True)),
    "thread: heartbeat raises": (8, lambda storm: storm.arm("heartbeat", "unexpected")),
    "thread: claim raises": (6, lambda storm: storm.arm("claim", "unexpected")),
    "thread: writing an end raises": (6, lambda storm: storm.arm("succeed", "unexpected")),
    "thread: store away for an end": (6, lambda storm: storm.arm("succeed", "store")),
    "thread: report raises": (5, lambda storm: storm.arm("report_worker", "unexpected")),
    "thread: reaper's repairs raise": (5, lambda storm: storm.arm("requeue_expired", "unexpected", everywhere=True)),
    "thread: reaper's wake-ups raise": (5, lambda storm: storm.arm("due_wake_ups", "unexpected", everywhere=True)),
    "thread: sweep raises": (5, lambda storm: storm.arm("due_retention", "unexpected", everywhere=True)),
    "client: cancels": (5, Storm.cancel),
    "client: deletes": (5, Storm.delete),
    "queue: a message ten times": (5, Storm.ring_again),
}
"""What is drawn from: how often, relative to the others, and what happens."""
