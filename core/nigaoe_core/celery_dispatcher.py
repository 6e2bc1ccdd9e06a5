"""Ringing through Celery: a publisher that knows the task's name and none of its code."""

from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from nigaoe_core.errors import StoreUnavailable
from nigaoe_core.jobs import Seconds
from nigaoe_core.queue import (
    TASK_NAME,
    Dispatcher,
    broker_url,
    message_of,
    queue_of,
    queue_priority,
    transport_options,
)
from nigaoe_core.store.contract import Doorbell

if TYPE_CHECKING:
    from celery import Celery

_RETRY: Final = {"max_retries": 3, "interval_start": 0.0, "interval_step": 0.1, "interval_max": 0.3}


class CeleryDispatcher(Dispatcher):
    """`Dispatcher` over Celery's Redis transport; safe to share between threads.

    Args:
        redis_url: In redis-py's form.
        deadline_seconds: The hard limit of a job.
    """

    def __init__(self, redis_url: str, *, deadline_seconds: Seconds) -> None:
        self._app = _app(broker_url(redis_url), deadline_seconds)

    @override
    def ring(self, doorbell: Doorbell) -> None:
        from kombu.exceptions import OperationalError

        try:
            self._app.send_task(
                TASK_NAME,
                kwargs=message_of(doorbell),
                queue=queue_of(doorbell),
                priority=queue_priority(doorbell.priority),
                retry=True,
                retry_policy=_RETRY,
            )
        except OperationalError as error:
            raise StoreUnavailable("The queue cannot be reached; the job is stored and waits.") from error

    @override
    def close(self) -> None:
        self._app.close()


def _app(broker: str, deadline_seconds: Seconds) -> "Celery":
    # Here, so that importing the module does not cost Celery's second.
    from celery import Celery

    app = Celery("nigaoe-dispatcher", broker=broker, set_as_current=False)
    options: dict[str, Any] = transport_options(deadline_seconds)
    app.conf.update(
        broker_transport_options=options,
        broker_connection_timeout=2,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
    )
    return app
