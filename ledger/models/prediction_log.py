"""The journal: what models said of each fight before it began, kept longer than outcomes, to be held against results.

One entry a fight, model and role. A `live` entry is written in the step that settles its card (`settle.lua`), so it
exists if and only if bet placers could read the answer; a `shadow` entry in the step that settles a shadow's. A later
answer before the start replaces the entry: of everything a model said, its last word was made from the latest prices
and stood when the bell rang, so that each fight counts once and is compared with the market at the same moment. What
is answered after the start is not written. Entries live for `journal_seconds` after their event, and there are at most
MAX_DAY_ENTRIES of a day.

Names are the caller's. Who they mean is the engine's matter, so results are matched to them in the review's job.
"""

from __future__ import annotations

from datetime import date

import msgspec

from ledger.contracts.prediction_record import JournalEntry
from ledger.server.server import Server, moment

"""Far above what a day of real cards needs; beyond it only entries that are there are still replaced."""


_decoder = msgspec.json.Decoder(JournalEntry)


class PredictionLog:
    """Recorded predictions, read by the review of a model."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def entries(self, since: date | None = None) -> list[JournalEntry]:
        """Return the entries of all days from `since` on, in order of day, fighters, model and role."""
        days = self._server.execute(
            "ZRANGEBYSCORE", self._server.key("journal"), "-inf" if since is None else since.toordinal(), "+inf"
        )
        pages = (
            self._server.transaction(*(("HGETALL", self._server.key("journal", day.decode())) for day in days))
            if days
            else []
        )
        entries = [_read(value) for page in pages for value in page.values()]
        return sorted(entries, key=lambda entry: (entry.day, entry.fighters, entry.model, entry.role))


def _read(value: bytes) -> JournalEntry:
    milliseconds, _, text = value.partition(b" ")
    return msgspec.structs.replace(_decoder.decode(text), at=moment(milliseconds))
