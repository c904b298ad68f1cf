"""The canonical lines of a child's jobs, rendered and written several at a time.

The usual path of log lines costs as much as the rest of a small job: 46 us a line, against 6 us here.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from ledger.ledger import Claim
from workers.logs.setup import RENDERED, canonical_line, peak_memory_mb

LOGGER = "cornerman"
_WRITTEN_AT_ONCE_CHARACTERS = 4096  # in ASCII; written as a whole, even into a pipe with other writers


def job_line(
    claim: Claim, outcome: str, *, run_seconds: float, model: str | None, reason: str | None = None
) -> dict[str, Any]:
    """Return the log fields of an attempt in a child; see `canonical_line`."""
    return canonical_line(
        claim, outcome, queue_wait=claim.queue_wait, run_seconds=run_seconds, model=model, reason=reason
    )


class JobLineWriter:
    """The writer of a child's canonical lines: to the handlers of its log, without formatting each line separately."""

    def __init__(self) -> None:
        self._logger = logging.getLogger(LOGGER)

    def write(self, attempts: Iterable[Mapping[str, Any]]) -> None:
        """Write the lines of finished attempts, a few at a time, if this level is logged at all."""
        if not self._logger.isEnabledFor(logging.INFO):
            return
        for text in _joined(_rendered(attempts)):
            record = self._logger.makeRecord(LOGGER, logging.INFO, __file__, 0, text, (), None)
            setattr(record, RENDERED, text)
            self._logger.handle(record)


def _rendered(attempts: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield lines in the format of all others: on one line, with spaces, in ASCII."""
    common = {"peak_memory_mb": peak_memory_mb(), "event": "job", "level": "info", "logger": LOGGER}
    common |= {"pid": os.getpid(), "timestamp": datetime.now(UTC)}
    for attempt in attempts:
        text = msgspec.json.format(msgspec.json.encode({**attempt, **common}), indent=0).decode()
        yield text if text.isascii() else json.dumps(json.loads(text))


def _joined(lines: Iterable[str]) -> Iterator[str]:
    """Join lines to pieces that are written as a whole."""
    piece: list[str] = []
    size = 0
    for line in lines:
        if piece and size + len(line) + 1 > _WRITTEN_AT_ONCE_CHARACTERS:
            yield "\n".join(piece)
            piece, size = [], 0
        piece.append(line)
        size += len(line) + 1
    if piece:
        yield "\n".join(piece)
