"""Signatures of webhooks after the Standard Webhooks specification (standardwebhooks.com), a secret for each tenant.

A tenant's secret follows from the service's signing secret, so nothing more is stored, all replicas agree, and one
tenant cannot sign for another. ``nigaoe keys webhook-secret`` prints it.
"""

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from typing import Final

from standardwebhooks import Webhook

_PURPOSE: Final = b"nigaoe webhooks\0"


def webhook_secret(signing_secret: bytes, tenant: str) -> str:
    """The secret that a tenant checks webhooks with, in the specification's form ``whsec_BASE64``."""
    key = hmac.digest(signing_secret, _PURPOSE + tenant.encode(), hashlib.sha256)
    return f"whsec_{base64.b64encode(key).decode()}"


def signed_headers(secret: str, *, message_id: str, sent_at: datetime, body: str) -> dict[str, str]:
    """The headers that prove where a webhook comes from.

    Args:
        secret: From `webhook_secret`.
        message_id: Stays the same when the message is sent again.
        sent_at: Time of this try.
        body: The JSON text exactly as sent.
    """
    sent_at = sent_at.astimezone(UTC)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(sent_at.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, sent_at, body),
        "Content-Type": "application/json",
    }
