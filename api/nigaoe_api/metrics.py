"""Prometheus metrics: counters of this process, and the shared queue at each scrape.

One registry an application, none for the module: two applications in one process (tests) do not share counters.
"""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from nigaoe_api.uploads_in_flight import UploadsInFlight
from nigaoe_core.collectors import ErrorCollector, QueueCollector
from nigaoe_core.guarded_loop import UnexpectedErrors
from nigaoe_core.store.job_store import JobStore

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_REQUEST_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_PREPARE_BUCKETS: Final = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)


class Metrics:
    """The metrics of one API process.

    Args:
        store: Asked for the queue at every scrape.
        errors: Of this process.
        uploads: Asked for the bytes in flight.
    """

    def __init__(self, store: JobStore, errors: UnexpectedErrors, uploads: UploadsInFlight) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._registry.register(QueueCollector(store))
        self._registry.register(ErrorCollector(errors))
        self.requests = Counter(
            "nigaoe_http_requests", "Answered requests.", ["method", "route", "status"], registry=self._registry
        )
        self.request_seconds = Histogram(
            "nigaoe_http_request_seconds",
            "From a request's head to the end of its answer.",
            ["method", "route"],
            buckets=_REQUEST_BUCKETS,
            registry=self._registry,
        )
        self.in_progress = Gauge("nigaoe_http_requests_in_progress", "Requests under way.", registry=self._registry)
        upload_bytes = Gauge(
            "nigaoe_upload_bytes_in_flight", "Bytes of uploads in the memory of this process.", registry=self._registry
        )
        upload_bytes.set_function(lambda: uploads.bytes)
        self.event_streams = Gauge("nigaoe_event_streams", "Clients that follow events.", registry=self._registry)
        self.prepare_seconds = Histogram(
            "nigaoe_prepare_seconds",
            "Opening a photo, finding its faces and cutting one out, waiting included.",
            buckets=_PREPARE_BUCKETS,
            registry=self._registry,
        )
        self.jobs_accepted = Counter(
            "nigaoe_jobs_accepted", "Jobs taken in by this process.", ["kind"], registry=self._registry
        )
        self.webhooks = Counter("nigaoe_webhooks", "Deliveries tried.", ["outcome"], registry=self._registry)

    def exposition(self) -> bytes:
        """Everything in Prometheus's text format; asks the job store, so it blocks."""
        return generate_latest(self._registry)
