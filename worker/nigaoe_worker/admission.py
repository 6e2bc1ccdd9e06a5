"""The gate between fetched messages and the device: how many conversions one worker holds at a time, and which is next.

A fetched message is not a claimed job. Its thread waits here, the job still queued in the store, until there is room;
so the queue's length stays honest, another worker may take the job, and a drain has nothing to give back.

A restyle takes half a second and needs no slot, so it waits for nobody. A job to which a worker or a device was lost
before is suspect: it has the whole worker for itself, from search to drawing, so that it can harm nobody else again.
"""

import heapq
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum

from nigaoe_core.jobs import Job, JobKind


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
    is_alone: bool = field(compare=False)
    needs_room: bool = field(compare=False)

    @classmethod
    def of(cls, job: Job, number: int) -> "_Place":
        return cls(
            -job.options.priority,
            job.queued_at,
            number,
            (job.id, job.attempt),
            is_alone=job.is_suspect,
            needs_room=job.kind is not JobKind.RESTYLE,
        )


class Gate:
    """Lets jobs in by priority, then age.

    Args:
        room: Conversions inside at the same time.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._inside: list[_Place] = []
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
        place = _Place.of(job, next(self._numbers))
        entry = self._enter(place)
        try:
            yield entry
        finally:
            if entry is Entry.ADMITTED:
                self._leave(place)

    def _enter(self, place: _Place) -> Entry:
        with self._moved:
            if any(waiting.name == place.name for waiting in self._line):
                return Entry.TWICE
            heapq.heappush(self._line, place)
            try:
                self._moved.wait_for(lambda: self._closed or self._has_room(place))
            finally:
                self._line.remove(place)
                heapq.heapify(self._line)
                self._moved.notify_all()
            if self._closed:
                return Entry.CLOSED
            self._inside.append(place)
            return Entry.ADMITTED

    def _has_room(self, place: _Place) -> bool:
        if any(other.is_alone for other in self._inside):
            return False
        is_next = self._line[0] is place
        if place.is_alone:
            return is_next and not self._inside  # Those behind it wait, so that it will not wait for ever.
        if not place.needs_room:
            return True
        return is_next and sum(other.needs_room for other in self._inside) < self._room

    def _leave(self, place: _Place) -> None:
        with self._moved:
            self._inside.remove(place)
            self._moved.notify_all()
