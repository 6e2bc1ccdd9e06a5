"""Request and response headers that mean something to jobs: ``Prefer``, and the entity tags of ``ETag``.

A job's tag contains its version, which grows with every change of its record, and its place in the queue, which changes
without one. The estimate of the time left is no part of it.
"""

import re

from nigaoe_api.request_schemas import MAX_WAIT_SECONDS
from nigaoe_api.schemas import JobView

_WAIT = re.compile(r"""(?:^|[,;])\s*wait\s*=\s*"?(\d{1,9}(?:\.\d{1,6})?)"?\s*(?=$|[,;])""", re.IGNORECASE)
_TAG = re.compile(r'(?:W/)?"job-(\d{1,18})-(\d{1,18}|x)"')


def preferred_wait(prefer: str | None) -> float | None:
    """Read ``wait=SECONDS`` from ``Prefer`` (RFC 7240): how long the caller would wait, at most `MAX_WAIT_SECONDS`.

    None if it does not say. A preference that is not understood is ignored, as the RFC demands.
    """
    match = _WAIT.search(prefer or "")
    return min(float(match[1]), MAX_WAIT_SECONDS) if match else None


def job_tag(job: JobView) -> str:
    """The tag of a job as it is shown."""
    position = "x" if job.queue_position is None else job.queue_position
    return f'W/"job-{job.version}-{position}"'


def known_version(if_none_match: str | None) -> int | None:
    """The highest version that the client says it knows; None if it names none of our tags."""
    versions = [int(match[1]) for match in _TAG.finditer(if_none_match or "")]
    return max(versions, default=None)


def matches(if_none_match: str | None, tag: str) -> bool:
    """Whether the client has what ``tag`` stands for, by the weak comparison."""
    given = [entry.strip().removeprefix("W/") for entry in (if_none_match or "").split(",")]
    return tag.removeprefix("W/") in given or given == ["*"]
