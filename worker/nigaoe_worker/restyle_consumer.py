"""Answers the doorbells of restyles: a queue and threads of their own, so that they wait behind no conversion.

All of Celery's threads may be held by conversions, which wait at the gate or search for minutes; a restyle is half a
second's drawing that somebody watches. Each thread here takes one message at a time over a connection of its own and
acknowledges it when the job has ended or was given back, as Celery's do (`nigaoe_worker.app`).
"""

import threading
from collections.abc import Callable
from typing import Any, Final

import structlog
from kombu import Connection, Exchange, Message, Queue
from kombu.exceptions import OperationalError

from nigaoe_core.guarded_loop import GuardedThread, UnexpectedErrors
from nigaoe_core.jobs import Seconds
from nigaoe_core.queue import RESTYLE_QUEUE

WHERE: Final = "restyle_consumer"
LOOK_SECONDS: Final[Seconds] = 1.0
"""How soon a thread notices that it shall end."""
RETRY_SECONDS: Final[Seconds] = 1.0

_log = structlog.get_logger(__name__)


class RestyleConsumer:
    """Threads that take restyles.

    Args:
        connect: Makes a connection to the broker.
        answer: Sees a job through: its id and attempt.
        threads: How many restyles at once.
        errors: Where unexpected errors are recorded.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        answer: Callable[[str, int], None],
        threads: int,
        errors: UnexpectedErrors,
    ) -> None:
        self._connect = connect
        self._answer = answer
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
                errors: tuple[type[BaseException], ...] = (
                    *connection.connection_errors,
                    *connection.channel_errors,
                    OperationalError,
                )
                try:
                    self._consume(connection)
                except errors as error:
                    _log.warning("restyles.broker_lost", reason=type(error).__name__)
                    self._closing.wait(RETRY_SECONDS)

    def _consume(self, connection: Connection) -> None:
        queue = Queue(RESTYLE_QUEUE, Exchange(RESTYLE_QUEUE), routing_key=RESTYLE_QUEUE)
        with connection.Consumer(queue, callbacks=[self._take], accept=["json"], prefetch_count=1):
            while not self._closing.is_set():
                try:
                    connection.drain_events(timeout=LOOK_SECONDS)
                except TimeoutError:
                    continue

    def _take(self, body: Any, message: Message) -> None:
        """Answer one message; whatever is wrong with it must not hold up those behind it."""
        with self._errors.contained(WHERE):
            _, doorbell, _ = body  # Celery's protocol 2: positional arguments, keyword arguments, what comes after.
            self._answer(doorbell["job_id"], doorbell["attempt"])
        message.ack()
