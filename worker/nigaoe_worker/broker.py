"""Connections to the message broker beside Celery's own: the consumer of restyles, and the length of the queue.

Restyles and instant portraits have a queue and threads of their own, so that they wait behind no search: all of
Celery's threads may be taken by conversions, which wait for admission or search for minutes, while a user waits for
half a second's drawing. Each thread here takes one message at a time over a connection of its own and acknowledges it
when the job has ended or was handed back, as Celery's do (`nigaoe_worker.app`).
"""

import threading
from collections.abc import Callable
from typing import Any, Final

import structlog
from celery import Celery
from kombu import Connection, Exchange, Message, Queue
from kombu.exceptions import OperationalError

from nigaoe_core.guarded_loop import GuardedThread, UnexpectedErrors
from nigaoe_core.jobs import Seconds
from nigaoe_core.queue import QUEUE_NAME, RESTYLE_QUEUE

WHERE: Final = "restyle_consumer"
POLL_SECONDS: Final[Seconds] = 1.0
"""How soon a thread notices that it shall end."""
RETRY_SECONDS: Final[Seconds] = 1.0

_log = structlog.get_logger(__name__)


class RestyleConsumer:
    """Threads that consume the queue of restyles and instant portraits.

    Args:
        connect: Makes a connection to the broker.
        handle: Runs a job to its end: its id and attempt.
        threads: How many jobs at once.
        errors: Where unexpected errors are recorded.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        handle: Callable[[str, int], None],
        threads: int,
        errors: UnexpectedErrors,
    ) -> None:
        self._connect = connect
        self._handle = handle
        self._errors = errors
        self._closing = threading.Event()
        self._threads = [GuardedThread(WHERE, self._run, errors) for _ in range(threads)]

    def start(self) -> None:
        """Begin to take messages."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Take no further message; what runs goes on."""
        self._closing.set()

    def close(self) -> None:
        """Take no further message, and wait until what runs has ended."""
        self.stop()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._closing.is_set():
            with self._connect() as connection:
                try:
                    self._consume(connection)
                except broker_errors(connection) as error:
                    _log.warning("restyles.broker_lost", reason=type(error).__name__)
                    self._closing.wait(RETRY_SECONDS)

    def _consume(self, connection: Connection) -> None:
        queue = Queue(RESTYLE_QUEUE, Exchange(RESTYLE_QUEUE), routing_key=RESTYLE_QUEUE)
        with connection.Consumer(queue, callbacks=[self._take], accept=["json"], prefetch_count=1):
            while not self._closing.is_set():
                try:
                    connection.drain_events(timeout=POLL_SECONDS)
                except TimeoutError:
                    continue

    def _take(self, body: Any, message: Message) -> None:
        """Handle one message; whatever is wrong with it must not block those behind it."""
        with self._errors.contained(WHERE):
            _, arguments, _ = body  # Celery's protocol 2: positional arguments, keyword arguments, what comes after.
            self._handle(arguments["job_id"], arguments["attempt"])
        message.ack()


class QueueProbe:
    """Counts the messages in the queue, over a connection of its own: it works while the consumer's is half-open.

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
        try:
            declared: Any = Queue(QUEUE_NAME)(self._connection.default_channel).queue_declare()
        except broker_errors(self._connection):
            self._connection.release()
            self._connection = None
            return None
        return int(declared.message_count)


def broker_errors(connection: Connection) -> tuple[type[BaseException], ...]:
    """Exceptions that mean that the broker is away."""
    return (*connection.connection_errors, *connection.channel_errors, OperationalError)
