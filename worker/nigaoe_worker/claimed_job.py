"""One claimed job while this worker runs it: shared by the task's thread, the engine's and the lease keeper's."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from nigaoe_core.jobs import Progress, Seconds
from nigaoe_core.store.contract import Claim


class StopCause(StrEnum):
    """Why a held job must stop before it is done."""

    CANCELLED = "cancelled"
    EXPIRED = "expired"
    LEASE_LOST = "lease_lost"
    DRAINED = "drained"


class JobStopped(Exception):
    """Leaves a job's work from inside; caught where the job ends, never shown to anyone."""

    def __init__(self, cause: StopCause) -> None:
        """Remember the cause."""
        super().__init__(cause.value)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Preview:
    """A picture on its way to those who watch.

    Attributes:
        step: The step that drew it.
        encode: Makes the JPEG; called in the lease keeper's thread, and only if somebody watches.
        encode_drawing: Makes the JPEG of what the style makes of it; None: it was not drawn.
    """

    step: int
    encode: Callable[[], bytes]
    encode_drawing: Callable[[], bytes] | None = None


class Hold:
    """A claim with its clock, its news and the reason to stop, should there be one.

    Args:
        claim: What the job store gave.
        deadline: When the job expires, in the clock's time.
        on_news: Called after the first news since they were last taken, and after a stop.
        clock: Seconds that only grow.

    Attributes:
        is_followed: Whether somebody watches, as far as the lease keeper knows.
    """

    def __init__(
        self,
        claim: Claim,
        deadline: Seconds,
        on_news: Callable[[], None] = lambda: None,
        clock: Callable[[], Seconds] = time.monotonic,
    ) -> None:
        self.claim = claim
        self.deadline = deadline
        self.is_followed = False
        self._on_news = on_news
        self._clock = clock
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._cause: StopCause | None = None
        self._progress: Progress | None = None
        self._preview: Preview | None = None

    @property
    def job_id(self) -> str:
        """The job's id."""
        return self.claim.job_id

    @property
    def stop_cause(self) -> StopCause | None:
        """Why the job must stop; None: go on."""
        with self._lock:
            if self._cause is None and self._clock() >= self.deadline:
                self._cause = StopCause.EXPIRED
            return self._cause

    @property
    def is_stopped(self) -> bool:
        """Whether the job must stop."""
        return self.stop_cause is not None

    def stop(self, cause: StopCause) -> None:
        """Ask for a stop. The first cause holds, except that a lost lease overrules: then nothing may be written."""
        with self._lock:
            if self._cause is None or cause is StopCause.LEASE_LOST:
                self._cause = cause
        self._stopped.set()
        self._on_news()

    def check(self) -> None:
        """Leave if the job must stop; call it between two pieces of work.

        Raises:
            JobStopped: It must.
        """
        cause = self.stop_cause
        if cause is not None:
            raise JobStopped(cause)

    def wait(self, seconds: Seconds) -> None:
        """Do nothing for a while, or until somebody asks for a stop."""
        self._stopped.wait(seconds)

    def tell(self, *, progress: Progress | None = None, preview: Preview | None = None) -> None:
        """Leave news to be sent soon; newer ones replace those that were not sent yet. Never blocks."""
        with self._lock:
            is_first = (progress is not None and self._progress is None) or (
                preview is not None and self._preview is None
            )
            self._progress = progress or self._progress
            self._preview = preview or self._preview
        if is_first:
            self._on_news()

    @property
    def has_progress(self) -> bool:
        """Whether progress waits to be sent."""
        return self._progress is not None

    @property
    def has_preview(self) -> bool:
        """Whether a preview waits to be sent."""
        return self._preview is not None

    def take_progress(self) -> Progress | None:
        """Take the progress that was left."""
        with self._lock:
            progress, self._progress = self._progress, None
            return progress

    def take_preview(self) -> Preview | None:
        """Take the preview that was left."""
        with self._lock:
            preview, self._preview = self._preview, None
            return preview
