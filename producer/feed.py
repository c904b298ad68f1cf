"""The Odds API v4, as it comes, turned into fight cards.

A card is the events of one sport that share a `commence_time`: they have one deadline, so one answer in time
serves them all. Cards come in order of time; a card of more than 64 fights is refused, not split. Home and
away only say who is listed first: they are not corners.

Two grades of fault. In a quote: the quote is turned away with a sentence and the fight stays (see `quotes`).
In an event (no names, no time) or in the feed as a whole: `FeedError`, and no card at all, because half a
feed would look like a whole one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from ledger.failures import Failure, FailureCode, JobRefused
from ledger.jobs import Fight, Fighter, PredictCard
from ledger.wire import decode_job, encode
from producer.notation import PriceFormat, Unreadable, name_key, read_moment, read_name, show
from producer.quotes import read_quotes

MAX_FEED_BYTES = 8_000_000

Value = TypeVar("Value")
Feed = bytes | str | list[Any] | dict[str, Any]
"""A response's body, or what a JSON reader made of it."""


class FeedError(JobRefused):
    """The feed cannot be read; nothing was enqueued. `event` and `field` say where, as far as it is known."""

    def __init__(self, reason: str, *, event: str | None = None, field: str | None = None) -> None:
        place = ", ".join(filter(None, (event and f"event {show(event)}", field)))
        details = {name: value for name, value in (("event", event), ("field", field)) if value is not None}
        message = f"{place}: {reason}" if place else reason
        super().__init__(Failure(code=FailureCode.INVALID_INPUT, message=message, details=details))
        self.event = event
        self.field = field


@dataclass(frozen=True)
class _Event:
    sport: str
    start: datetime
    fight: Fight


def read_cards(
    feed: Feed,
    *,
    price_format: PriceFormat | str,
    model: str = "champion",
    deadline: datetime | None = None,
    debutants: Collection[str] = (),
) -> list[PredictCard]:
    """Turn a feed into cards, one for each commence time; none for an empty feed.

    Takes the body of `/odds` (a list of events), of `/events/{id}/odds` (one event), or of their historical
    versions (an object with `data`). `price_format` is the feed's `oddsFormat`. `deadline` replaces the
    commence time as the moment after which no answer is wanted, for replaying old feeds. `debutants` are
    fighters without a record.

    Raises:
        FeedError: the feed, one of its events, or a declared debutant who is not in it.
        ValueError: `price_format` is none.
    """
    price_format = PriceFormat(price_format)
    novices = {name_key(name) for name in debutants}
    items = enumerate(_read_events(feed), start=1)
    events = [_read_event(item, place, price_format, novices) for place, item in items]
    _check_debutants(events, debutants)
    groups: dict[tuple[datetime, str], list[Fight]] = {}
    for event in events:
        groups.setdefault((event.start, event.sport), []).append(event.fight)
    return [
        _checked(
            PredictCard(
                card_id=f"{sport}@{start.isoformat().removesuffix('+00:00')}Z",
                event_start=start,
                fights=tuple(fights),
                model=model,
                deadline=deadline,
            )
        )
        for (start, sport), fights in sorted(groups.items(), key=lambda group: group[0])
    ]


def _read_events(feed: Feed) -> list[Any]:
    if isinstance(feed, bytes | str):
        if len(feed) > MAX_FEED_BYTES:
            raise FeedError(f"the feed has {len(feed):,} bytes, the limit is {MAX_FEED_BYTES:,}: ask for fewer markets")
        try:
            feed = json.loads(feed)
        except (ValueError, RecursionError) as error:
            raise FeedError(f"the feed is not valid JSON: {error}") from error
    if isinstance(feed, dict):
        if "message" in feed and "id" not in feed:
            raise FeedError(f"the feed holds no events but a message: {show(feed['message'])}", field="message")
        feed = feed.get("data", [feed])
        feed = [feed] if isinstance(feed, dict) else feed
    if not isinstance(feed, list):
        raise FeedError(f"expected a list of events, found {show(feed)}")
    return feed


def _read_event(item: Any, place: int, price_format: PriceFormat, novices: set[str]) -> _Event:
    if not isinstance(item, dict):
        raise FeedError(f"expected an object, found {show(item)}", event=f"number {place}")
    event = _field(item, "id", read_name, event=f"number {place}")
    start = _field(item, "commence_time", read_moment, event=event)
    sport = _field({"sport_key": "card", **item}, "sport_key", read_name, event=event)
    home, away = (_field(item, side, read_name, event=event) for side in ("home_team", "away_team"))
    if name_key(home) == name_key(away):
        raise FeedError(f"{home!r} cannot fight against oneself", event=event, field="away_team")
    bookmakers = item.get("bookmakers") or []
    if not isinstance(bookmakers, list):
        raise FeedError(f"expected a list, found {show(bookmakers)}", event=event, field="bookmakers")
    quotes, turned_away = read_quotes(bookmakers, (home, away), price_format)
    first, second = (Fighter(name=name, debut=name_key(name) in novices) for name in (home, away))
    return _Event(sport, start, Fight(id=event, fighters=(first, second), quotes=quotes, invalid_quotes=turned_away))


def _field(item: dict[str, Any], field: str, read: Callable[[object], Value], *, event: str) -> Value:
    try:
        return read(item.get(field))
    except Unreadable as error:
        raise FeedError(str(error), event=event, field=field) from error


def _check_debutants(events: Iterable[_Event], debutants: Collection[str]) -> None:
    present = {name_key(fighter.name) for event in events for fighter in event.fight.fighters}
    for name in debutants:
        if name_key(name) not in present:
            raise FeedError(f"{show(name)} is declared a debutant but fights nowhere in this feed", field="debutants")


def _checked(card: PredictCard) -> PredictCard:
    """Put the card through the door that it will meet, so that a refusal comes before any is enqueued."""
    try:
        decode_job(encode(card))
    except JobRefused as refusal:
        raise FeedError(f"card {card.card_id!r}: {refusal.failure.message}") from refusal
    return card
