"""The quotes of a fight at a moment and at the bell, from the changes of its prices. Pure functions.

A change is known from its reading on (`read_at`), whatever moment the provider gives (`as_of`). So no query sees a
quote that was read later, and a back-test that asks for a moment gets what could have been known at that moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import groupby

from msgspec import Struct

from ledger.contracts.jobs import Quote
from ledger.contracts.prices import PriceChange

CLOSE_WINDOW = timedelta(minutes=15)
"""A bookmaker that withdrew its prices at most this long before the bell has closed with them: bookmakers suspend a
market shortly before the start. Earlier, it withdrew because of news, and its last price is not that of the close."""


def quotes_at(changes: Iterable[PriceChange], moment: datetime) -> tuple[Quote, ...]:
    """Return the quotes that stood at a moment, by bookmaker: those read at the moment or earlier, not withdrawn.

    Parameters
    ----------
    changes
        The history of one fight, in order.
    moment
        With a time zone.
    """
    return _Market(change for change in changes if change.read_at <= moment).quotes()


def close_of(changes: Iterable[PriceChange], bell: datetime) -> tuple[Quote, ...]:
    """Return the close: of each bookmaker the last quote that was read before the bell, if it still stood then.

    Quotes withdrawn within `CLOSE_WINDOW` before the bell count as standing.
    """
    return _Market(change for change in changes if change.read_at < bell).quotes(withdrawn_since=bell - CLOSE_WINDOW)


def quotes_over_time(changes: Iterable[PriceChange]) -> Iterator[tuple[datetime, tuple[Quote, ...]]]:
    """Yield the moment of each reading that changed a price, and the quotes that stood from then on."""
    market = _Market()
    for read_at, changed in groupby(changes, key=lambda change: change.read_at):
        for change in changed:
            market.add(change)
        yield read_at, market.quotes()


class _Standing(Struct):
    """The newest change of a price, and the change before it if the newest withdraws the price."""

    newest: PriceChange
    before: PriceChange | None = None

    def valid(self, withdrawn_since: datetime | None) -> PriceChange | None:
        """Return the change whose price stands; one that was withdrawn since a moment counts as standing."""
        if self.newest.price is not None:
            return self.newest
        return self.before if withdrawn_since is not None and self.newest.read_at >= withdrawn_since else None


class _Market:
    """The prices of all bookmakers after some changes."""

    def __init__(self, changes: Iterable[PriceChange] = ()) -> None:
        self._books: dict[str, dict[str, _Standing]] = {}
        self._pair: list[str] = []  # the two that were priced last: a replaced fighter's prices are of another bout
        for change in changes:
            self.add(change)

    def add(self, change: PriceChange) -> None:
        """Apply a change."""
        sides = self._books.setdefault(change.bookmaker, {})
        known = sides.get(change.fighter)
        before = known.newest if known is not None and change.price is None else None
        sides[change.fighter] = _Standing(change, before)
        if change.price is not None and change.fighter != (self._pair or [""])[-1]:
            self._pair = [*(name for name in self._pair[-2:] if name != change.fighter), change.fighter][-2:]

    def quotes(self, withdrawn_since: datetime | None = None) -> tuple[Quote, ...]:
        """Return the quotes of the bookmakers that price both fighters."""
        pair = sorted(self._pair)
        quotes = []
        for bookmaker in sorted(self._books):
            sides = [self._books[bookmaker].get(fighter) for fighter in pair]
            found = [change for side in sides if side is not None and (change := side.valid(withdrawn_since))]
            if len(found) == 2:
                dates = [change.as_of for change in found if change.as_of is not None]
                quotes.append(
                    Quote(
                        bookmaker=bookmaker,
                        prices={change.fighter: change.price for change in found if change.price is not None},
                        as_of=max(dates, default=None),
                        commission=found[-1].commission,
                    )
                )
        return tuple(quotes)
