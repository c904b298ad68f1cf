"""Records of the prediction log: what a model predicted for a fight."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Literal

import msgspec
from msgspec import Struct

MAX_DAY_ENTRIES = 4096
"""Far above what a day of real cards needs; beyond it only existing entries are replaced."""

PredictionRole = Literal["live", "shadow"]


class PredictionInterval(Struct, frozen=True, array_like=True):
    """An interval of the first fighter's probability at a level."""

    level: float
    lower: float
    upper: float


class PredictionRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The last prediction of a model for a fight before it began. Probabilities are those of the first fighter.

    Attributes
    ----------
    day
        Day of the event, in UTC.
    fighters
        Names as the caller spelled them, in an order that depends on the names alone.
    market
        The market's probability at that time, None without quotes.
    red
        Index of the fighter with the official red corner, None if unknown.
    bet_on
        Index of the fighter to bet on, None if the decision was to abstain.
    bins
        Bins of the training values in which the features lie, from both sides (`engine.monitoring.drift`); empty if the
        model has none.
    state_cutoff
        Last day of the fighters' state that the answer came from, None if it came from none.
    fight_id
        Id of the fight; None in entries of earlier versions.
    offered
        Best decimal price of each fighter, net of commission, None without one; None in entries of earlier versions.
    at
        When the answer was settled; set by the server.
    """

    day: date
    fighters: tuple[str, str]
    model: str
    role: PredictionRole
    job_id: str
    probability: float
    intervals: tuple[PredictionInterval, ...]
    market: float | None = None
    market_aware: float | None = None
    red: Literal[0, 1] | None = None
    action: Literal["bet", "abstain"]
    reasons: tuple[str, ...] = ()
    bet_on: Literal[0, 1] | None = None
    bins: str = ""
    state_cutoff: date | None = None
    fight_id: str | None = None
    offered: tuple[float | None, float | None] | None = None
    at: datetime | None = None


class PredictionPage(Struct, frozen=True):
    """The records of one answered card, all of one day, ready to be stored. `names` are their keys."""

    day: date
    start_ms: int
    names: tuple[str, ...]
    entries: tuple[str, ...]

    @classmethod
    def from_records(cls, event_start: datetime, named: Sequence[tuple[str, PredictionRecord]]) -> PredictionPage:
        """Encode records. Each comes with the key of its fight, the same for every spelling of the two fighters."""
        names = tuple(f"{name}|{entry.model}|{entry.role}" for name, entry in named)
        entries = tuple(_encoder.encode(entry).decode() for _, entry in named)
        return cls(event_start.astimezone(UTC).date(), int(event_start.timestamp() * 1000), names, entries)


_encoder = msgspec.json.Encoder(order="sorted")


def encode_page(page: PredictionPage | None, keep_seconds: float) -> bytes:
    """Encode a page as `settle.lua` reads it; empty if there is nothing to store."""
    if page is None or not page.names:
        return b""
    fields = msgspec.to_builtins(page)
    return msgspec.json.encode(fields | {"ordinal": page.day.toordinal(), "keep_ms": round(keep_seconds * 1000)})
