"""``GET /jobs/{id}/events``: a job as it happens, as server-sent events."""

import json
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Response
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from nigaoe_api.dependencies import OwnJob, Tools
from nigaoe_api.errors import problems
from nigaoe_core import errors
from nigaoe_core.errors import NigaoeError, UnknownJob, UsageError
from nigaoe_core.jobs import Job
from nigaoe_core.services import Services
from nigaoe_core.store.changes import follow_events
from nigaoe_core.store.events import BEGINNING, Event, EventKind, EventLog, state_data

router = APIRouter(prefix="/jobs", tags=["jobs"])

RECONNECT_MILLISECONDS: Final = 1500
SEND_SECONDS: Final = 30.0
"""A client that takes nothing for so long has gone, even if nobody told."""
PING_SECONDS: Final = 15
STREAM: Final = "event_stream"
"""Where unexpected errors of one client's stream are counted."""

LastEventId = Annotated[
    str | None,
    Header(description="Continue behind this event; what is no event's id begins at the start."),
]
_EVENT_SCHEMA: Final = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "id": {"type": "string"},
        "event": {"type": "string", "enum": ["state", "progress", "preview", "gone"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
        "retry": {"type": "integer"},
    },
}


@router.get(
    "/{job_id}/events",
    summary="Follow a job",
    response_class=EventSourceResponse,
    responses={
        200: {
            "description": "`state` (StateEvent), `progress` (ProgressView) and `preview` (PreviewEvent) events; "
            "`gone` when the job is deleted. The stream ends with the job.",
            "content": {"text/event-stream": {"schema": _EVENT_SCHEMA}},
        },
        204: {"description": "The job has ended, and everything behind `Last-Event-ID` was told."},
        **problems(errors.UnknownJob, guarded=True),
    },
)
async def follow_job(job: OwnJob, tools: Tools, last_event_id: LastEventId = None) -> Any:
    """Events as they come, from the beginning or behind `Last-Event-ID`.

    The log of a job is short and lives for an hour after its last event; a client that comes later gets the state.
    """
    after, missed = await run_in_threadpool(_missed, tools.services.events, job.id, last_event_id)
    if job.state.is_end and not missed:
        if after != BEGINNING:
            return Response(status_code=204)  # Stops an EventSource from coming back.
        return _respond(_once(job))
    return _respond(_counted(_followed(tools.services, job.id, after), tools))


def _respond(events: AsyncIterator[ServerSentEvent]) -> EventSourceResponse:
    return EventSourceResponse(events, ping=PING_SECONDS, send_timeout=SEND_SECONDS, sep="\n")


def _missed(log: EventLog, job_id: str, last_event_id: str | None) -> tuple[str, list[Event]]:
    """Where to begin, and what is there already.

    An `EventSource` gives up for ever when it is refused, so an id that is none begins at the start.
    """
    if last_event_id:
        with suppress(UsageError):
            return last_event_id, log.read(job_id, after=last_event_id)
    return BEGINNING, log.read(job_id, after=BEGINNING)


async def _once(job: Job) -> AsyncIterator[ServerSentEvent]:
    yield ServerSentEvent(json.dumps(state_data(job)), event=EventKind.STATE.value)


async def _followed(services: Services, job_id: str, after: str) -> AsyncIterator[ServerSentEvent]:
    first = True
    try:
        async with aclosing(follow_events(services.store, services.events, services.feed, job_id, after=after)) as log:
            async for event in log:
                yield _sent(event, retry=RECONNECT_MILLISECONDS if first else None)
                first = False
    except UnknownJob as error:
        yield ServerSentEvent(json.dumps({"code": error.code}), event="gone")
    except NigaoeError:
        return  # The store is away: the client comes back by itself, with the last id it has.
    except Exception as error:  # noqa: BLE001 - recorded whole; the client comes back, and the others hear nothing of it.
        services.errors.record(STREAM, error)


async def _counted(events: AsyncIterator[ServerSentEvent], tools: Tools) -> AsyncIterator[ServerSentEvent]:
    with tools.metrics.event_streams.track_inprogress():
        async for event in events:
            yield event


def _sent(event: Event, retry: int | None) -> ServerSentEvent:
    data = json.dumps(dict(event.data), separators=(",", ":"))
    return ServerSentEvent(data, event=event.kind.value, id=event.id, retry=retry)
