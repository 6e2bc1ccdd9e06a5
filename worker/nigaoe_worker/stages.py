"""The stages of one job, timed and reported: preparing, inverting, decoding, storing."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from nigaoe_core.jobs import Progress, Seconds
from nigaoe_core.telemetry import span
from nigaoe_worker.leases import ClaimedJob


class Stages:
    """A stopwatch that also reports the stage.

    Args:
        claimed: The job.

    Attributes:
        timings: Seconds by stage.
    """

    def __init__(self, claimed: ClaimedJob) -> None:
        self.timings: dict[str, Seconds] = {}
        self._claimed = claimed

    @contextmanager
    def stage(self, name: str, progress: Progress | None = None) -> Iterator[None]:
        """Time a block; the job may be stopped before it begins.

        Args:
            name: What is done.
            progress: What is reported; None: nothing.

        Raises:
            JobStopped: The job must stop.
        """
        self._claimed.check()
        if progress is not None:
            self._claimed.update(progress=progress)
        start = time.perf_counter()
        with span(f"job.{name}"):
            try:
                yield
            finally:
                self.timings[name] = round(time.perf_counter() - start, 4)
