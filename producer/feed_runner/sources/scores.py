"""The scores of a provider, kept in a folder for `cornerman fight-log import`: one file for each day.

Scores leave the provider's answers after three days; the files stay. When they were read last is the time of the newest
file, so a runner that takes over on the same machine goes on where the one before ended.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from producer.feed_runner.failures import Reason, RetrievalError
from producer.feed_runner.reading import Retrieval

PREFIX, SUFFIX = "scores-", ".json"
RETRY_SECONDS = 60.0


class ScoresFolder:
    """The folder of the scores of one feed.

    Parameters
    ----------
    folder
        The folder; made if absent.
    every_seconds
        Time between two readings.
    """

    def __init__(self, folder: Path, every_seconds: float) -> None:
        self._folder = folder
        self._every_seconds = every_seconds
        self._next = 0.0
        files = sorted(folder.glob(f"{PREFIX}*{SUFFIX}"))
        if files:
            self._next = files[-1].stat().st_mtime + every_seconds

    def is_due(self, now: float) -> bool:
        """Return True if the scores are to be read, at a moment in seconds since 1970."""
        return now >= self._next or self._next > now + self._every_seconds  # the latter: the clock was set back

    def keep(self, retrieval: Retrieval) -> None:
        """Write scores to the file of their day. Raises RetrievalError if they are none, or cannot be written."""
        day = retrieval.read_at.astimezone(UTC).date()
        self._next = retrieval.read_at.timestamp() + self._every_seconds
        try:
            if not isinstance(msgspec.json.decode(retrieval.content), list):
                raise RetrievalError(Reason.UNREADABLE, "the scores are no list: is CORNERMAN_FEED_URL right?")
            self._folder.mkdir(parents=True, exist_ok=True)
            new = self._folder / f".{PREFIX}{os.getpid()}"
            new.write_bytes(retrieval.content)
            new.replace(self._folder / f"{PREFIX}{day.isoformat()}{SUFFIX}")
        except (msgspec.DecodeError, RecursionError):
            raise RetrievalError(Reason.UNREADABLE, "the scores are no JSON: is CORNERMAN_FEED_URL right?") from None
        except OSError as error:
            message = f"the scores cannot be written to {self._folder}: {error.strerror}"
            raise RetrievalError(Reason.PROCESSING, message) from None

    def failed(self, now: datetime) -> None:
        """Try again soon, but not at once."""
        self._next = now.timestamp() + min(RETRY_SECONDS, self._every_seconds)
