"""Noticing a worker that lives but is of no use.

It fetches nothing ("catatonic" after a lost connection: celery #8030, #8990), or its device hangs.
"""

import time
from collections.abc import Callable
from typing import Final

from nigaoe_core.jobs import Seconds

PATIENCE: Final[Seconds] = 30.0
LONGEST_LOOK: Final[Seconds] = 10.0
"""Above the time between two beats of a pulse that is doing well."""


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


class DeviceWatchdog:
    """Says when the device has been at the same thing for too long.

    It counts the time between its own looks, and of each at most `LONGEST_LOOK`: a process that was suspended as a
    whole (a laptop's lid, a debugger) finds its device where it left it, and that is no fault.

    Args:
        limit: How long one step, admission or errand may take; 0: as long as it likes.
        clock: Seconds that only grow.
    """

    def __init__(self, limit: Seconds, clock: Callable[[], Seconds] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._activity: int | None = None
        self._looked_at = clock()
        self._seconds = 0.0

    def is_hung(self, activity: int | None) -> bool:
        """Take one look.

        Args:
            activity: A number that changes with whatever the device begins; None: it does nothing that is watched.
        """
        now = self._clock()
        since, self._looked_at = min(now - self._looked_at, LONGEST_LOOK), now
        is_same = activity is not None and activity == self._activity
        self._activity = activity
        self._seconds = self._seconds + since if is_same else 0.0
        return bool(self._limit) and self._seconds >= self._limit
