"""How many messages wait in the queue itself: what a worker that fetches nothing would have to explain."""

from typing import Any

from celery import Celery
from kombu import Connection, Queue
from kombu.exceptions import OperationalError

from nigaoe_core.queue import QUEUE_NAME


class QueueProbe:
    """Counts over a connection of its own, so that it works while the consumer's is half-open.

    Args:
        app: Knows the broker.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._connection: Connection | None = None

    def count(self) -> int | None:
        """Count the waiting messages; None: the broker does not answer. From one thread only."""
        if self._connection is None:
            self._connection = self._app.connection_for_read()
        errors: tuple[type[BaseException], ...] = (
            *self._connection.connection_errors,
            *self._connection.channel_errors,
            OperationalError,
        )
        try:
            declared: Any = Queue(QUEUE_NAME)(self._connection.default_channel).queue_declare()
        except errors:
            self._connection.release()
            self._connection = None
            return None
        return int(declared.message_count)
