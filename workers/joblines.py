"""The canonical lines of a child's jobs, rendered at once and written many together.

The road that all other lines take costs as much as the rest of a small job: 56 us a line, against 7 here.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from ledger.book import Claim
from workers.logs import RENDERED, canonical_line, peak_memory_mb

LOGGER = "cornerman"
_WRITTEN_AT_ONCE_CHARACTERS = 4096  # ASCII: in one piece, also into a pipe that others write to


def job_line(claim: Claim, outcome: str, *, run_seconds: float, model: str | None) -> str:
    """Render the canonical line of an attempt that ends now."""
    line = canonical_line(claim, outcome, queue_wait=claim.queue_wait, run_seconds=run_seconds, model=model)
    timestamp = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    line |= {"peak_memory_mb": peak_memory_mb(), "event": "job", "level": "info"}
    line |= {"logger": LOGGER, "pid": os.getpid(), "timestamp": timestamp}
    return json.dumps(line)


class JobLines:
    """Where a child's lines go: to the handlers of its log, past the formatting of each by itself."""

    def __init__(self) -> None:
        self._logger = logging.getLogger(LOGGER)

    def write(self, lines: Iterable[str]) -> None:
        """Write lines, a few at a time, if such are logged at all."""
        if not self._logger.isEnabledFor(logging.INFO):
            return
        for text in _joined(lines):
            record = self._logger.makeRecord(LOGGER, logging.INFO, __file__, 0, text, (), None)
            setattr(record, RENDERED, text)
            self._logger.handle(record)


def _joined(lines: Iterable[str]) -> Iterator[str]:
    """Join lines to pieces that are written whole."""
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
