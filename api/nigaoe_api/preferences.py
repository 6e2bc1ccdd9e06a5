"""The header ``Prefer`` (RFC 7240), as far as it is understood here: ``wait=SECONDS``."""

import re

from nigaoe_api.request_schemas import MAX_WAIT_SECONDS

_WAIT = re.compile(r"""(?:^|[,;])\s*wait\s*=\s*"?(\d{1,9}(?:\.\d{1,6})?)"?\s*(?=$|[,;])""", re.IGNORECASE)


def preferred_wait(prefer: str | None) -> float | None:
    """Return for how many seconds the caller would wait, at most `MAX_WAIT_SECONDS`; None if it does not say.

    A preference that is not understood is ignored, as the RFC demands.
    """
    match = _WAIT.search(prefer or "")
    return min(float(match[1]), MAX_WAIT_SECONDS) if match else None
