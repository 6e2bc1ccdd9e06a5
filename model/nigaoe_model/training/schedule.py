"""When a run logs, saves, scores and draws samples, and how it is asked to stop."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass(frozen=True, slots=True)
class Cadence:
    """How often a run logs, saves, scores and draws samples, in images that it has seen.

    Attributes:
        total_images: After which the run ends.
        batch: Images of a step.
        log_images: From one line of the log to the next.
        save_seconds: Seconds from one saved state to the next.
        score_images: From one score to the next; 0: no score on the way.
        score_share: Most of the time that scores on the way may take; one that is due too soon is left out.
        score_at_end: Score whenever the run ends, also when it was asked to stop.
        keep_best: Ship the network with the best score, too.
        sample_images: From one sheet of samples to the next; 0: none.
    """

    total_images: int
    batch: int
    log_images: int
    save_seconds: float
    score_images: int
    score_share: float = 1.0
    score_at_end: bool = False
    keep_best: bool = True
    sample_images: int = 0


class Schedule:
    """Says what is due after each step of one process.

    Args:
        cadence: Of the run.
        images_seen: Where the run begins or goes on.
    """

    def __init__(self, cadence: Cadence, images_seen: int) -> None:
        self.cadence = cadence
        self._logged_images = images_seen
        self._saved_at = self._logged_at = self._scored_at = time.monotonic()
        self._score_seconds = 0.0

    def crossed(self, images_seen: int, every: int) -> bool:
        """Whether the step that ended at ``images_seen`` crossed a multiple of ``every`` images; never for 0."""
        return bool(every) and images_seen // every > (images_seen - self.cadence.batch) // every

    def images_per_second(self, images_seen: int) -> float:
        """Return the pace since the last call."""
        now = time.monotonic()
        pace = (images_seen - self._logged_images) / max(now - self._logged_at, 1e-9)
        self._logged_at, self._logged_images = now, images_seen
        return pace

    def scoring_is_affordable(self) -> bool:
        """Whether another score like the last one would keep to the share of the time since then."""
        share, since = self.cadence.score_share, time.monotonic() - self._scored_at
        return self._score_seconds * (1.0 - share) <= share * since

    def scored(self, seconds: float) -> None:
        """Take note of a score that took ``seconds``."""
        self._scored_at, self._score_seconds = time.monotonic(), seconds

    def saving_is_due(self) -> bool:
        """Whether the state on disk is ``save_seconds`` old."""
        return time.monotonic() - self._saved_at >= self.cadence.save_seconds

    def saved(self) -> None:
        """Take note of a state on disk."""
        self._saved_at = time.monotonic()


@contextmanager
def stop_signals(ask: Callable[[], None]) -> Iterator[None]:
    """Turn SIGTERM and SIGINT into a request to stop after the present step."""

    def handler(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a signal handler
        ask()

    before = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
