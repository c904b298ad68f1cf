"""Removal of secrets from what an audit file shows: passwords of URLs, keys in their queries, tokens."""

from __future__ import annotations

import re
from typing import Any

REMOVED = "[removed]"
# A password may have an `@` of its own, so that it ends at the last one before the path.
_PASSWORD = re.compile(r"(?P<before>[A-Za-z][A-Za-z0-9+.-]*://)[^\s/?#\"'<>]*@")
_QUERY_KEY = re.compile(
    r"(?P<before>[?&;](?:[a-z0-9_.-]*(?:key|token|secret|password|passwd|signature|credential)|sig|auth)=)[^\s&;#\"'<>]+",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"cornerman_[0-9a-f]{12}_[A-Za-z0-9_-]{43}")
_WEBHOOK_SECRET = re.compile(r"whsec_[A-Za-z0-9+/=_-]{16,}")


_MARKS = (b"://", b"=", b"cornerman_", b"whsec_")
"""One of these is in every text with a secret."""


def may_have_secrets(text: bytes) -> bool:
    """Return True if JSON that was written by msgspec may contain a secret, which takes long to find out."""
    return any(mark in text for mark in _MARKS)


def without_secrets(value: Any) -> Any:
    """Return a value as JSON holds it, with every secret in its texts and keys replaced by `[removed]`."""
    if isinstance(value, str):
        return _text_without_secrets(value)
    if isinstance(value, dict):
        return {_text_without_secrets(key): without_secrets(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_secrets(item) for item in value]
    return value


def _text_without_secrets(text: str) -> str:
    if "://" in text or "=" in text:
        text = _PASSWORD.sub(rf"\g<before>{REMOVED}@", text)
        text = _QUERY_KEY.sub(rf"\g<before>{REMOVED}", text)
    if "_" in text:
        text = _TOKEN.sub(REMOVED, text)
        text = _WEBHOOK_SECRET.sub(REMOVED, text)
    return text
