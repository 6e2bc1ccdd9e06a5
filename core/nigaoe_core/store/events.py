"""What happened to a job, in order: state changes, progress and previews, as a log that a client can resume.

The store appends ``state`` and ``progress`` events by itself, in the atomic step of the change; a worker appends
previews while somebody watches. An event's id is opaque and grows; `EventLog.read` continues behind any id, which is
what ``Last-Event-ID`` needs. A log is kept short and lives an hour after the last event; deleting the job erases it.
"""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from nigaoe_core.errors import UsageError
from nigaoe_core.jobs import Job, Seconds
from nigaoe_core.store.job_records import MAX_EVENTS, Claim

if TYPE_CHECKING:
    from nigaoe_core.store.redis_link import RedisLink

MAX_PREVIEW_BYTES: Final = 64 * 1024
WATCH_SECONDS: Final[Seconds] = 30.0
"""How long a job counts as watched after a watcher's last sign; followers give one three times as often."""

PREVIEW_TYPE: Final = "image/jpeg"

BEGINNING: Final = "0-0"
"""The id before every event."""

_ID = re.compile(r"\d{1,18}-\d{1,18}")


class EventKind(StrEnum):
    """What an event tells."""

    STATE = "state"  # data: state, attempt, version, error (code, message) or nothing.
    PROGRESS = "progress"  # data: a `nigaoe_core.jobs.Progress`, and its fraction.
    PREVIEW = "preview"  # data: step, content_type, image (base64), drawing (base64) where there is one.


_KINDS: Final = frozenset(EventKind)


@dataclass(frozen=True)
class Event:
    """One entry of a job's log."""

    id: str
    kind: EventKind
    data: Mapping[str, Any]  # JSON-ready.


class EventLog:
    """The jobs' events as Redis streams. Blocking, thread-safe; for following see `nigaoe_core.store.changes`.

    Args:
        link: The connection.
    """

    def __init__(self, link: "RedisLink") -> None:
        self._link = link

    def preview(
        self,
        claim: Claim,
        image: bytes,
        *,
        step: int,
        content_type: str = PREVIEW_TYPE,
        drawing: bytes | None = None,
    ) -> bool:
        """Append a preview picture; False, and nothing appended, if the claim no longer holds the job.

        Args:
            claim: Of the worker that searches.
            image: What the search has found so far.
            step: The step that drew it.
            content_type: Of both pictures.
            drawing: What the style makes of it; None: it was not drawn.

        Raises:
            UsageError: A picture has more than `MAX_PREVIEW_BYTES`.
            StoreUnavailable: Redis does not answer.
        """
        data = json.dumps(_preview_data(image, step, content_type, drawing))
        return bool(self._link.script("preview", claim.job_id, str(claim.token), data))

    def watch(self, job_id: str, *, seconds: Seconds = WATCH_SECONDS) -> None:
        """Tell that somebody follows the job, for so long: previews are worth drawing. An unknown job is left alone.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        self._link.script("watch", job_id, repr(seconds))

    def is_watched(self, job_id: str) -> bool:
        """Whether somebody follows the job.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        return bool(self._link.script("is_watched", job_id))

    def read(self, job_id: str, *, after: str = BEGINNING, limit: int = MAX_EVENTS) -> list[Event]:
        """Read up to ``limit`` events behind ``after``, oldest first; an unknown job has none.

        Raises:
            UsageError: ``after`` is not an event id.
            StoreUnavailable: Redis does not answer.
        """
        if not _ID.fullmatch(after):
            raise UsageError("Last-Event-ID is not the id of an event: leave it out to begin at the start.")
        key = self._link.key("events", job_id)
        entries = self._link.call(lambda client: client.xrange(key, min=f"({after}", count=limit))
        # A newer Nigaoe may tell of things that this one does not know.
        known = [(entry_id, fields) for entry_id, fields in entries if fields["kind"] in _KINDS]
        return [Event(entry_id, EventKind(fields["kind"]), json.loads(fields["data"])) for entry_id, fields in known]


def events_of(old: Job | None, new: Job) -> Sequence[tuple[EventKind, dict[str, Any]]]:
    """Tell which events a change of a job's record means."""
    events: list[tuple[EventKind, dict[str, Any]]] = []
    if old is not None and new.progress is not None and new.progress != old.progress:
        events.append((EventKind.PROGRESS, new.progress.model_dump(mode="json", exclude_none=True)))
    if old is None or old.state is not new.state or old.cancel_requested is not new.cancel_requested:
        events.append((EventKind.STATE, state_data(new)))  # Last, because a stream ends with the job's end.
    return events


def state_data(job: Job) -> dict[str, Any]:
    """The data of a state event, also for a client that joins late."""
    data: dict[str, Any] = {"state": job.state.value, "attempt": job.attempt, "version": job.version}
    if job.cancel_requested:
        data["cancel_requested"] = True
    if job.error is not None:
        data["error"] = job.error.model_dump(mode="json")
    return data


def _preview_data(image: bytes, step: int, content_type: str, drawing: bytes | None = None) -> dict[str, Any]:
    """The data of a preview event.

    Raises:
        UsageError: A picture has more than `MAX_PREVIEW_BYTES`.
    """
    pictures = {"image": image} | ({"drawing": drawing} if drawing is not None else {})
    if any(len(picture) > MAX_PREVIEW_BYTES for picture in pictures.values()):
        raise UsageError(f"A preview has at most {MAX_PREVIEW_BYTES} bytes: reduce it further.")
    encoded = {name: base64.b64encode(picture).decode() for name, picture in pictures.items()}
    return {"step": step, "content_type": content_type, **encoded}
