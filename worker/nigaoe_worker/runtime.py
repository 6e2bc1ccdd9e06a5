"""One worker process: its parts (stores, device, admission, leases, reaper, heartbeat), its start, drain and end.

All its threads run in `nigaoe_core.guarded_loop`. When one that jobs depend on gives up (the device is lost or hangs,
leases cannot be renewed), the worker is not ready from that moment on, hands back what it can, and ends with a status
that makes its supervisor start a fresh one.
"""

import os
import secrets
import socket
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Final

import structlog
import torch
from kombu import Connection
from torch import Tensor

from nigaoe_core.jobs import Seconds
from nigaoe_core.services import Services, connect
from nigaoe_core.settings import Settings
from nigaoe_core.telemetry import configure_tracing
from nigaoe_core.worker_report import WorkerReport, budget_name
from nigaoe_model.device import prepare_device
from nigaoe_model.inversion.settings import PRESETS, InversionSettings
from nigaoe_model.portrait.convert import ROLES, ConversionOptions, conclude, inversion_engine, inversion_requests
from nigaoe_model.portrait.drawing import DEFAULT_LOOK
from nigaoe_model.portrait.feed_forward import FeedForwardStyle
from nigaoe_model.portrait.pair import LoadedGenerator
from nigaoe_worker.admission import Admission
from nigaoe_worker.broker import RestyleConsumer
from nigaoe_worker.convert import JobRunner
from nigaoe_worker.device import Engine
from nigaoe_worker.health import DeviceWatchdog, HealthChecks, HealthServer, Heartbeat, QueueWatchdog
from nigaoe_worker.leases import LeaseKeeper, StopCause
from nigaoe_worker.metrics import Metrics
from nigaoe_worker.model_cache import ModelCache, WeightsWatcher
from nigaoe_worker.reaper import Reaper
from nigaoe_worker.slot_batch import SlotRequest
from nigaoe_worker.tasks import JobTasks

WARM_UP_STEPS: Final = 2
HAND_BACK_SECONDS: Final[Seconds] = 15.0
"""How long handing back may take once the time for finishing is over."""

_log = structlog.get_logger(__name__)


def admission_capacity(slots: int) -> int:
    """Conversions that a worker runs at once: all slots, and half as many that are prepared or stored meanwhile."""
    return slots + max(1, slots // 2)


def budgets() -> dict[str, int]:
    """The steps that a job may take, by method and preset, from which waiting times are estimated."""
    return {
        budget_name(method, preset): len(roles) * settings.steps
        for method, roles in ROLES.items()
        for preset, settings in PRESETS.items()
    }


class Runtime:
    """Everything that a worker process consists of.

    Args:
        settings: The operator's choices.
        messages: Counts the messages waiting in the queue; None: it does not answer.
        broker: Makes a connection to it.
        stop_fetching: Stops Celery's consumer, because this process ends.
        leave: Ends the process with a status.
    """

    def __init__(
        self,
        settings: Settings,
        messages: Callable[[], int | None],
        broker: Callable[[], Connection],
        stop_fetching: Callable[[], object] = lambda: None,
        leave: Callable[[int], object] = os._exit,
    ) -> None:
        self.settings = settings
        self.name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self.services: Services = connect(settings)
        self.device = prepare_device(settings.device, settings.torch_threads)
        self._stop_fetching = stop_fetching
        errors = self.services.errors
        self.metrics = Metrics(self.services.store, settings.slots, self.device, errors)
        self.models = ModelCache(settings, self.device)
        prepare = partial(prepare_device, self.device, settings.torch_threads)
        build = partial(inversion_engine, step_graphs=settings.step_graphs)
        self.engine = Engine(settings.slots, build, self.metrics, prepare, errors=errors, on_end=self._become_unwell)
        self.keeper = LeaseKeeper(
            self.services.store,
            self.services.events,
            settings,
            errors=errors,
            on_end=lambda _error: self._become_unwell(),
        )
        self.admission = Admission(admission_capacity(settings.slots))
        runner = JobRunner(self.engine, self.models, settings)
        self.tasks = JobTasks(self.services, self.keeper, self.admission, runner.run, self.metrics, self.name)
        self.reaper = Reaper(self.services)
        self.restyles = RestyleConsumer(broker, self.tasks.handle, settings.restyle_threads, errors)
        self.watcher = WeightsWatcher(self.models, self.engine, errors)
        watchdog = DeviceWatchdog(settings.device_limit_seconds)
        self.heartbeat = Heartbeat(
            self.services.store, self._checks(messages), QueueWatchdog(), watchdog, leave, errors=errors
        )
        self.health_server = self._health_server()
        self._version = version("nigaoe")  # Read once: it means parsing the distribution's whole description.
        self._is_warm = False

    @property
    def is_ready(self) -> bool:
        """Whether jobs are taken: warmed up, not draining, and well."""
        return self._is_warm and not self.admission.is_closed and self.is_well

    @property
    def is_well(self) -> bool:
        """Whether the device works and all threads do on which jobs depend."""
        return self._failure() is None and self.heartbeat.is_beating

    def start(self) -> None:
        """Load, warm up, and begin to take jobs.

        Raises:
            NigaoeError: No style can be loaded, or a setting is wrong.
            DeviceLost: The device stopped working.
        """
        configure_tracing(self.settings, "worker")
        for part in (self.health_server, self.engine, self.keeper, self.reaper, self.heartbeat):
            if part is not None:
                part.start()
        self.engine.do(self.models.load, may_take_long=True)
        if self.settings.warm_up:
            self._warm_up()
            self.metrics.step_seconds.forget()  # Slow steps of lazy libraries are nothing to estimate by.
        self._is_warm = True
        self.watcher.start()
        self.restyles.start()
        self.heartbeat.call_soon(lambda: None)
        _log.info("worker.ready", worker=self.name, styles=self.models.styles, device=self.device)

    def begin_drain(self) -> None:
        """Take no more jobs and report so at once; safe in a signal handler."""
        self.heartbeat.call_soon(self._close_admission)

    def drain(self) -> None:
        """Wait for running jobs, then hand back those that are not done in time."""
        self._close_admission()
        self.heartbeat.call_soon(lambda: None)
        _log.info("worker.draining", jobs=self.tasks.in_flight)
        if not self.tasks.wait_until_idle(self.settings.drain_seconds):
            self.abandon()

    def abandon_soon(self) -> None:
        """Hand all jobs back; safe in a signal handler."""
        self.heartbeat.call_soon(self.abandon)

    def abandon(self) -> None:
        """Fetch nothing more and hand all jobs back now."""
        self._stop_fetching()
        self._close_admission()
        self.keeper.stop_all(StopCause.DRAINED)
        if not self.tasks.wait_until_idle(HAND_BACK_SECONDS):
            self.tasks.give_up()
            _log.error("worker.jobs_left", jobs=self.tasks.in_flight)

    def close(self) -> None:
        """End all threads and close connections. Nothing is handled any more."""
        self.restyles.close()
        self.watcher.close()
        self.reaper.close()
        self.heartbeat.close()
        self.engine.close()
        self.keeper.close()
        if self.health_server is not None:
            self.health_server.close()
        self.services.close()

    def report(self) -> WorkerReport:
        """This worker's report to the job store."""
        return WorkerReport(
            worker=self.name,
            ready=self.is_ready,
            version=self._version,
            device=self.device,
            slots=self.settings.slots,
            busy=min(self.settings.slots, self.engine.occupied),
            styles=self.models.styles,
            feed_forward=self.models.feed_forward,
            job_seconds=self.metrics.job_seconds.value,
            step_seconds=self.metrics.step_seconds.value,
            overhead_seconds=self.metrics.overhead_seconds.value,
            budgets=budgets(),
        )

    def _checks(self, messages: Callable[[], int | None]) -> HealthChecks:
        return HealthChecks(
            report=self.report,
            messages=messages,
            fetched=lambda: self.tasks.handled,
            is_busy=lambda: self.tasks.in_flight > 0 or not self.is_ready,
            activity=lambda: self.engine.activity,
            failure=self._failure,
            give_up_device=self.engine.abandon,
            abandon=self.abandon,
        )

    def _health_server(self) -> HealthServer | None:
        if not self.settings.worker_metrics_port:
            return None
        return HealthServer(
            self.settings.worker_metrics_port,
            is_alive=lambda: self.is_well,
            is_ready=lambda: self.is_ready,
            registry=self.metrics.registry,
            errors=self.services.errors,
        )

    def _failure(self) -> BaseException | None:
        return self.engine.failure or self.keeper.failure

    def _become_unwell(self) -> None:
        """Admit nothing from this moment on, and wake the heartbeat, which ends the process."""
        self._close_admission()
        self.heartbeat.call_soon(lambda: None)

    def _close_admission(self) -> None:
        self.restyles.stop()
        self.admission.close()

    def _warm_up(self) -> None:
        """Convert the mean face once, so that the first photo does not pay for lazy libraries and kernels."""
        pair = self.models.style(self.models.styles[0])
        if isinstance(pair, FeedForwardStyle):  # Those that are searched for stand first: there is none.
            return
        options = ConversionOptions(settings=InversionSettings(steps=WARM_UP_STEPS), look=DEFAULT_LOOK)
        target = self.engine.do(lambda: mean_face(pair.g_ori))
        request = inversion_requests(pair, options, target)["g_ori"]
        found = self.engine.invert(SlotRequest(pair.g_ori, request)).result().unwrap()
        self.engine.do(lambda: conclude(pair, options, {"g_ori": found}, target, self.models.upscaler))


@torch.no_grad()
def mean_face(loaded: LoadedGenerator) -> Tensor:
    """Draw the mean face. # [3, R, R] in [-1, 1]."""
    generator = loaded.generator
    return generator.draw_image(generator.mapping.w_avg[None])[0].clamp(-1, 1).cpu()
