"""How the service writes about itself: structured logs with the job's id, and spans where OpenTelemetry is installed.

Nothing of a person is logged: no file names, no addresses of pictures, no latents; job ids and numbers only. Should a
line carry a field that could hold such a thing, `without_personal_data` blanks it.
"""

import logging
import logging.config
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final

import structlog

from nigaoe_core.errors import InvalidSettings
from nigaoe_core.settings import Telemetry

NOISY_LOGGERS = ("amqp", "boto3", "botocore", "httpcore", "httpx", "kombu", "PIL", "s3transfer", "timm", "urllib3")
"""Libraries whose every-day messages would bury ours; their warnings are kept."""

PERSONAL: Final = frozenset(
    {
        "authorization", "body", "client", "cookie", "crop", "email", "face", "faces", "filename", "headers", "image",
        "ip", "landmarks", "latent", "photo", "photo_url", "user_agent", "webhook_url",
    }
)  # fmt: skip
"""Fields that may hold something of a person, or lead to one."""


def configure_logging(settings: Telemetry, component: str) -> None:
    """Send everything that this process logs, libraries included, to stderr in one form. Calling it again is harmless.

    Args:
        settings: Level and format.
        component: What this process is (``api``, ``worker``, ``serve``); part of every line.
    """
    json_lines = settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty())
    enrich: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _name_component(component),
        without_personal_data,
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *enrich,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    _route_standard_logging(settings.log_level.upper(), enrich, json_lines=json_lines)


def _route_standard_logging(level: str, enrich: list[Any], *, json_lines: bool) -> None:
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=enrich,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(json_lines=json_lines)],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)


def _renderers(*, json_lines: bool) -> list[Any]:
    if json_lines:
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    # The default traceback shows local variables: photos, keys.
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]


def _name_component(component: str) -> Any:
    def add(_logger: object, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        event.setdefault("component", component)
        return event

    return add


def without_personal_data(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
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


def configure_tracing(settings: Telemetry, component: str) -> None:
    """Export spans to ``otlp_endpoint``; nothing happens where none is set.

    Raises:
        InvalidSettings: An address is set, but the extra ``otel`` is not installed.
    """
    if settings.otlp_endpoint is None:
        return
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise InvalidSettings("NIGAOE_OTLP_ENDPOINT needs the extra: pip install 'nigaoe[otel]'.") from None
    provider = TracerProvider(resource=Resource.create({"service.name": f"nigaoe-{component}"}))
    exporter = OTLPSpanExporter(endpoint=f"{settings.otlp_endpoint.rstrip('/')}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)


@contextmanager
def span(name: str, **attributes: str | float | bool) -> Iterator[None]:
    """Measure a block as a span of the current trace; free of cost where OpenTelemetry is not installed."""
    tracer = _tracer()
    if tracer is None:
        yield
        return
    with tracer.start_as_current_span(name, attributes=attributes):
        yield


@lru_cache(maxsize=1)
def _tracer() -> Any:
    try:
        from opentelemetry import trace
    except ImportError:
        return None
    return trace.get_tracer("nigaoe")  # A proxy until `configure_tracing` sets a provider, a no-op without one.
