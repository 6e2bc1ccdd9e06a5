"""How a worker process begins and ends inside Celery: warm before the first message, drained before the goodbye."""

import os
import signal
from typing import TYPE_CHECKING, Any

import structlog
from celery import bootsteps, signals
from celery.exceptions import WorkerShutdown
from celery.worker import state

from nigaoe_core.errors import InvalidSettings, NigaoeError
from nigaoe_worker.queue_probe import QueueProbe

if TYPE_CHECKING:
    from nigaoe_worker.app import WorkerApp
    from nigaoe_worker.runtime import Runtime

_log = structlog.get_logger(__name__)


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
        signal.signal(signal.SIGUSR2, self._on_impatience)

    def _on_signal(self, **_: object) -> None:
        """SIGTERM arrived: say "not ready" now, not when the consumer has noticed."""
        if self._runtime is not None:
            self._runtime.begin_drain()

    def _on_impatience(self, *_: object) -> None:
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
