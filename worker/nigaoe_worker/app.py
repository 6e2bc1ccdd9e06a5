"""The Celery application: ``celery -A nigaoe_worker.app worker -P threads`` (or ``nigaoe worker``).

Importing this module is light: neither torch nor Redis is touched before a worker starts. Each setting stands beside
its reason; most were paid for with measurements on Celery 5.6.3, kombu 5.7.0 and Valkey 9.1.
"""

import functools
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from celery import Celery, Task, signals

from nigaoe_core.errors import InvalidSettings
from nigaoe_core.queue import QUEUE_NAME, TASK_NAME, broker_url, transport_options
from nigaoe_core.settings import Settings, load_settings
from nigaoe_core.telemetry import configure_logging
from nigaoe_worker.lifecycle import WorkerStep

if TYPE_CHECKING:
    from nigaoe_worker.runtime import Runtime

CHATTY_LOGGERS = ("celery.app.trace", "celery.worker.strategy")
"""They tell of every message; our own lines tell of every job."""


def celery_settings(settings: Settings) -> dict[str, Any]:
    """Celery's configuration, every line with its reason.

    Raises:
        InvalidSettings: No Redis is named.
    """
    if settings.redis_url is None:
        raise InvalidSettings("Set NIGAOE_REDIS_URL for a worker of its own, or run everything with `nigaoe serve`.")
    options = transport_options(settings.job_deadline_seconds)
    return {
        "broker_url": broker_url(settings.redis_url.get_secret_value()),
        "broker_transport_options": options,
        # Celery reads the visibility timeout in three places; all must be longer than the longest job, or a running
        # job's message is delivered again. Fast recovery comes from our own leases and the reaper.
        "visibility_timeout": options["visibility_timeout"],
        "result_backend_transport_options": {"visibility_timeout": options["visibility_timeout"]},
        # CUDA and fork clash (even `is_available()` in the parent breaks the child); one process owns one device.
        "worker_pool": "threads",
        # Threads that prepare, upload and wait while the slots compute.
        "worker_concurrency": settings.worker_concurrency,
        # A message is acknowledged when its job has ended or was given back, so that kill -9 loses none.
        "task_acks_late": True,
        # On the threads pool nothing is lost with a child process; if it were, Celery would loop on a poison job for
        # ever. Attempts are counted in the job store instead.
        "task_reject_on_worker_lost": False,
        # The prefetch count drifts upwards with late acknowledgement on Redis, and a message that waits in a busy
        # worker is one that an idle worker cannot take.
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        # The job store is the truth. Results would be a second one, and reading them inside a worker raises.
        "task_ignore_result": True,
        # The backend that stores nothing may be shared: otherwise every thread of the pool looks through the entry
        # points of all installed packages for one of its own.
        "result_backend_thread_safe": True,
        # JSON carries no code.
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_default_queue": QUEUE_NAME,
        # A worker that starts before Redis waits for it, and one that loses it never gives up: without these two a
        # dropped connection leaves a live process that fetches nothing (celery #8030, #8091, #9054).
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # Losing Redis for two seconds must not kill minutes of optimisation; leases decide who owns a job.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # Reconnecting with fewer threads than before is one way to become "catatonic" (#8990).
        "worker_enable_prefetch_count_reduction": False,
        # Remote control and events need one more connection with subscriptions, one more thing to break when Redis
        # comes back; the job store's board of workers and the metrics replace them.
        "worker_enable_remote_control": False,
        "worker_send_task_events": False,
        # What libraries print stays where it is; our log is configured in `_configure_logging`.
        "worker_redirect_stdouts": False,
    }


class WorkerApp(Celery):
    """A Celery application with the parts of the worker that it runs.

    Attributes:
        read_settings: Reads the settings once, when they are first needed.
        runtime: Set while a worker of this application runs.
    """

    read_settings: Callable[[], Settings]
    runtime: "Runtime | None" = None


def build_app(read_settings: Callable[[], Settings] = load_settings) -> WorkerApp:
    """Make the application; nothing is read or connected before a worker starts."""
    app = WorkerApp("nigaoe", set_as_current=False)
    app.read_settings = functools.cache(read_settings)
    app.add_defaults(lambda: celery_settings(app.read_settings()))
    app.steps["worker"].add(WorkerStep)

    # The name is explicit, so that the sender needs none of our modules and a renamed module breaks no queued message.
    @app.task(name=TASK_NAME, bind=True)
    def run_job(self: "Task[..., None]", job_id: str, attempt: int) -> None:  # noqa: ARG001 - Celery binds it.
        """Answer a doorbell: claim the job at this attempt and see it to its end."""
        if app.runtime is not None:
            app.runtime.tasks.answer(job_id, attempt)

    return app


@signals.setup_logging.connect
def _configure_logging(**_: object) -> None:
    """Replace Celery's own set-up, which gives way to whoever answers this signal."""
    configure_logging(load_settings(), "worker")
    for name in CHATTY_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)


app = build_app()
