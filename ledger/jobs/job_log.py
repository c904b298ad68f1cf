"""Log lines about a job: warnings and what else its workers logged, kept with the job's record."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from ledger.contracts.lazy_decoder import convert
from ledger.server.error_replies import ServerFullError
from ledger.server.server import Server

MAX_LINES = 50
MAX_BYTES = 10_240
_BASIC = ("timestamp", "level", "event", "logger", "pid")


class JobLogLine(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A log line about a job. The time is the worker's; `fields` are the further fields of the line."""

    at: datetime
    level: str
    event: str
    logger: str = ""
    pid: int | None = None
    fields: dict[str, Any] = {}


class JobLogs:
    """Log lines about jobs."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def append(self, lines: Sequence[tuple[str, bytes]]) -> None:
        """Store lines, each the id of a job and a JSON object. The last `MAX_LINES` (`MAX_BYTES`) of a job are kept.

        Lines about jobs without a record are dropped, and all if the server is full. Raises LedgerUnavailableError.
        """
        arguments = [part for line in lines for part in line]
        if arguments:
            with suppress(ServerFullError):
                self._server.run_script("log_lines", MAX_LINES, MAX_BYTES, *arguments)


def lines_in(log: bytes | None) -> tuple[int, list[JobLogLine]]:
    """Return the lines of a record's log, and how many before them were dropped."""
    dropped = 0
    lines = []
    for text in filter(None, (log or b"").split(b"\n")):
        if text.startswith(b"dropped "):
            dropped = int(text.removeprefix(b"dropped "))
        else:
            with suppress(msgspec.DecodeError, KeyError):
                lines.append(_line_in(text))
    return dropped, lines


def _line_in(text: bytes) -> JobLogLine:
    fields = msgspec.json.decode(text, type=dict[str, Any])
    basic = {name: fields.pop(name, None) for name in _BASIC}
    line = {"at": basic.pop("timestamp"), **basic, "fields": fields}
    return convert({name: value for name, value in line.items() if value is not None}, JobLogLine)
