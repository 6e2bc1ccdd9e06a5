"""Shared drawings: a signature lets whoever has the link look at one drawing, and do nothing else.

Nothing is stored: the signature follows from the job's id and the service's secret, and is worth nothing once the job
is erased. It stands in the fragment of the page's address, which browsers send to no server, and in the query of the
API's addresses, which is never logged.
"""

import base64
import hashlib
import hmac
import uuid
from typing import Final

from nigaoe_core.errors import LinkError

_BYTES: Final = 16


class ShareSigner:
    """Makes and checks the signatures.

    Args:
        secret: The service's signing secret.
    """

    def __init__(self, secret: bytes) -> None:
        # A key of its own, so that a signature made for another purpose with the same secret is worth nothing here.
        self._key = hmac.digest(secret, b"nigaoe shared drawings", hashlib.sha256)

    def sign(self, job_id: str) -> str:
        """The signature for a job's drawing, always the same."""
        mac = hmac.digest(self._key, uuid.UUID(job_id).bytes, hashlib.sha256)
        return base64.urlsafe_b64encode(mac[:_BYTES]).decode().rstrip("=")

    def verify(self, job_id: str, signature: str) -> None:
        """Accept a signature as it came.

        Raises:
            LinkError: It was changed, or is for another drawing.
        """
        if not hmac.compare_digest(self.sign(job_id).encode(), signature.encode()):
            raise LinkError("The link is not valid: ask whoever shared it for the whole address.")
