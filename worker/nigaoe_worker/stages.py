"""The stages of one job, timed and told: preparing, inverting, decoding, storing."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from nigaoe_core.jobs import Progress, Seconds
from nigaoe_core.telemetry import span
from nigaoe_worker.claimed_job import Hold


class Stages:
    """A stopwatch that also leaves news of the stage.

    Args:
        hold: The held job.

    Attributes:
        timings: Seconds by stage.
    """

    def __init__(self, hold: Hold) -> None:
        self.timings: dict[str, Seconds] = {}
        self._hold = hold

    @contextmanager
    def stage(self, name: str, progress: Progress | None = None) -> Iterator[None]:
        """Time a block; the job may be stopped before it begins.

        Args:
            name: What is done.
            progress: What watchers are told; None: nothing.

        Raises:
            JobStopped: The job must stop.
        """
        self._hold.check()
        if progress is not None:
            self._hold.tell(progress=progress)
        start = time.perf_counter()
        with span(f"job.{name}"):
            try:
                yield
            finally:
                self.timings[name] = round(time.perf_counter() - start, 4)
