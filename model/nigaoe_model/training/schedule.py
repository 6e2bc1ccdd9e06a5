"""When a run logs, shows, examines and saves."""

import time


class Calendar:
    """Counts images and seconds for one run.

    Args:
        images_seen: Where the run begins or goes on.
        batch: Images of a step.
        save_seconds: Seconds between two states on disk.
    """

    def __init__(self, images_seen: int, *, batch: int, save_seconds: float) -> None:
        self._batch, self._save_seconds = batch, save_seconds
        self._logged_images = images_seen
        self._saved_at = self._logged_at = self._scored_at = time.monotonic()
        self._score_seconds = 0.0

    def crossed(self, images_seen: int, every: int) -> bool:
        """Whether the step that ended at ``images_seen`` crossed a multiple of ``every`` images; never for 0."""
        return bool(every) and images_seen // every > (images_seen - self._batch) // every

    def images_per_second(self, images_seen: int) -> float:
        """Return the pace since the last call."""
        now = time.monotonic()
        pace = (images_seen - self._logged_images) / max(now - self._logged_at, 1e-9)
        self._logged_at, self._logged_images = now, images_seen
        return pace

    def scoring_is_affordable(self, share: float) -> bool:
        """Whether another score like the last one would leave scoring at most ``share`` of the time since then."""
        since = time.monotonic() - self._scored_at
        return self._score_seconds * (1.0 - share) <= share * since

    def scored(self, seconds: float) -> None:
        """Take note of a score that took ``seconds``."""
        self._scored_at, self._score_seconds = time.monotonic(), seconds

    def saving_is_due(self) -> bool:
        """Whether the state on disk is ``save_seconds`` old."""
        return time.monotonic() - self._saved_at >= self._save_seconds

    def saved(self) -> None:
        """Take note of a state on disk."""
        self._saved_at = time.monotonic()
