"""The price changes of a season, counted: what the provider played when it was read, against what the ledger holds.

Both come as plain values, so the counting itself is tested with what a faulty service would leave.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from ledger.contracts.feeds import RetrievalRecord
from ledger.contracts.prices import PriceChange
from producer.season.count import Count
from producer.service.played_provider import PlayedRequest
from producer.service.played_season import PlayedSeason, bookmaker_key

MICROSECOND = timedelta(microseconds=1)
ROUNDING = 10 * MICROSECOND
"""Moments are stored in microseconds, and pass through floating-point seconds on the way."""

_Pair = tuple[float, float]


class QuoteChange(NamedTuple):
    """Both prices of one bookmaker from a reading on, None if it has withdrawn them."""

    read_at: datetime
    prices: _Pair | None


class Reading(NamedTuple):
    """When a reading was made, and which moment of the season the provider showed it."""

    read_at: datetime
    moment: float


def readings_of(
    retrievals: Iterable[RetrievalRecord], requests: Sequence[PlayedRequest], path: str
) -> tuple[list[Reading], list[str]]:
    """Return the readings that the ledger keeps, in order, and sentences on those that the provider never gave.

    Parameters
    ----------
    retrievals
        As the ledger keeps them, in order.
    requests
        Those that the provider answered, in order.
    path
        The path of the odds.
    """
    played: dict[str, list[float]] = {}
    for request in requests:
        if request.sha256 and request.path == path:
            played.setdefault(request.sha256, []).append(request.moment)
    readings, unknown = [], []
    for retrieval in retrievals:
        moments = played.get(retrieval.sha256)
        if moments is None:
            unknown.append(f"the reading of {retrieval.read_at:%H:%M:%S.%f} is not what the provider sent")
        else:
            readings.append(Reading(retrieval.read_at, moments[0]))
    return readings, unknown


def with_unlisted(
    season: PlayedSeason,
    readings: Sequence[Reading],
    requests: Sequence[PlayedRequest],
    path: str,
    history: Mapping[str, Sequence[PriceChange]],
) -> list[Reading]:
    """Return readings in order, with those that left prices and are in no list: their runner was killed in between.

    Such a reading is found by its prices: one of the requests that no other reading is of must have shown all of them.
    """
    listed = {reading.read_at for reading in readings}
    moments = {reading.moment for reading in readings}
    others = [each.moment for each in requests if each.sha256 and each.path == path and each.moment not in moments]
    left: dict[datetime, list[PriceChange]] = {}
    for change in (change for changes in history.values() for change in changes):
        if not any(_near(listed, change.read_at)):
            left.setdefault(change.read_at, []).append(change)
    found = list(readings)
    for read_at, changes in left.items():
        shown = next((moment for moment in others if _shows(season, moment, changes)), None)
        if shown is not None:
            found.append(Reading(read_at, shown))
            others.remove(shown)
    return sorted(found, key=lambda reading: reading.moment)


def count_quotes(
    season: PlayedSeason, readings: Sequence[Reading], history: Mapping[str, Sequence[PriceChange]]
) -> Count:
    """Count the price changes of a season.

    Parameters
    ----------
    season
        What was played.
    readings
        The readings that were made, in order. One that is older than the newest is not to leave anything.
    history
        By id of each fight of the season: its changes of prices, as the ledger keeps them.
    """
    wanted = _expected(season, readings)
    expected, lost, doubled, wrong = 0, [], [], []
    fighters = {listing.fight_id: listing.fighters for listing in season.listings}
    for fight_id in sorted(wanted.keys() | history.keys()):
        changes = history.get(fight_id, ())
        kept, repeats = _kept(changes, fighters.get(fight_id, ("", "")))
        doubled += [f"{fight_id}: {repeat}" for repeat in repeats]
        for bookmaker in sorted(kept.keys() | wanted.get(fight_id, {}).keys()):
            should, has = wanted.get(fight_id, {}).get(bookmaker, []), kept.get(bookmaker, [])
            expected += len(should)
            place = f"{fight_id}, {bookmaker}"
            lost += [f"{place}: {_show(change)} is not kept" for change in should if not _among(change, has)]
            wrong += [f"{place}: {_show(change)} was never played" for change in has if not _among(change, should)]
    return Count.of(expected, lost, doubled, wrong)


def _near(moments: Collection[datetime], moment: datetime) -> Iterator[datetime]:
    """Yield the moments that may be the same but for rounding."""
    yield from (each for each in (moment, moment - MICROSECOND, moment + MICROSECOND) if each in moments)


def _shows(season: PlayedSeason, moment: float, changes: Sequence[PriceChange]) -> bool:
    """Return True if the provider showed all of these prices at a moment."""
    shown: dict[tuple[str, str, str], float] = {}
    listed = set()
    for listing in season.listed(moment):
        listed.add(listing.fight_id)
        for name, prices in listing.prices_at(moment).items():
            for fighter, price in zip(listing.fighters, _decimal(prices), strict=True):
                shown[listing.fight_id, bookmaker_key(name), fighter] = price
    return all(
        change.fight_id in listed and shown.get((change.fight_id, change.bookmaker, change.fighter)) == change.price
        for change in changes
    )


def _expected(season: PlayedSeason, readings: Iterable[Reading]) -> dict[str, dict[str, list[QuoteChange]]]:
    """Return what readings change, by fight and bookmaker."""
    found: dict[str, dict[str, list[QuoteChange]]] = {}
    newest: dict[str, datetime] = {}
    for read_at, moment in readings:
        for listing in season.listed(moment):
            books = found.setdefault(listing.fight_id, {})
            prices = {bookmaker_key(name): _decimal(pair) for name, pair in listing.prices_at(moment).items()}
            if read_at < newest.get(listing.fight_id, read_at):
                continue
            newest[listing.fight_id] = read_at
            for bookmaker in sorted(books.keys() | prices.keys()):
                before = books[bookmaker][-1].prices if books.get(bookmaker) else None
                now = prices.get(bookmaker)
                if now != before:
                    books.setdefault(bookmaker, []).append(QuoteChange(read_at, now))
    return found


def _kept(changes: Sequence[PriceChange], fighters: tuple[str, str]) -> tuple[dict[str, list[QuoteChange]], list[str]]:
    """Return the changes of both prices by bookmaker, and sentences on those that change nothing."""
    found: dict[str, list[QuoteChange]] = {}
    repeats = []
    for (bookmaker, read_at), group in _readings(changes):
        prices = {change.fighter: change.price for change in group}
        before = found[bookmaker][-1].prices if found.get(bookmaker) else None
        known = dict(zip(fighters, before, strict=True)) if before is not None else {}
        first, second = ({**known, **prices}.get(fighter) for fighter in fighters)
        now = None if first is None or second is None else (first, second)
        times = Counter(change.fighter for change in group)
        if now == before or max(times.values()) > 1:
            repeats.append(f"{bookmaker} has {now or 'no price'} twice, again at {read_at:%H:%M:%S.%f}")
        if now != before:
            found.setdefault(bookmaker, []).append(QuoteChange(read_at, now))
    return found, repeats


def _readings(changes: Sequence[PriceChange]) -> Iterator[tuple[tuple[str, datetime], list[PriceChange]]]:
    groups: dict[tuple[str, datetime], list[PriceChange]] = {}
    for change in changes:
        groups.setdefault((change.bookmaker, change.read_at), []).append(change)
    yield from sorted(groups.items(), key=lambda group: group[0][1])


def _among(change: QuoteChange, others: Sequence[QuoteChange]) -> bool:
    """Return True if a change is among others that are in order of time."""
    end = bisect_right(others, change.read_at + ROUNDING, key=lambda other: other.read_at)
    return any(
        abs(other.read_at - change.read_at) <= ROUNDING and other.prices == change.prices
        for other in others[max(0, end - 3) : end]
    )


def _show(change: QuoteChange) -> str:
    prices = "no price" if change.prices is None else " and ".join(f"{price:.3f}" for price in change.prices)
    return f"{prices} at {change.read_at:%H:%M:%S.%f}"


def _decimal(american: tuple[int, int]) -> _Pair:
    first, second = (1 + (price / 100 if price > 0 else 100 / -price) for price in american)
    return first, second
