"""A job's events as a Redis stream; state and progress are added by the job table's own scripts."""

import json
from typing import Final

from typing_extensions import override

from nigaoe_core.jobs import Seconds
from nigaoe_core.store.contract import Claim
from nigaoe_core.store.events import (
    BEGINNING,
    MAX_EVENTS,
    PREVIEW_TYPE,
    WATCH_SECONDS,
    Event,
    EventKind,
    EventLog,
    checked_event_id,
    preview_data,
)
from nigaoe_core.store.redis_link import RedisLink

_KINDS: Final = frozenset(EventKind)


class RedisEventLog(EventLog):
    """`EventLog` over Redis streams; safe to share between threads."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link

    @override
    def preview(
        self,
        claim: Claim,
        image: bytes,
        *,
        step: int,
        content_type: str = PREVIEW_TYPE,
        drawing: bytes | None = None,
    ) -> bool:
        data = json.dumps(preview_data(image, step, content_type, drawing))
        return bool(self._link.script("preview", claim.job_id, str(claim.token), data))

    @override
    def watch(self, job_id: str, *, seconds: Seconds = WATCH_SECONDS) -> None:
        self._link.script("watch", job_id, repr(seconds))

    @override
    def is_watched(self, job_id: str) -> bool:
        return bool(self._link.script("is_watched", job_id))

    @override
    def read(self, job_id: str, *, after: str = BEGINNING, limit: int = MAX_EVENTS) -> list[Event]:
        key = self._link.key("events", job_id)
        entries = self._link.call(lambda client: client.xrange(key, min=f"({checked_event_id(after)}", count=limit))
        # A newer Nigaoe may tell of things that this one does not know.
        known = [(entry_id, fields) for entry_id, fields in entries if fields["kind"] in _KINDS]
        return [Event(entry_id, EventKind(fields["kind"]), json.loads(fields["data"])) for entry_id, fields in known]
