"""Unexpected errors as Prometheus sees them; apart from `nigaoe_core.guarded_loop`, which needs no Prometheus."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from nigaoe_core.guarded_loop import UnexpectedErrors


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
