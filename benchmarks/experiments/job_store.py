"""What the job store costs: operations per second and their latency, on the embedded Valkey.

The embedded server syncs its journal before every answer, so its figures include the disk. Run:
``python benchmarks/experiments/job_store.py [--operations 2000]``.
"""

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.table import Table

from nigaoe.embedded_redis import EmbeddedRedis
from nigaoe_core.jobs import JobOptions, Outcome, Progress, new_job
from nigaoe_core.store.job_records import Claim
from nigaoe_core.store.job_store import JobStore
from nigaoe_core.store.lifecycle import JobPolicy
from nigaoe_core.store.redis_link import RedisLink

T = TypeVar("T")
OPERATIONS = ("submit", "claim", "renew", "progress", "succeed")


@contextmanager
def embedded_store() -> Iterator[JobStore]:
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder)) as server:
        store = JobStore(RedisLink(server.url), JobPolicy())
        yield store
        store.close()


class Journey:
    """One thread that takes jobs through their lives and notes how long each operation takes."""

    def __init__(self, store: JobStore, operations: int) -> None:
        self.store, self.operations = store, operations
        self.seconds: dict[str, list[float]] = {name: [] for name in OPERATIONS}

    def run(self) -> None:
        """Take all jobs through their lives."""
        for _ in range(self.operations):
            draft = new_job(JobOptions())
            job = self.timed("submit", lambda: self.store.submit([draft])).jobs[0]  # noqa: B023 - called at once.
            claim = self.timed("claim", lambda: self.store.claim(job.id, 1, "bench"))  # noqa: B023 - called at once.
            if claim is None:
                raise SystemExit("a fresh job could not be claimed")
            self.work(claim)

    def work(self, claim: Claim) -> None:
        """Do what a worker does with one job."""
        self.timed("renew", lambda: self.store.heartbeat(claim))
        self.timed("progress", lambda: self.store.heartbeat(claim, progress=Progress(step=1, total=100, distance=0.5)))
        self.timed("succeed", lambda: self.store.succeed(claim, Outcome(blobs={"result.png": "key"})))

    def timed(self, name: str, operation: Callable[[], T]) -> T:
        """Run an operation and note its time."""
        began = time.perf_counter()
        answer = operation()
        self.seconds[name].append(time.perf_counter() - began)
        return answer


def measured(store: JobStore, operations: int, threads: int) -> tuple[dict[str, list[float]], float]:
    journeys = [Journey(store, operations // threads) for _ in range(threads)]
    workers = [threading.Thread(target=journey.run) for journey in journeys]
    began = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    wall = time.perf_counter() - began
    return {name: [s for journey in journeys for s in journey.seconds[name]] for name in OPERATIONS}, wall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operations", type=int, default=2000, help="jobs taken through their lives per row")
    operations = parser.parse_args().operations
    table = Table(title=f"{operations} jobs a row; latency in milliseconds (p50 / p99); jobs = whole lives per second")
    for column in ("threads", *OPERATIONS, "calls/s", "jobs/s"):
        table.add_column(column, justify="right", no_wrap=True)
    with embedded_store() as store:
        for threads in (1, 8):
            seconds, wall = measured(store, operations, threads)
            done = len(seconds["submit"])
            cells = [percentiles(seconds[operation]) for operation in OPERATIONS]
            table.add_row(str(threads), *cells, f"{done * len(OPERATIONS) / wall:.0f}", f"{done / wall:.0f}")
    Console(width=150).print(table)


def percentiles(seconds: list[float]) -> str:
    cuts = statistics.quantiles(seconds, n=100)
    return f"{cuts[49] * 1e3:.2f} / {cuts[98] * 1e3:.2f}"


if __name__ == "__main__":
    main()
