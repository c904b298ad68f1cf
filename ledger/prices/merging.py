"""Merging of parts of one fight's price history, which may overlap or repeat each other. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from ledger.contracts.prices import PriceChange, StartReading
from ledger.prices.stream_entries import FightPrices

_Row = TypeVar("_Row", bound=PriceChange | StartReading)


def merge(earlier: FightPrices, later: FightPrices) -> FightPrices:
    """Return the history that two parts make together; a change that both have counts once.

    If the later part begins after the earlier one has ended, it begins with a whole reading: what that reading lacks
    has been withdrawn.
    """
    return FightPrices(
        changes=_changes(earlier.changes, later.changes), starts=_without_repeats(earlier.starts, later.starts)
    )


def _changes(earlier: Sequence[PriceChange], later: Sequence[PriceChange]) -> tuple[PriceChange, ...]:
    if earlier and later and later[0].read_at > earlier[-1].read_at:
        later = (*_withdrawn_between(earlier, later), *later)
    return tuple(_only_changes(_without_repeats(earlier, later)))


def _without_repeats(earlier: Sequence[_Row], later: Sequence[_Row]) -> tuple[_Row, ...]:
    if tuple(later[: len(earlier)]) == tuple(earlier):
        return tuple(later)
    if tuple(earlier[: len(later)]) == tuple(later):
        return tuple(earlier)
    return tuple(dict.fromkeys(sorted((*earlier, *later), key=lambda row: row.read_at)))


def _withdrawn_between(earlier: Iterable[PriceChange], later: Sequence[PriceChange]) -> list[PriceChange]:
    first = later[0]
    quoted = {(change.bookmaker, change.fighter) for change in later if change.read_at == first.read_at}
    newest = {(change.bookmaker, change.fighter): change for change in earlier}
    return [
        PriceChange(fight_id=first.fight_id, bookmaker=bookmaker, fighter=fighter, price=None, read_at=first.read_at)
        for (bookmaker, fighter), change in newest.items()
        if change.price is not None and (bookmaker, fighter) not in quoted
    ]


def _only_changes(changes: Iterable[PriceChange]) -> Iterable[PriceChange]:
    """Leave out what repeats the price that stands already, at another moment."""
    standing: dict[tuple[str, str], PriceChange] = {}
    for change in changes:
        side = (change.bookmaker, change.fighter)
        before = standing.get(side)
        if before is None or (before.price, before.commission) != (change.price, change.commission):
            standing[side] = change
            yield change
