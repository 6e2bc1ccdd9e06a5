"""The parts of an application, built once, and the FastAPI dependencies by which routes ask for them."""

import uuid
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Path, Request
from starlette.concurrency import run_in_threadpool

from nigaoe_api.api_keys import KeyRing
from nigaoe_api.callers import Caller, caller_of
from nigaoe_api.conversions import Conversions
from nigaoe_api.face_finder import FaceFinder
from nigaoe_api.headers import preferred_wait
from nigaoe_api.job_submission import JobSubmission
from nigaoe_api.job_views import JobViews
from nigaoe_api.kept_photos import KeptPhotos
from nigaoe_api.metrics import Metrics
from nigaoe_api.outbound import Outbound
from nigaoe_api.rate_limits import RateLimits
from nigaoe_api.readiness import Readiness
from nigaoe_api.restyles import Restyles
from nigaoe_api.result_renderer import ResultRenderer
from nigaoe_api.style_catalogue import StyleCatalogue
from nigaoe_api.tokens import FaceTokens, ShareSigner
from nigaoe_api.uploads_in_flight import UploadsInFlight
from nigaoe_api.visitors import VisitorCookies
from nigaoe_api.webhooks import WebhookSender
from nigaoe_core.errors import UnknownJob
from nigaoe_core.jobs import Job
from nigaoe_core.services import Services
from nigaoe_core.settings import Settings
from nigaoe_core.signing_secret import load_signing_secret
from nigaoe_faces.result_encoder import ResultEncoder


@dataclass(frozen=True)
class Facilities:
    """All parts of one application."""

    settings: Settings
    services: Services
    keys: KeyRing | None
    visitors: VisitorCookies
    shares: ShareSigner
    limits: RateLimits
    uploads: UploadsInFlight
    styles: StyleCatalogue
    faces: FaceFinder
    outbound: Outbound
    kept: KeptPhotos
    submission: JobSubmission
    conversions: Conversions
    restyles: Restyles
    renderer: ResultRenderer
    readiness: Readiness
    metrics: Metrics
    webhooks: WebhookSender


def build_facilities(settings: Settings, services: Services) -> Facilities:
    """Build all parts of an application; nothing is connected or loaded yet.

    Raises:
        InvalidSettings: A rate limit cannot be read, the signing secret cannot be made, or the certificate cannot sign.
        InvalidManifest: The registry cannot be read.
    """
    secret = load_signing_secret(settings)
    limits = RateLimits(settings)
    styles = StyleCatalogue(settings)
    uploads = UploadsInFlight(settings.max_upload_bytes_in_flight)
    metrics = Metrics(services.store, services.errors, uploads)
    faces = FaceFinder(settings, FaceTokens(secret), metrics)
    outbound = Outbound(allow_loopback=settings.webhook_allow_loopback)
    submission = JobSubmission(services, outbound, metrics)
    return Facilities(
        settings=settings,
        services=services,
        keys=KeyRing(settings.api_keys_file) if settings.api_keys_file else None,
        visitors=VisitorCookies(secret, settings),
        shares=ShareSigner(secret),
        limits=limits,
        uploads=uploads,
        styles=styles,
        faces=faces,
        outbound=outbound,
        kept=KeptPhotos(services, secret),
        submission=submission,
        conversions=Conversions(submission, styles, faces, limits),
        restyles=Restyles(submission, services, styles),
        renderer=ResultRenderer(services, ResultEncoder.from_settings(settings)),
        readiness=Readiness(services, faces),
        metrics=metrics,
        webhooks=WebhookSender(services.store, outbound, settings, secret, metrics, services.errors),
    )


def _facilities(request: Request) -> Facilities:
    facilities: Facilities = request.app.state.facilities
    return facilities


Tools = Annotated[Facilities, Depends(_facilities)]
"""Everything that the application has."""


def _caller(request: Request) -> Caller:
    return caller_of(request.scope)


def _base(request: Request, tools: Tools) -> str:
    return (tools.settings.public_url or str(request.base_url)).rstrip("/")


def _job_id(
    job_id: Annotated[str, Path(description="A job's id.", json_schema_extra={"format": "uuid"})],
) -> str:
    try:
        return str(uuid.UUID(job_id))
    except ValueError:
        raise UnknownJob("There is no such job.") from None


CallerDep = Annotated[Caller, Depends(_caller)]
Base = Annotated[str, Depends(_base)]
"""The address that links begin with."""
JobId = Annotated[str, Depends(_job_id)]
"""A job's id from the path, in its usual form; what is no UUID is an unknown job."""


async def _own_job(job_id: JobId, caller: CallerDep, tools: Tools) -> Job:
    return await run_in_threadpool(tools.services.store.get, job_id, tenant=caller.tenant)


OwnJob = Annotated[Job, Depends(_own_job)]
"""The caller's job of the path; another tenant's is an unknown one."""


def _views(tools: Tools, base: Base) -> JobViews:
    return JobViews(tools.services.store, base)


Views = Annotated[JobViews, Depends(_views)]


def _wait(
    prefer: Annotated[
        str | None, Header(description="`wait=SECONDS` (at most 60): answer with the finished job if it ends by then.")
    ] = None,
) -> float | None:
    return preferred_wait(prefer)


PreferredWait = Annotated[float | None, Depends(_wait)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        description="Any text that names this request, such as a UUID. The same request with the same key gives the "
        "same jobs; another request with it is an error. It is known as long as the jobs are."
    ),
]
