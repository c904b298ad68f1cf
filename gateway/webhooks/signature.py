"""Signatures of webhooks: HMAC-SHA256 over id, time and body, as Standard Webhooks defines version `v1`."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence

from ledger.webhooks.webhook_store import SECRET_PREFIX


def signed_headers(secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers that identify and sign a message, with a signature by each secret.

    Parameters
    ----------
    secrets
        Secrets in base64, each with the prefix `whsec_` or without.
    message_id
        Id of the message, the same for each attempt.
    timestamp
        Time of this attempt, in seconds since 1970.
    body
        The body exactly as it is sent.
    """
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(_signature(secret, message_id, timestamp, body) for secret in secrets),
    }


def _signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    digest = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"
