"""Entries of a fight's price stream: how a reading is written, and how the changes are read back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec
from msgspec import Struct

from ledger.contracts.jobs import Fight, Quote
from ledger.contracts.moments import EPOCH, MICROSECOND, to_moment
from ledger.contracts.prices import PriceChange, StartReading

_BOOKMAKER = b"="
_WITHDRAWN = b"-"

Entry = tuple[bytes, dict[bytes, bytes]]
"""An entry of a stream as the server returns it: its id and its fields."""


class FightPrices(Struct, frozen=True, kw_only=True):
    """The history of a fight: its changes of prices in order, and the readings that changed its start."""

    changes: tuple[PriceChange, ...] = ()
    starts: tuple[StartReading, ...] = ()


def last_id(microseconds: int) -> str:
    """Return the largest id of an entry that was read at a moment or earlier."""
    return f"{microseconds // 1000}-{microseconds % 1000 * 1000 + 999}"


def fight_arguments(fight: Fight, start: datetime | None) -> list[str | int | bytes]:
    """Return a fight and its quotes as arguments of `record_prices.lua`."""
    first, second = sorted(fighter.name for fighter in fight.fighters)
    names = msgspec.json.encode((first, second))
    arguments: list[str | int | bytes] = [fight.id, names, "" if start is None else _milliseconds(start)]
    arguments.append(len(fight.quotes))
    for quote in fight.quotes:
        prices = f"{float(quote.prices[first])!r} {float(quote.prices[second])!r}"
        value = f"{prices} {float(quote.commission)!r}" if quote.commission else prices
        arguments += (quote.bookmaker, value, _seconds_text(quote))
    return arguments


def decode_entries(fight_id: str, entries: Iterable[Entry]) -> FightPrices:
    """Return the history in the entries of a stream, which begin with its first."""
    changes: list[PriceChange] = []
    starts: list[StartReading] = []
    names: list[str] = []
    books: dict[str, tuple[float, ...]] = {}
    for name, fields in entries:
        read_at = _read_at(name)
        if b"names" in fields:
            for bookmaker in books:
                changes += _withdrawals(fight_id, bookmaker, names, read_at)
            books, names = {}, msgspec.json.decode(fields[b"names"], type=list[str])
        if b"start" in fields:
            start = EPOCH + timedelta(milliseconds=int(fields[b"start"]))
            starts.append(StartReading(fight_id=fight_id, start=start, read_at=read_at))
        for field, value in fields.items():
            if not field.startswith(_BOOKMAKER):
                continue
            bookmaker = field[1:].decode()
            if value == _WITHDRAWN:
                del books[bookmaker]
                changes += _withdrawals(fight_id, bookmaker, names, read_at)
                continue
            seconds, *numbers = value.decode().split(" ")
            now = tuple(map(float, numbers))
            before = books.get(bookmaker)
            books[bookmaker] = now
            as_of = to_moment(_from_seconds(seconds)) if seconds else None
            both = before is None or before[2:] != now[2:]
            changes += (
                PriceChange(
                    fight_id=fight_id,
                    bookmaker=bookmaker,
                    fighter=fighter,
                    price=now[side],
                    read_at=read_at,
                    as_of=as_of,
                    commission=now[2] if len(now) > 2 else 0.0,
                )
                for side, fighter in enumerate(names)
                if both or before is None or before[side] != now[side]
            )
    return FightPrices(changes=tuple(changes), starts=tuple(starts))


def _withdrawals(fight_id: str, bookmaker: str, names: Iterable[str], read_at: datetime) -> list[PriceChange]:
    return [
        PriceChange(fight_id=fight_id, bookmaker=bookmaker, fighter=name, price=None, read_at=read_at) for name in names
    ]


def _read_at(name: bytes) -> datetime:
    milliseconds, _, sequence = name.decode().partition("-")
    return to_moment(int(milliseconds) * 1000 + int(sequence) // 1000)


def _milliseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(milliseconds=1)


def _seconds_text(quote: Quote) -> str:
    """Return when the provider saw a quote, in seconds with up to six decimals, exactly; '' if unknown."""
    if quote.as_of is None:
        return ""
    seconds, fraction = divmod((quote.as_of - EPOCH) // MICROSECOND, 1_000_000)
    return f"{seconds}.{fraction:06d}" if fraction else str(seconds)


def _from_seconds(text: str) -> int:
    seconds, _, fraction = text.partition(".")
    return int(seconds) * 1_000_000 + int(fraction or 0)
