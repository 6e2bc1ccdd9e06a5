"""Admission control between fetched messages and the device: how many conversions one worker runs, and which is next.

A fetched message is not a claimed job. Its thread waits here, the job still queued in the store, until there is
capacity; so the queue's length stays honest, another worker may take the job, and a drain has nothing to hand back.

A restyle or an instant portrait takes half a second and needs no slot, so it never waits. A job during which a worker
or a device was lost before is suspect: it gets the whole worker to itself, from search to drawing, so that it cannot
harm other jobs again.
"""

import heapq
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum

from nigaoe_core.jobs import Job


class Decision(Enum):
    """How a wait for admission ended."""

    ADMITTED = "admitted"
    DUPLICATE = "duplicate"  # The same attempt of the same job waits here already: its message came twice.
    CLOSED = "closed"  # This worker takes nothing more.


@dataclass(order=True)
class _Entrant:
    urgency: int
    queued_at: float
    number: int
    name: tuple[str, int] = field(compare=False)
    is_alone: bool = field(compare=False)
    needs_capacity: bool = field(compare=False)

    @classmethod
    def of(cls, job: Job, number: int) -> "_Entrant":
        return cls(
            -job.options.priority,
            job.queued_at,
            number,
            (job.id, job.attempt),
            is_alone=job.is_suspect,
            needs_capacity=job.is_searched,
        )


class Admission:
    """Admits jobs by priority, then age.

    Args:
        capacity: Conversions that run at the same time.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._running: list[_Entrant] = []
        self._closed = False
        self._waiting: list[_Entrant] = []
        self._numbers = itertools.count()
        self._moved = threading.Condition()

    @property
    def waiting(self) -> int:
        """How many jobs wait for admission."""
        with self._moved:
            return len(self._waiting)

    @property
    def is_closed(self) -> bool:
        """Whether no job is admitted any more."""
        return self._closed

    def close(self) -> None:
        """Turn away all jobs that wait or come; those that run may finish."""
        with self._moved:
            self._closed = True
            self._moved.notify_all()

    @contextmanager
    def admit(self, job: Job) -> Iterator[Decision]:
        """Wait for capacity and take it for the block; a block that was not admitted takes none."""
        entrant = _Entrant.of(job, next(self._numbers))
        decision = self._enter(entrant)
        try:
            yield decision
        finally:
            if decision is Decision.ADMITTED:
                self._leave(entrant)

    def _enter(self, entrant: _Entrant) -> Decision:
        with self._moved:
            if any(waiting.name == entrant.name for waiting in self._waiting):
                return Decision.DUPLICATE
            heapq.heappush(self._waiting, entrant)
            try:
                self._moved.wait_for(lambda: self._closed or self._may_enter(entrant))
            finally:
                self._waiting.remove(entrant)
                heapq.heapify(self._waiting)
                self._moved.notify_all()
            if self._closed:
                return Decision.CLOSED
            self._running.append(entrant)
            return Decision.ADMITTED

    def _may_enter(self, entrant: _Entrant) -> bool:
        if any(other.is_alone for other in self._running):
            return False
        is_next = self._waiting[0] is entrant
        if entrant.is_alone:
            return is_next and not self._running  # Those behind it wait, so that it will not wait for ever.
        if not entrant.needs_capacity:
            return True
        return is_next and sum(other.needs_capacity for other in self._running) < self._capacity

    def _leave(self, entrant: _Entrant) -> None:
        with self._moved:
            self._running.remove(entrant)
            self._moved.notify_all()
