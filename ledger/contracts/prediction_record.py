"""Records of the prediction log: what was answered about a fight."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Literal

import msgspec
from msgspec import Struct

MAX_DAY_ENTRIES = 4096


Role = Literal["live", "shadow"]


class Band(Struct, frozen=True, array_like=True):
    """An interval at a level, of the first fighter."""

    level: float
    lower: float
    upper: float


class JournalEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A model's last word on a fight before it began. Probabilities and intervals are those of the first fighter.

    day: of the event, in UTC. fighters: in an order that depends on the names alone, as the caller spelled them. red:
    which of them has the official red corner, None where that is unknown. market: the market's probability at that
    time, None without quotes. bet_on: whom the decision was to bet on, None where it was to abstain. bins: in which
    bins of the training's values its features lie, from both sides (`engine.monitoring.drift`); empty without such
    bins. at: when the answer was settled, on the server's clock, which sets it.
    """

    day: date
    fighters: tuple[str, str]
    model: str
    role: Role
    job_id: str
    probability: float
    intervals: tuple[Band, ...]
    market: float | None = None
    market_aware: float | None = None
    red: Literal[0, 1] | None = None
    action: Literal["bet", "abstain"]
    reasons: tuple[str, ...] = ()
    bet_on: Literal[0, 1] | None = None
    bins: str = ""
    at: datetime | None = None


class Page(Struct, frozen=True):
    """The entries of one answered card, on their way to the server: all of one day. `names` tell them apart."""

    day: date
    start_ms: int
    names: tuple[str, ...]
    entries: tuple[str, ...]

    @classmethod
    def of(cls, event_start: datetime, named: Sequence[tuple[str, JournalEntry]]) -> Page:
        """Write entries; each comes with the name of its fight, the same for every spelling of the two fighters."""
        names = tuple(f"{name}|{entry.model}|{entry.role}" for name, entry in named)
        entries = tuple(_encoder.encode(entry).decode() for _, entry in named)
        return cls(event_start.astimezone(UTC).date(), int(event_start.timestamp() * 1000), names, entries)


_encoder = msgspec.json.Encoder(order="sorted")


def encode_page(page: Page | None, keep_seconds: float) -> bytes:
    """Write a page as `settle.lua` reads it; empty where there is nothing to note."""
    if page is None or not page.names:
        return b""
    said = msgspec.to_builtins(page)
    return msgspec.json.encode(said | {"ordinal": page.day.toordinal(), "keep_ms": round(keep_seconds * 1000)})
