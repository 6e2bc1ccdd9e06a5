"""The queues of wake-up messages: their names, the task's name, the message, and how the API sends it through Celery.

The message is ``{"job_id": ..., "attempt": ...}`` as keyword arguments of one task with an explicit name, so that API
and worker share no module. It only wakes a worker up: losing it is repaired by the reaper, getting it twice is refused
by `JobStore.claim`.
"""

from typing import TYPE_CHECKING, Any, Final

from nigaoe_core.errors import StoreUnavailable
from nigaoe_core.jobs import Job, Seconds

if TYPE_CHECKING:
    from celery import Celery

QUEUE_NAME: Final = "nigaoe"
RESTYLE_QUEUE: Final = "nigaoe-restyle"
"""Of its own, with threads of its own in every worker: for what takes half a second while somebody watches, restyles
and instant portraits."""
TASK_NAME: Final = "nigaoe.run_job"
PRIORITY_STEPS: Final = (0, 2, 4, 6, 8)

_RETRY: Final = {"max_retries": 3, "interval_start": 0.0, "interval_step": 0.1, "interval_max": 0.3}


class Dispatcher:
    """Sender of wake-up messages: knows the task's name and none of its code. Safe to share between threads.

    Args:
        redis_url: In redis-py's form.
        deadline_seconds: The hard limit of a job.
    """

    def __init__(self, redis_url: str, *, deadline_seconds: Seconds) -> None:
        self._app = _app(broker_url(redis_url), deadline_seconds)

    def wake(self, job: Job) -> None:
        """Tell the workers of a queued job.

        Raises:
            StoreUnavailable: The queue does not answer. The job is stored already and the reaper sends the message
                later, so a caller logs this and goes on.
        """
        from kombu.exceptions import OperationalError

        try:
            self._app.send_task(
                TASK_NAME,
                kwargs=message_of(job),
                queue=queue_of(job),
                priority=queue_priority(job.options.priority),
                retry=True,
                retry_policy=_RETRY,
            )
        except OperationalError as error:
            raise StoreUnavailable("The queue cannot be reached; the job is stored and waits.") from error

    def close(self) -> None:
        """Close the connections."""
        self._app.close()


def _app(broker: str, deadline_seconds: Seconds) -> "Celery":
    # Here, so that importing the module does not cost Celery's second.
    from celery import Celery

    app = Celery("nigaoe-dispatcher", broker=broker, set_as_current=False)
    app.conf.update(
        broker_transport_options=transport_options(deadline_seconds),
        broker_connection_timeout=2,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
    )
    return app


def queue_of(job: Job) -> str:
    """The queue in which a job's wake-up messages wait."""
    return QUEUE_NAME if job.is_searched else RESTYLE_QUEUE


def message_of(job: Job) -> dict[str, Any]:
    """The message's JSON: the task's keyword arguments."""
    return {"job_id": job.id, "attempt": job.attempt}


def queue_priority(priority: int) -> int:
    """Kombu's Redis transport runs priority 0 first; a job's priority 9 is the most urgent."""
    return 9 - priority


def broker_url(redis_url: str) -> str:
    """Translate redis-py's URL into kombu's: ``unix:///path?db=1`` is ``redis+socket:///path?virtual_host=1`` there."""
    if not redis_url.startswith("unix://"):
        return redis_url
    address, _, query = redis_url.removeprefix("unix://").partition("?")
    fields = [field.replace("db=", "virtual_host=", 1) for field in query.split("&") if field]
    return f"redis+socket://{address}" + ("?" + "&".join(fields) if fields else "")


def transport_options(deadline_seconds: float) -> dict[str, Any]:
    """Kombu's options that the sending and the receiving side must agree on.

    Args:
        deadline_seconds: The hard limit of a job.
    """
    return {
        # Longer than any job, or kombu delivers a running job's message again: harmless here, but it costs a thread.
        "visibility_timeout": 3 * deadline_seconds,
        "queue_order_strategy": "priority",
        "priority_steps": list(PRIORITY_STEPS),
        "socket_keepalive": True,
        "health_check_interval": 10,
        "socket_connect_timeout": 5,
        "socket_timeout": 30,
    }
