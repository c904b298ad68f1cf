"""The quotes of a fight at a moment and at the bell, from the changes of its prices. Pure functions.

A change is known from its reading on (`read_at`), whatever moment the provider gives (`as_of`). So no query sees a
quote that was read later, and a back-test that asks for a moment gets what could have been known at that moment.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from msgspec import Struct

from ledger.contracts.jobs import Quote
from ledger.contracts.prices import PriceChange

CLOSE_WINDOW = timedelta(minutes=15)
"""A bookmaker that withdrew its prices at most this long before the bell has closed with them: bookmakers suspend a
market shortly before the start. Earlier, it withdrew because of news, and its last price is not that of the close."""


class _Standing(Struct):
    """The newest change of a price, and the change before it if the newest withdraws the price."""

    newest: PriceChange
    before: PriceChange | None = None


def quotes_at(changes: Iterable[PriceChange], moment: datetime) -> tuple[Quote, ...]:
    """Return the quotes that stood at a moment, by bookmaker: those read at the moment or earlier, not withdrawn.

    Parameters
    ----------
    changes
        The history of one fight, in order.
    moment
        With a time zone.
    """
    return _quotes((change for change in changes if change.read_at <= moment), withdrawn_since=None)


def close_of(changes: Iterable[PriceChange], bell: datetime) -> tuple[Quote, ...]:
    """Return the close: of each bookmaker the last quote that was read before the bell, if it still stood then.

    Quotes withdrawn within `CLOSE_WINDOW` before the bell count as standing.
    """
    return _quotes((change for change in changes if change.read_at < bell), withdrawn_since=bell - CLOSE_WINDOW)


def _quotes(changes: Iterable[PriceChange], withdrawn_since: datetime | None) -> tuple[Quote, ...]:
    books: dict[str, dict[str, _Standing]] = {}
    fighters: list[str] = []  # the two that were priced last: a replaced fighter's prices are of another bout
    for change in changes:
        known = books.setdefault(change.bookmaker, {}).get(change.fighter)
        before = known.newest if known is not None and change.price is None else None
        books[change.bookmaker][change.fighter] = _Standing(change, before)
        if change.price is not None and change.fighter not in fighters[-2:]:
            fighters.append(change.fighter)
        elif change.price is not None and change.fighter != fighters[-1]:
            fighters[-2:] = [fighters[-1], change.fighter]
    pair = fighters[-2:]
    quotes = []
    for bookmaker in sorted(books):
        prices = [_valid(books[bookmaker].get(fighter), withdrawn_since) for fighter in sorted(pair)]
        found = [price for price in prices if price is not None and price.price is not None]
        if len(found) == 2:
            dates = [price.as_of for price in found if price.as_of is not None]
            quotes.append(
                Quote(
                    bookmaker=bookmaker,
                    prices={price.fighter: price.price for price in found if price.price is not None},
                    as_of=max(dates, default=None),
                    commission=found[-1].commission,
                )
            )
    return tuple(quotes)


def _valid(standing: _Standing | None, withdrawn_since: datetime | None) -> PriceChange | None:
    if standing is None or standing.newest.price is not None:
        return None if standing is None else standing.newest
    return standing.before if withdrawn_since is not None and standing.newest.read_at >= withdrawn_since else None
