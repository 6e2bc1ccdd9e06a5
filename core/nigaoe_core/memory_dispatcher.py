"""Ringing in this process's memory: what was rung can be read back."""

import queue

from typing_extensions import override

from nigaoe_core.queue import Dispatcher
from nigaoe_core.store.contract import Doorbell


class MemoryDispatcher(Dispatcher):
    """`Dispatcher` whose doorbells wait in ``rung`` until somebody takes them."""

    def __init__(self) -> None:
        self.rung: queue.SimpleQueue[Doorbell] = queue.SimpleQueue()

    @override
    def ring(self, doorbell: Doorbell) -> None:
        self.rung.put(doorbell)

    @override
    def close(self) -> None:
        """Leave what was rung where it is."""
