"""What routes ask for by type."""

import uuid
from typing import Annotated

from fastapi import Depends, Header, Path, Request

from nigaoe_api.caller import Caller, caller_of
from nigaoe_api.facilities import Facilities
from nigaoe_api.job_views import JobViews
from nigaoe_api.preferences import preferred_wait
from nigaoe_core.errors import UnknownJob
from nigaoe_core.services import Services
from nigaoe_core.settings import Settings


def _facilities(request: Request) -> Facilities:
    facilities: Facilities = request.app.state.facilities
    return facilities


Tools = Annotated[Facilities, Depends(_facilities)]
"""Everything that the application has."""


def _services(tools: Tools) -> Services:
    return tools.services


def _settings(tools: Tools) -> Settings:
    return tools.settings


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


ServicesDep = Annotated[Services, Depends(_services)]
SettingsDep = Annotated[Settings, Depends(_settings)]
CallerDep = Annotated[Caller, Depends(_caller)]
Base = Annotated[str, Depends(_base)]
"""The address that links begin with."""
JobId = Annotated[str, Depends(_job_id)]
"""A job's id from the path, in its usual form; what is no UUID is an unknown job."""


def _views(services: ServicesDep, base: Base) -> JobViews:
    return JobViews(services.store, base)


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
        description="Any text that names this order, such as a UUID. The same order with the same key gives the same "
        "jobs; another order with it is an error. It is known as long as the jobs are."
    ),
]
