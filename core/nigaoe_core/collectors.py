"""Prometheus collectors that the API and the worker share: the queue and its workers, and unexpected errors."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from nigaoe_core.errors import StorageError
from nigaoe_core.guarded_loop import UnexpectedErrors
from nigaoe_core.jobs import JobState
from nigaoe_core.store.job_store import JobStore


class QueueCollector(Collector):
    """The queue and the workers, read from the job store at every scrape: the same from every process.

    Its figures are absent while the store does not answer.

    Its registry must not describe by itself (``auto_describe=False``), or registering would ask a store that may not
    be up yet.

    Args:
        store: Whom to ask.
    """

    def __init__(self, store: JobStore) -> None:
        self._store = store

    @override
    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("nigaoe_job_store_up", "Whether the job store answers.")
        try:
            families = [*self._queue(), *self._workers()]
        except StorageError:
            families = []
        up.add_metric([], 1.0 if families else 0.0)
        yield up
        yield from families

    def _queue(self) -> Iterator[Metric]:
        queue = self._store.queue()
        yield GaugeMetricFamily("nigaoe_jobs_queued", "Jobs that wait.", queue.queued)
        yield GaugeMetricFamily("nigaoe_jobs_running", "Jobs that run.", queue.running)
        yield GaugeMetricFamily(
            "nigaoe_jobs_unfinished", "Waiting and running: what to scale workers by.", queue.queued + queue.running
        )
        yield GaugeMetricFamily(
            "nigaoe_queue_oldest_age_seconds", "Age of the job that waits longest.", queue.oldest_age
        )
        yield GaugeMetricFamily(
            "nigaoe_jobs_quarantined", "Jobs whose record this version cannot read.", queue.quarantined
        )
        states = GaugeMetricFamily("nigaoe_jobs_stored", "Stored jobs by state.", labels=["state"])
        for state in JobState:
            states.add_metric([state.value], queue.states.get(state, 0))
        yield states

    def _workers(self) -> Iterator[Metric]:
        workers = self._store.workers()
        ready = [worker for worker in workers if worker.ready]
        yield GaugeMetricFamily("nigaoe_workers", "Workers that report.", len(workers))
        yield GaugeMetricFamily("nigaoe_workers_ready", "Workers that take jobs.", len(ready))
        yield GaugeMetricFamily("nigaoe_slots", "Jobs that all workers can run at once.", sum(w.slots for w in ready))
        yield GaugeMetricFamily("nigaoe_slots_busy", "Slots in use.", sum(w.busy for w in workers))


class ErrorCollector(Collector):
    """``nigaoe_unexpected_errors_total{where=...}`` of one process.

    Args:
        errors: What is shown.
    """

    def __init__(self, errors: UnexpectedErrors) -> None:
        self._errors = errors

    @override
    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(
            "nigaoe_unexpected_errors", "Exceptions that nobody expected, by where they happened.", labels=["where"]
        )
        for where, count in sorted(self._errors.counts.items()):
            family.add_metric([where], count)
        yield family
