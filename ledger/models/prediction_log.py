"""The prediction log: predictions before each fight, kept longer than outcomes and compared with the results.

One entry a fight, model and role. A `live` entry is written in the step that settles its card (`settle.lua`), so it
exists if and only if bet placers could read the answer; a `shadow` entry in the step that settles a shadow card. A
later answer before the start replaces the entry: the last one used the latest prices and was valid when the fight
began, so that each fight counts once and is compared with the market at the same time. Answers after the start are not
stored. Entries live for `prediction_log_retention_seconds` after their event, and there are at most MAX_DAY_ENTRIES
of a day.

Names are the caller's; the review job matches them to results with the engine's fighter names.
"""

from __future__ import annotations

from datetime import date

import msgspec

from ledger.contracts.lazy_decoder import LazyDecoder
from ledger.contracts.prediction_record import PredictionRecord
from ledger.server.server import Server, to_datetime

DAYS_AT_ONCE = 4
"""How many days are in one reply, which the server holds as a whole: at most some MB, however long the log is."""
_decoder: LazyDecoder[PredictionRecord] = LazyDecoder(PredictionRecord)


class PredictionLog:
    """The prediction log, read by the review of a model."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def days(self) -> set[date]:
        """Return the days that have entries."""
        days = self._server.execute("ZRANGEBYSCORE", self._server.key("journal"), "-inf", "+inf")
        return {date.fromisoformat(day.decode()) for day in days}

    def entries(self, since: date | None = None) -> list[PredictionRecord]:
        """Return the entries of all days from `since` on, sorted by day, fighters, model and role."""
        days = self._server.execute(
            "ZRANGEBYSCORE", self._server.key("journal"), "-inf" if since is None else since.toordinal(), "+inf"
        )
        entries: list[PredictionRecord] = []
        for first in range(0, len(days), DAYS_AT_ONCE):
            keys = [self._server.key("journal", day.decode()) for day in days[first : first + DAYS_AT_ONCE]]
            for page in self._server.transaction(*(("HGETALL", key) for key in keys)):
                entries += [_read(value) for value in page.values()]
        return sorted(entries, key=lambda entry: (entry.day, entry.fighters, entry.model, entry.role))


def _read(value: bytes) -> PredictionRecord:
    milliseconds, _, text = value.partition(b" ")
    return msgspec.structs.replace(_decoder.decode(text), at=to_datetime(milliseconds))
