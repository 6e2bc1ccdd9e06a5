"""Logs and traces about the service. Nothing of a person gets into them.

Logs are structured (structlog): one JSON object a line, or coloured text on a terminal. What the standard library's
loggers say (uvicorn, Celery) goes the same way. `job_context` puts the job's id on every line logged inside it.
Traces (OpenTelemetry) exist where the extra ``otel`` is installed and an address is set; otherwise spans cost nothing.
"""

import importlib.util
import logging
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Final

import structlog

from core.errors import InvalidSettings
from core.settings import Telemetry

PERSONAL: Final = frozenset(
    {
        "address", "authorization", "body", "client", "cookie", "crop", "data", "email", "face", "faces", "filename",
        "headers", "image", "ip", "landmarks", "latent", "name", "photo", "photo_url", "query", "url", "user_agent",
        "webhook_url",
    }
)  # fmt: skip
"""Fields that may hold something of a person, or lead to one; they are never written."""

_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def set_up_logging(settings: Telemetry) -> None:
    """Send all logs of this process to standard error in the chosen form."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        without_personal_data,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(settings)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LEVELS[settings.log_level])


def _renderers(settings: Telemetry) -> list[Any]:
    form = settings.log_format
    if form == "console" or (form == "auto" and sys.stderr.isatty()):
        return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    return [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]


def without_personal_data(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace what may be personal by a mark, and bytes by their number (a structlog processor)."""
    for key, value in event.items():
        if key.lower() in PERSONAL:
            event[key] = "[not logged]"
        elif isinstance(value, bytes | bytearray | memoryview):
            event[key] = f"[{len(value)} bytes]"
    return event


@contextmanager
def job_context(job_id: str, **facts: str | int) -> Iterator[None]:
    """Put the job's id, and more facts, on every line that this thread or task logs inside."""
    with structlog.contextvars.bound_contextvars(job_id=job_id, **facts):
        yield


def set_up_tracing(settings: Telemetry, service: str) -> None:
    """Send spans to ``otlp_endpoint`` if one is set.

    Args:
        settings: Holds the address.
        service: The name under which spans appear: nigaoe-api, nigaoe-worker.

    Raises:
        InvalidSettings: An address is set, but the extra ``otel`` is not installed.
    """
    if settings.otlp_endpoint is None:
        return
    if importlib.util.find_spec("opentelemetry.sdk") is None:
        raise InvalidSettings("NIGAOE_OTLP_ENDPOINT needs OpenTelemetry: pip install 'nigaoe[otel]'.")
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource({SERVICE_NAME: service}))
    exporter = OTLPSpanExporter(endpoint=settings.otlp_endpoint.rstrip("/") + "/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)


@contextmanager
def span(name: str, **attributes: str | float | bool) -> Iterator[None]:
    """Trace what happens inside; without OpenTelemetry it does nothing."""
    try:
        from opentelemetry import trace
    except ModuleNotFoundError:
        yield
        return
    with trace.get_tracer("nigaoe").start_as_current_span(name, attributes=attributes):
        yield
