"""Prometheus metrics of one worker, and the recent rates from which waiting times are estimated."""

from functools import partial
from typing import Final

import torch
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from nigaoe_core.collectors import ErrorCollector, QueueCollector
from nigaoe_core.guarded_loop import UnexpectedErrors
from nigaoe_core.jobs import Job, JobKind, JobState, Seconds
from nigaoe_core.store.job_store import JobStore

STEP_BUCKETS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
JOB_BUCKETS: Final = (0.25, 0.5, 1, 2, 5, 10, 20, 40, 80, 160, 320, 640)
STEPS_BUCKETS: Final = (10, 30, 50, 100, 200, 400, 800, 1600)


class RecentMean:
    """An exponential moving average; of few values the plain mean, or the first would dominate for long.

    Args:
        share: Weight of the newest value.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._count = 0
        self.value: float | None = None

    def add(self, value: float) -> None:
        """Take in a value."""
        self._count += 1
        mean = value if self.value is None else self.value
        self.value = mean + max(self._share, 1 / self._count) * (value - mean)

    def forget(self) -> None:
        """Begin again."""
        self._count, self.value = 0, None


class Metrics:
    """Counters of one worker process.

    Args:
        store: Asked for the queue at every scrape.
        slots: Jobs that this worker optimises at once.
        device: Whose memory is shown.
        errors: Of this process; None: they are not exported.

    Attributes:
        registry: What Prometheus scrapes.
        step_seconds: Recent mean of one step of the whole batch.
        job_seconds: Recent mean from claim to end of a conversion.
        overhead_seconds: Recent mean of what a conversion takes beside its search.
    """

    def __init__(self, store: JobStore, slots: int, device: str, errors: UnexpectedErrors | None = None) -> None:
        self.step_seconds = RecentMean(0.05)
        self.job_seconds = RecentMean(0.2)
        self.overhead_seconds = RecentMean(0.2)
        self.registry = registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        registry.register(QueueCollector(store))
        if errors is not None:
            registry.register(ErrorCollector(errors))
        self._ended = Counter("nigaoe_jobs_ended", "Jobs by how they ended.", ["kind", "state"], registry=registry)
        self._stops = Counter("nigaoe_searches_ended", "Searches by why they ended.", ["reason"], registry=registry)
        self._steps = _histogram(registry, "nigaoe_job_steps", "Optimisation steps of a job.", STEPS_BUCKETS)
        self._steps_made = Counter("nigaoe_steps", "Steps by how many faces shared them.", ["faces"], registry=registry)
        self._step = _histogram(registry, "nigaoe_step_seconds", "One step of the whole batch.", STEP_BUCKETS)
        self._work = _histogram(registry, "nigaoe_job_seconds", "From claim to end.", JOB_BUCKETS, "kind")
        self._latency = _histogram(registry, "nigaoe_latency_seconds", "From submission to end.", JOB_BUCKETS, "kind")
        self._stages = _histogram(registry, "nigaoe_stage_seconds", "Stages of a job.", JOB_BUCKETS, "stage")
        Gauge("nigaoe_worker_slots", "Slots of this worker.", registry=registry).set(slots)
        self._occupied = Gauge("nigaoe_worker_slots_occupied", "Slots of this worker in use.", registry=registry)
        self._waiting = Gauge("nigaoe_worker_orders_waiting", "Prepared faces that wait.", registry=registry)
        memory = Gauge("nigaoe_device_memory_bytes", "Memory of the device.", ["kind"], registry=registry)
        for kind in ("allocated", "reserved", "total") if device.startswith("cuda") else ():
            memory.labels(kind).set_function(partial(cuda_memory, device, kind))

    def observe_step(self, seconds: Seconds, occupied: int) -> None:
        """One step of one slot batch was made."""
        self._steps_made.labels(occupied).inc()
        self.step_seconds.add(seconds)
        self._step.observe(seconds)

    def observe_slots(self, occupied: int, waiting: int) -> None:
        """So many slots are in use, and so many requests wait for one."""
        self._occupied.set(occupied)
        self._waiting.set(waiting)

    def observe_end(self, job: Job, seconds: Seconds) -> None:
        """A job of this worker ended, so many seconds after its claim."""
        kind = job.kind.value
        self._ended.labels(kind, job.state.value).inc()
        self._work.labels(kind).observe(seconds)
        self._latency.labels(kind).observe(max(0.0, (job.ended_at or 0.0) - job.created_at))
        for stage, spent in job.timings.items():
            self._stages.labels(stage).observe(spent)
        if job.state is JobState.SUCCEEDED and job.kind is JobKind.CONVERT:
            if "inverting" in job.timings:  # What is drawn in one pass says nothing about those that are searched.
                self.job_seconds.add(seconds)
            self.overhead_seconds.add(max(0.0, seconds - job.timings.get("inverting", 0.0)))
        if job.report is not None:
            self._stops.labels(job.report.stop_reason).inc()
            self._steps.observe(job.report.steps)


def cuda_memory(device: str, kind: str) -> float:
    """Bytes of a GPU's memory that are ``allocated`` by tensors, ``reserved`` by PyTorch, or there in ``total``."""
    if kind == "total":
        return float(torch.cuda.get_device_properties(device).total_memory)
    return float(torch.cuda.memory_allocated(device) if kind == "allocated" else torch.cuda.memory_reserved(device))


def _histogram(
    registry: CollectorRegistry, name: str, text: str, buckets: tuple[float, ...], *labels: str
) -> Histogram:
    return Histogram(name, text, labels, buckets=buckets, registry=registry)
