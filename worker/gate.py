"""The gate between fetched messages and the device: how many conversions one worker holds at a time, and which is next.

A fetched message is not a claimed job. Its thread waits here, the job still queued in the store, until there is room;
so the queue's length stays honest, another worker may take the job, and a drain has nothing to give back.
"""

import heapq
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum

from core.jobs import Job


class Entry(Enum):
    """How a wait at the gate ended."""

    ADMITTED = "admitted"
    TWICE = "twice"  # The same attempt of the same job waits here already: its message came twice.
    CLOSED = "closed"  # This worker takes nothing more.


@dataclass(order=True)
class _Place:
    urgency: int
    queued_at: float
    number: int
    name: tuple[str, int] = field(compare=False)


class Gate:
    """Lets jobs in by priority, then age.

    Args:
        room: Jobs inside at the same time.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._inside = 0
        self._closed = False
        self._line: list[_Place] = []
        self._numbers = itertools.count()
        self._moved = threading.Condition()

    @property
    def waiting(self) -> int:
        """How many wait outside."""
        with self._moved:
            return len(self._line)

    @property
    def is_closed(self) -> bool:
        """Whether nobody is let in any more."""
        return self._closed

    def close(self) -> None:
        """Turn away all who wait and all who come; those inside may finish."""
        with self._moved:
            self._closed = True
            self._moved.notify_all()

    @contextmanager
    def passing(self, job: Job) -> Iterator[Entry]:
        """Wait for room, then stay inside for the block; a block that was not admitted does not count."""
        entry = self._enter(job)
        try:
            yield entry
        finally:
            if entry is Entry.ADMITTED:
                self._leave()

    def _enter(self, job: Job) -> Entry:
        place = _Place(-job.options.priority, job.queued_at, next(self._numbers), (job.id, job.attempt))
        with self._moved:
            if any(waiting.name == place.name for waiting in self._line):
                return Entry.TWICE
            heapq.heappush(self._line, place)
            self._moved.wait_for(lambda: self._closed or (self._inside < self._room and self._line[0] is place))
            self._line.remove(place)
            heapq.heapify(self._line)
            if self._closed:
                return Entry.CLOSED
            self._inside += 1
            self._moved.notify_all()
            return Entry.ADMITTED

    def _leave(self) -> None:
        with self._moved:
            self._inside -= 1
            self._moved.notify_all()
