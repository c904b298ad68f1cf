"""Log lines about jobs, for the ledger: passed on by the children and the main process of a pool."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

MAX_LINE_BYTES = 2_000
_MAX_TRACEBACK_CHARACTERS = 1_000
_MAX_TEXT_CHARACTERS = 200

Send = Callable[[str, bytes], None]
"""Passes on the id of a job and a line about it, without waiting."""


class JobLogHandler(logging.Handler):
    """Passes lines about jobs on, each as one JSON object of at most `MAX_LINE_BYTES`.

    `job_of` returns the id of the job that a record is about, None for other records.
    """

    def __init__(self, job_of: Callable[[logging.LogRecord], str | None], send: Send) -> None:
        super().__init__(logging.INFO)
        self._job_of = job_of
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a line on, if it is about a job."""
        if (job_id := self._job_of(record)) is not None:
            with suppress(Exception):  # the other handlers have the line, and no job may fail for its log
                self._send(job_id, shortened(self.format(record)))


def shortened(line: str) -> bytes:
    """Return a JSON line in at most `MAX_LINE_BYTES`, without the job's id and the beginning of a traceback."""
    fields = json.loads(line)
    fields.pop("job_id", None)
    for name, value in fields.items():
        if isinstance(value, str):
            traceback = name in ("exception", "traceback")
            fields[name] = value[-_MAX_TRACEBACK_CHARACTERS:] if traceback else value[:_MAX_TEXT_CHARACTERS]
    text = _encoded(fields)
    if len(text) > MAX_LINE_BYTES:
        basic = ("timestamp", "level", "logger", "event", "pid", "error", "reason")
        text = _encoded({name: fields[name] for name in basic if name in fields} | {"shortened": True})
    return text


def _encoded(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields).encode()
