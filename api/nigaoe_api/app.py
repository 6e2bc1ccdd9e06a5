"""The FastAPI application: middleware around routes, and the tasks that live as long as the process."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog
from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware

from nigaoe_api.authentication import Authentication, announcement
from nigaoe_api.dependencies import Facilities, build_facilities
from nigaoe_api.errors import install_handlers
from nigaoe_api.middleware import BodyLimits, ErrorHandler, RateLimit, RequestId, RequestMetrics, SecurityHeaders
from nigaoe_api.openapi import DESCRIPTION, TAGS, describe
from nigaoe_api.page_files import page_routes, reference_routes
from nigaoe_api.routes import convert, events, faces, health, jobs, results, shared, styles, webhooks
from nigaoe_core.guarded_loop import guarded_task
from nigaoe_core.services import Services, connect
from nigaoe_core.settings import Settings

ROUTERS: Final = (
    convert.router,
    faces.router,
    jobs.router,
    events.router,
    results.router,
    shared.router,
    webhooks.router,
    styles.router,
    health.router,
)
WAITING_THREADS: Final = 64
"""Threads for reading jobs while clients wait: each is busy for a round trip to Redis, or for its patience."""

log = structlog.get_logger(__name__)


def create_app(settings: Settings, services: Services) -> FastAPI:
    """Make an application; nothing is connected or loaded before its lifespan begins.

    Args:
        settings: Of the API.
        services: Open services; the one who opened them closes them after the application has ended.

    Raises:
        InvalidSettings: Something in the settings cannot be used.
        InvalidManifest: The registry of styles cannot be read.
    """
    facilities = build_facilities(settings, services)
    if notice := announcement(settings):
        log.warning("api.public_without_keys", notice=notice)
    app = FastAPI(
        title="Nigaoe",
        version=health.VERSION,
        description=DESCRIPTION,
        openapi_tags=TAGS,
        docs_url=None,  # FastAPI's pages load scripts from elsewhere; ours is `reference_routes`.
        redoc_url=None,
        lifespan=_lifespan(facilities),
        middleware=_middleware(facilities),
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.facilities = facilities
    for router in ROUTERS:
        app.include_router(router)
    page = [*reference_routes(), *(page_routes(settings) if settings.page else [])]
    app.router.routes.extend(page)
    install_handlers(app, [*(route for router in ROUTERS for route in router.routes), *page])
    describe(app, settings)
    return app


def _middleware(facilities: Facilities) -> list[Middleware]:
    """From the outside in. Who calls, and how often, is decided before a byte of the body is read."""
    settings = facilities.settings
    return [
        Middleware(RequestId),
        Middleware(RequestMetrics, metrics=facilities.metrics),
        Middleware(SecurityHeaders),
        Middleware(ErrorHandler),
        Middleware(Authentication, keys=facilities.keys, visitors=facilities.visitors, settings=settings),
        Middleware(RateLimit, limits=facilities.limits),
        Middleware(
            BodyLimits,
            max_bytes=settings.max_request_bytes,
            seconds=settings.body_timeout_seconds,
            uploads=facilities.uploads,
        ),
    ]


def _lifespan(facilities: Facilities) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        asyncio.get_running_loop().set_default_executor(
            ThreadPoolExecutor(WAITING_THREADS, thread_name_prefix="nigaoe-wait")
        )
        errors = facilities.services.errors
        tasks = [guarded_task("load_detector", partial(_load_detector, facilities), errors)]
        if facilities.settings.webhooks:
            tasks.append(guarded_task("webhook_sender", facilities.webhooks.run, errors))
        async with facilities.services.feed:
            log.info("api.started", version=health.VERSION)
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                for task in tasks:
                    with suppress(asyncio.CancelledError):
                        await task
                await facilities.limits.close()

    return lifespan


async def _load_detector(facilities: Facilities) -> None:
    """In the background: the process is alive before it is ready."""
    await run_in_threadpool(facilities.faces.load)


def document_of_defaults() -> dict[str, Any]:
    """The OpenAPI document of an application with default settings."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), redis_url="redis://never.used", _env_file=None)
        return create_app(settings, connect(settings)).openapi()
