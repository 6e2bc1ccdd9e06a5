"""Noticing a worker that lives but fetches nothing ("catatonic" after a lost connection: celery #8030, #8990)."""

import time
from collections.abc import Callable
from typing import Final

from core.jobs import Seconds

PATIENCE: Final[Seconds] = 30.0


class SelfCheck:
    """Says when the process should end, so that a supervisor starts a fresh one.

    Args:
        patience: How long messages may wait for a worker that has nothing to do.
        clock: Seconds that only grow.
    """

    def __init__(self, patience: Seconds = PATIENCE, clock: Callable[[], Seconds] = time.monotonic) -> None:
        self._patience = patience
        self._clock = clock
        self._deaf_since: Seconds | None = None
        self._fetched = 0

    def is_deaf(self, *, messages: int | None, fetched: int, is_busy: bool) -> bool:
        """Take one look.

        Args:
            messages: Messages that wait in the queue; None: Redis does not answer, so nobody could fetch.
            fetched: Messages that this worker has fetched since it started.
            is_busy: Whether it has anything to do.
        """
        if not messages or is_busy or fetched != self._fetched:
            self._fetched = fetched
            self._deaf_since = None
            return False
        if self._deaf_since is None:
            self._deaf_since = self._clock()
        return self._clock() - self._deaf_since >= self._patience
