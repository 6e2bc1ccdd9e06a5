"""The Celery application: ``celery -A nigaoe_worker.app worker -P threads`` (or ``nigaoe worker``).

Celery's settings, the one task, and the step by which a worker process begins and ends: warm before the first message,
drained before the last. Importing this module is light: neither torch nor Redis is touched before a worker starts.
Each setting stands beside its reason; most come from measurements on Celery 5.6.3, kombu 5.7.0 and Valkey 9.1.
"""

import functools
import logging
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import structlog
from celery import Celery, Task, bootsteps, signals
from celery.exceptions import WorkerShutdown
from celery.worker import state

from nigaoe_core.errors import InvalidSettings, NigaoeError
from nigaoe_core.queue import QUEUE_NAME, TASK_NAME, broker_url, transport_options
from nigaoe_core.settings import Settings, load_settings
from nigaoe_core.telemetry import configure_logging
from nigaoe_worker.broker import QueueProbe

if TYPE_CHECKING:
    from nigaoe_worker.runtime import Runtime

CHATTY_LOGGERS = ("celery.app.trace", "celery.worker.strategy")
"""They log every message; our own lines log every job."""

_log = structlog.get_logger(__name__)


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
        # comes back; the reports of workers in the job store and the metrics replace them.
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


class WorkerStep(bootsteps.StartStopStep):
    """Starts the runtime before Celery's consumer, drains it after.

    Celery starts steps in the order of their needs, the consumer last, and stops them in reverse: so nothing is fetched
    before the models are warm, and jobs finish while the thread pool still stands.
    """

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        """Begin without a runtime."""
        super().__init__(worker, **options)
        self._runtime: Runtime | None = None

    def start(self, worker: Any) -> None:
        """Load and warm up.

        Raises:
            WorkerShutdown: That is not possible; the log says why.
        """
        app: WorkerApp = worker.app
        try:
            self._runtime = begin(app, worker.pool_cls.__module__)
        except NigaoeError as error:
            _log.critical("worker.not_started", code=error.code, reason=error.message)
            raise WorkerShutdown(os.EX_CONFIG) from error
        except Exception as error:
            # A device that is lost in the first drawing, or a bug: a supervisor shall try again.
            _log.critical("worker.not_started", exc_info=error)
            raise WorkerShutdown(os.EX_TEMPFAIL) from error
        signals.worker_shutting_down.connect(self._on_signal, weak=False)
        signal.signal(signal.SIGUSR2, self._on_second_signal)

    def _on_signal(self, **_: object) -> None:
        """SIGTERM arrived: say "not ready" now, not when the consumer has noticed."""
        if self._runtime is not None:
            self._runtime.begin_drain()

    def _on_second_signal(self, *_: object) -> None:
        """SIGUSR2 during a drain: hand running jobs back now (SIGQUIT does not work with threads)."""
        if self._runtime is not None:
            self._runtime.abandon_soon()

    def stop(self, worker: Any) -> None:
        """Let running jobs finish, or hand them back."""
        signals.worker_shutting_down.disconnect(self._on_signal)
        if self._runtime is not None:
            self._runtime.drain()
            self._runtime.close()
            worker.app.runtime = None

    def terminate(self, worker: Any) -> None:
        """Hand all jobs back at once."""
        if self._runtime is not None:
            self._runtime.abandon()
        self.stop(worker)


def begin(app: "WorkerApp", pool: str) -> "Runtime":
    """Start the runtime of an application.

    Raises:
        NigaoeError: A setting is wrong, or no style can be loaded.
    """
    if not pool.endswith(".thread"):
        raise InvalidSettings("The worker owns a device and cannot be forked: start it with `-P threads`.")
    # Here, so that importing the application does not load PyTorch.
    from nigaoe_worker.runtime import Runtime

    runtime = Runtime(app.read_settings(), QueueProbe(app).count, app.connection_for_read, stop_fetching)
    runtime.start()
    app.runtime = runtime
    return runtime


def stop_fetching() -> None:
    """Let Celery's consumer end as if a signal had come, with the status of a process that is to be started again."""
    if state.should_stop is None:
        state.should_stop = os.EX_TEMPFAIL  # type: ignore[assignment]  # Its types know the first value only.


def build_app(read_settings: Callable[[], Settings] = load_settings) -> WorkerApp:
    """Make the application; nothing is read or connected before a worker starts."""
    app = WorkerApp("nigaoe", set_as_current=False)
    app.read_settings = functools.cache(read_settings)
    app.add_defaults(lambda: celery_settings(app.read_settings()))
    app.steps["worker"].add(WorkerStep)

    # The name is explicit, so that the sender needs none of our modules and a renamed module breaks no queued message.
    @app.task(name=TASK_NAME, bind=True)
    def run_job(self: "Task[..., None]", job_id: str, attempt: int) -> None:  # noqa: ARG001 - Celery binds it.
        """Handle a wake-up message: claim the job at this attempt and run it to its end."""
        if app.runtime is not None:
            app.runtime.tasks.handle(job_id, attempt)

    return app


@signals.setup_logging.connect
def _configure_logging(**_: object) -> None:
    """Replace Celery's own set-up, which does nothing where this signal has a receiver."""
    configure_logging(load_settings(), "worker")
    for name in CHATTY_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)


app = build_app()
