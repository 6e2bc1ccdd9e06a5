"""The queues: their names, the task's name, the message, and how the API rings it. Knows Celery only when it rings.

The message is ``{"job_id": ..., "attempt": ...}`` as keyword arguments of one task with an explicit name, so that API
and worker share no module. Losing it is repaired by the reaper, getting it twice is refused by `JobLeases.claim`.
"""

from typing import Any, Final, Protocol

from nigaoe_core.jobs import Job, JobKind
from nigaoe_core.store.contract import Doorbell

QUEUE_NAME: Final = "nigaoe"
RESTYLE_QUEUE: Final = "nigaoe-restyle"
"""Of its own, with threads of its own in every worker: a restyle takes half a second, and somebody watches."""
TASK_NAME: Final = "nigaoe.run_job"
PRIORITY_STEPS: Final = (0, 2, 4, 6, 8)


class Dispatcher(Protocol):
    """Rings for queued jobs."""

    def ring(self, doorbell: Doorbell) -> None:
        """Tell the workers of a queued job.

        Raises:
            StoreUnavailable: The queue does not answer. The job is stored already and the reaper rings for it later, so
                a caller logs this and goes on.
        """

    def close(self) -> None:
        """Give connections back."""


def doorbell_for(job: Job) -> Doorbell:
    """The doorbell of a queued job."""
    return Doorbell(job.id, job.attempt, job.options.priority, job.kind)


def queue_of(doorbell: Doorbell) -> str:
    """The queue in which a doorbell waits."""
    return RESTYLE_QUEUE if doorbell.kind is JobKind.RESTYLE else QUEUE_NAME


def message_of(doorbell: Doorbell) -> dict[str, Any]:
    """The message's JSON: the task's keyword arguments."""
    return {"job_id": doorbell.job_id, "attempt": doorbell.attempt}


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
    """Kombu's options that the ringing and the answering side must agree on.

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
