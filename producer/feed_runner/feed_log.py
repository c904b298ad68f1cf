"""The log lines of a feed runner: JSON on the standard error, in which no API key can appear."""

from __future__ import annotations

import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, quote_plus

import msgspec

LOGGER = "cornerman.feed"
_HIDDEN = "***"


class JsonFormatter(logging.Formatter):
    """Formatter of one line of JSON, with the secrets in it replaced, also as they are written in URLs."""

    def __init__(self, secrets: tuple[str, ...] = ()) -> None:
        super().__init__()
        written = [(secret, quote(secret, safe=""), quote_plus(secret), quote(secret)) for secret in secrets if secret]
        self._secrets = tuple(dict.fromkeys(form for forms in written for form in forms))

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as JSON."""
        line: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": os.getpid(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        text = msgspec.json.encode(line, enc_hook=str).decode()
        for secret in self._secrets:
            text = text.replace(secret, _HIDDEN)
        return text


def configure_logging(*secrets: str) -> None:
    """Write all log lines of this process to the standard error, those of libraries from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(secrets))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger(LOGGER).setLevel(logging.INFO)
    for library in ("httpx", "httpcore"):  # their lines of lower levels contain URLs, and with them the key
        logging.getLogger(library).setLevel(logging.WARNING)


def log(level: int, event: str, **fields: Any) -> None:
    """Write one line: what happened, and its figures."""
    logging.getLogger(LOGGER).log(level, event, extra={"fields": fields})
