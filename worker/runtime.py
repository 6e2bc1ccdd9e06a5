"""One worker process, put together: stores, device, gate, leases, reaper, pulse, page. And its beginning and end."""

import os
import secrets
import socket
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Final

import structlog
import torch
from torch import Tensor

from core.jobs import Method, Seconds
from core.services import Services, connect
from core.settings import Settings
from core.telemetry import configure_tracing
from core.worker_report import WorkerReport, budget_name
from model.conversion import ROLES, conclude, inversion_engine, searched
from model.device import prepare_device
from model.inversion.presets import PRESETS
from model.inversion.request import InversionRequest
from model.inversion.settings import InversionSettings
from model.pair import LoadedGenerator
from model.portrait import DEFAULT_LOOK
from worker.engine import Engine
from worker.gallery import Gallery
from worker.gate import Gate
from worker.health_page import HealthPage
from worker.hold import StopCause
from worker.lease_keeper import LeaseKeeper
from worker.metrics import Metrics
from worker.order import InversionOrder
from worker.pulse import Organs, Pulse
from worker.reaper import Reaper
from worker.self_check import SelfCheck
from worker.tasks import JobTasks
from worker.work import Workbench

WARM_UP_STEPS: Final = 2
HAND_BACK_SECONDS: Final[Seconds] = 15.0
"""How long handing back may take once the time for finishing is over."""

_log = structlog.get_logger(__name__)


def gate_room(slots: int) -> int:
    """Conversions that a worker holds at once: all slots, and half as many that are prepared or stored meanwhile."""
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
    """

    def __init__(self, settings: Settings, messages: Callable[[], int | None]) -> None:
        self.settings = settings
        self.name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self.services: Services = connect(settings)
        self.device = prepare_device(settings.device, settings.torch_threads)
        self.metrics = Metrics(self.services.store, settings.slots, self.device)
        self.gallery = Gallery(settings, self.device)
        prepare = partial(prepare_device, self.device, settings.torch_threads)
        build = partial(inversion_engine, step_graphs=settings.step_graphs)
        self.engine = Engine(settings.slots, build, self.metrics, prepare)
        self.keeper = LeaseKeeper(self.services.store, self.services.events, settings)
        self.gate = Gate(gate_room(settings.slots))
        work = Workbench(self.engine, self.gallery, settings)
        self.tasks = JobTasks(self.services, self.keeper, self.gate, work, self.metrics, self.name)
        self.reaper = Reaper(self.services.store, self.services.retention, self.services.dispatcher, settings)
        self.pulse = Pulse(self.services.store, self._organs(messages), SelfCheck())
        self.page = self._page()
        self._version = version("nigaoe")  # Read once: it means parsing the distribution's whole description.
        self._is_warm = False

    @property
    def is_ready(self) -> bool:
        """Whether jobs are taken: warmed up, not draining, the device works."""
        return self._is_warm and not self.gate.is_closed and self.engine.failure is None

    def start(self) -> None:
        """Load, warm up, and begin to take jobs.

        Raises:
            NigaoeError: No style can be loaded, or a setting is wrong.
        """
        configure_tracing(self.settings, "worker")
        for part in (self.page, self.engine, self.keeper, self.reaper, self.pulse):
            if part is not None:
                part.start()
        self.engine.do(self.gallery.load)
        if self.settings.warm_up:
            self._warm_up()
            self.metrics.step_seconds.forget()  # Slow steps of lazy libraries are nothing to estimate by.
        self._is_warm = True
        self.pulse.soon(lambda: None)
        _log.info("worker.ready", worker=self.name, styles=self.gallery.styles, device=self.device)

    def begin_drain(self) -> None:
        """Take no more jobs and tell so at once; safe in a signal handler."""
        self.pulse.soon(self.gate.close)

    def drain(self) -> None:
        """Wait for running jobs, then hand back those that are not done in time."""
        self.gate.close()
        self.pulse.soon(lambda: None)
        _log.info("worker.draining", jobs=self.tasks.in_flight)
        if not self.tasks.wait_until_idle(self.settings.drain_seconds):
            self.abandon()

    def abandon_soon(self) -> None:
        """Hand all jobs back; safe in a signal handler."""
        self.pulse.soon(self.abandon)

    def abandon(self) -> None:
        """Hand all jobs back now."""
        self.gate.close()
        self.keeper.stop_all(StopCause.DRAINED)
        if not self.tasks.wait_until_idle(HAND_BACK_SECONDS):
            self.tasks.give_up()
            _log.error("worker.jobs_left", jobs=self.tasks.in_flight)

    def close(self) -> None:
        """End all threads and give connections back. Nothing is answered any more."""
        self.reaper.close()
        self.pulse.close()
        self.engine.close()
        self.keeper.close()
        if self.page is not None:
            self.page.close()
        self.services.close()

    def report(self) -> WorkerReport:
        """How this worker is."""
        return WorkerReport(
            worker=self.name,
            ready=self.is_ready,
            version=self._version,
            device=self.device,
            slots=self.settings.slots,
            busy=min(self.settings.slots, self.engine.occupied),
            styles=self.gallery.styles,
            job_seconds=self.metrics.job_seconds.value,
            step_seconds=self.metrics.step_seconds.value,
            overhead_seconds=self.metrics.overhead_seconds.value,
            budgets=budgets(),
        )

    def _organs(self, messages: Callable[[], int | None]) -> Organs:
        return Organs(
            report=self.report,
            refresh=self._refresh,
            messages=messages,
            fetched=lambda: self.tasks.answered,
            is_busy=lambda: self.tasks.in_flight > 0 or not self.is_ready,
            failure=lambda: self.engine.failure,
            abandon=self.abandon,
        )

    def _page(self) -> HealthPage | None:
        if not self.settings.worker_metrics_port:
            return None
        return HealthPage(
            self.settings.worker_metrics_port,
            is_alive=lambda: self.engine.failure is None,
            is_ready=lambda: self.is_ready,
            metrics=self.metrics.exposition,
        )

    def _refresh(self) -> None:
        """Load weights that were installed, changed or removed meanwhile."""
        if self._is_warm and self.gallery.is_outdated():
            self.engine.do(self._load_again)

    def _load_again(self) -> None:
        self.engine.keep_only(self.gallery.load().generators)

    def _warm_up(self) -> None:
        """Convert the mean face once, so that the first photo does not pay for lazy libraries and kernels."""
        pair = self.gallery.pair(self.gallery.styles[0])
        loaded = searched(pair, "g_ori")
        request = InversionRequest(
            target=self.engine.do(lambda: mean_face(loaded)), settings=InversionSettings(steps=WARM_UP_STEPS)
        )
        found = self.engine.invert(InversionOrder(loaded, request)).result().unwrap()
        self.engine.do(
            lambda: conclude(pair, Method.CROSS, {"g_ori": found}, request.target, DEFAULT_LOOK, self.gallery.upscaler)
        )


@torch.no_grad()
def mean_face(loaded: LoadedGenerator) -> Tensor:
    """Draw the mean face. # [3, R, R] in [-1, 1]."""
    generator = loaded.generator
    return generator.draw_image(generator.mapping.w_avg[None])[0].clamp(-1, 1).cpu()
