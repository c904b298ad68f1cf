"""Conversion of feeds of The Odds API v4 into fight cards.

Events with the same `commence_time` and sport form one card, because they have the same deadline. Cards are in order of
time; a card of more than 64 fights is refused, not split. Home and away are the listing order only, not the corners.

A fault in a quote (see `quotes`) drops the quote with a message; the fight stays. A fault in an event (no names, no
time, another sport, a duplicate id) refuses that event; the others are read. A fault in the feed as a whole (no JSON,
no events, prices in another notation) raises `FeedError`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from ledger.contracts.bouts import MMA, bout_key, is_mma
from ledger.contracts.codec import decode_job, encode
from ledger.contracts.failures import Failure, FailureCode, JobRefusedError
from ledger.contracts.jobs import DeclaredRecord, DevigMethod, Fight, Fighter, PredictCard
from producer.feed.bout_matching import match_fights
from producer.feed.envelopes import MAX_FEED_BYTES, Feed, unwrap
from producer.feed.parsing import ParseError, PriceFormat, name_key, parse_datetime, parse_name, quoted
from producer.feed.quotes import read_quotes

__all__ = ["MAX_FEED_BYTES", "Feed", "FeedError", "FeedReading", "read_cards", "read_feed"]

Value = TypeVar("Value")


class FeedError(JobRefusedError):
    """A feed, or one event of it, cannot be read.

    Attributes
    ----------
    event, field
        Id of the event and name of the field at fault, if they are known.
    """

    def __init__(
        self,
        reason: str,
        *,
        event: str | None = None,
        field: str | None = None,
        **details: Any,
    ) -> None:
        place = ", ".join(filter(None, (event and f"event {quoted(event)}", field)))
        found = {name: value for name, value in (("event", event), ("field", field)) if value is not None}
        message = f"{place}: {reason}" if place else reason
        super().__init__(Failure(code=FailureCode.INVALID_INPUT, message=message, details={**found, **details}))
        self.event = event
        self.field = field


@dataclass(frozen=True)
class FeedReading:
    """The cards of a feed, and an error for each event or card that was refused."""

    cards: tuple[PredictCard, ...]
    refused: tuple[FeedError, ...] = ()


@dataclass(frozen=True)
class _Event:
    sport: str
    start: datetime
    fight: Fight


@dataclass(frozen=True)
class _Reader:
    """Parser of events, with the caller's options."""

    price_format: PriceFormat
    debutants: Collection[str]
    commissions: Mapping[str, float] = field(default_factory=dict)
    records: Mapping[str, DeclaredRecord] = field(default_factory=dict)

    def event(self, item: Any, place: int) -> _Event:
        """Parse one event. Raises FeedError."""
        if not isinstance(item, dict):
            raise FeedError(f"expected an object, found {quoted(item)}", event=f"number {place}")
        event = _field(item, "id", parse_name, event=f"number {place}")
        start = _field(item, "commence_time", parse_datetime, event=event)
        sport = _sport(item, event)
        home, away = (_field(item, side, parse_name, event=event) for side in ("home_team", "away_team"))
        if name_key(home) == name_key(away):
            raise FeedError(f"{home!r} is named on both sides", event=event, field="away_team")
        bookmakers = item.get("bookmakers") or []
        if not isinstance(bookmakers, list):
            raise FeedError(f"expected a list, found {quoted(bookmakers)}", event=event, field="bookmakers")
        quotes, invalid_quotes = read_quotes(bookmakers, (home, away), self.price_format, self.commissions)
        fight = Fight(
            id=event, fighters=(self._fighter(home), self._fighter(away)), quotes=quotes, invalid_quotes=invalid_quotes
        )
        return _Event(sport, start, fight)

    def _fighter(self, name: str) -> Fighter:
        key = name_key(name)
        return Fighter(name=name, debut=key in self.debutants, record=self.records.get(key))


def read_feed(
    feed: Feed,
    *,
    price_format: PriceFormat | str,
    model: str = "champion",
    deadline: datetime | None = None,
    debutants: Collection[str] = (),
    records: Mapping[str, DeclaredRecord] | None = None,
    commissions: Mapping[str, float] | None = None,
    priced_at: datetime | None = None,
    devig_method: DevigMethod = "power",
) -> FeedReading:
    """Convert a feed into cards, one for each commence time; refuse single events that cannot be read.

    Parameters
    ----------
    feed
        The body of `/odds` (a list of events), of `/events/{id}/odds` (one event) or of their historical versions (an
        object with `data`), also in other wrappers; as bytes, text or parsed JSON.
    price_format
        The feed's `oddsFormat`: "american" or "decimal".
    model
        Alias or digest of the model that predicts the cards.
    deadline
        Time after which no prediction is needed, in place of the commence time; for replays of old feeds.
    debutants
        Names of fighters without earlier fights.
    records
        Records elsewhere of such fighters, by name; each of them is a debutant, too.
    commissions
        Commission of exchanges on net winnings, in [0, 1), by bookmaker key.
    priced_at
        Time at which the prices were read; by default the `timestamp` of a historical response.
    devig_method
        How the bookmakers' margins are removed.

    Returns
    -------
    FeedReading
        The cards in order of time, and the errors of refused events.

    Raises
    ------
    FeedError
        The feed as a whole cannot be read, or a declared debutant is not in it.
    ValueError
        `price_format` is unknown.
    """
    price_format = PriceFormat(price_format)
    declared = {name_key(name): record for name, record in (records or {}).items()}
    debutant_keys = {name_key(name) for name in debutants} | declared.keys()
    try:
        wrapped = unwrap(feed)
    except ParseError as error:
        raise FeedError(str(error)) from error
    events, refused = _read_events(wrapped.events, _Reader(price_format, debutant_keys, commissions or {}, declared))
    _check_notation(wrapped.events, events, price_format)
    _check_debutants(wrapped.events, [*debutants, *(records or {})])
    groups: dict[tuple[datetime, str], list[Fight]] = {}
    for event in events:
        groups.setdefault((event.start, event.sport), []).append(event.fight)
    cards = [
        PredictCard(
            card_id=f"{sport}@{start.isoformat().removesuffix('+00:00')}Z",
            event_start=start,
            fights=tuple(fights),
            model=model,
            deadline=deadline,
            priced_at=priced_at or wrapped.read_at,
            devig_method=devig_method,
        )
        for (start, sport), fights in sorted(groups.items(), key=lambda group: group[0])
    ]
    sound: list[PredictCard] = []
    for card in cards:
        try:
            sound.append(_checked(card))
        except FeedError as error:
            refused.append(error)
    return FeedReading(tuple(match_fights(sound)), tuple(refused))


def read_cards(feed: Feed, **options: Any) -> list[PredictCard]:
    """Convert a feed into cards, all or none; return an empty list for an empty feed.

    Parameters
    ----------
    feed, options
        As in `read_feed`.

    Raises
    ------
    FeedError
        The feed, or any of its events, cannot be read.
    ValueError
        `price_format` is unknown.
    """
    reading = read_feed(feed, **options)
    if reading.refused:
        raise reading.refused[0]
    return list(reading.cards)


def _read_events(items: Sequence[Any], reader: _Reader) -> tuple[list[_Event], list[FeedError]]:
    events: list[_Event] = []
    refused: list[FeedError] = []
    for place, item in enumerate(items, start=1):
        try:
            events.append(reader.event(item, place))
        except FeedError as error:
            refused.append(error)
    return _distinct(events, refused), refused


def _distinct(events: Sequence[_Event], refused: list[FeedError]) -> list[_Event]:
    """Keep the first of several events with one id, or none if they are different bouts."""
    bouts: dict[str, set[tuple[str, str]]] = {}
    for event in events:
        bouts.setdefault(event.fight.id, set()).add(bout_key(*(fighter.name for fighter in event.fight.fighters)))
    seen: Counter[str] = Counter()
    kept: list[_Event] = []
    for event in events:
        name = event.fight.id
        seen[name] += 1
        if len(bouts[name]) > 1:
            refused.append(FeedError("different bouts have this id: none of them is used", event=name, field="id"))
        elif seen[name] > 1:
            refused.append(FeedError("a duplicate in the feed; the first event is used", event=name, field="id"))
        else:
            kept.append(event)
    return kept


def _sport(item: Mapping[str, Any], event: str) -> str:
    """Return the sport of an event. Raises FeedError if it is not mixed martial arts."""
    if item.get("sport_key") is None:
        return "card"
    sport = _field(item, "sport_key", parse_name, event=event)
    if not is_mma(sport):
        raise FeedError(
            f"its sport is {quoted(sport)}: models trained on MMA fights cannot predict it",
            event=event,
            field="sport_key",
            sport=sport,
            trained_for=MMA,
        )
    return sport


def _field(item: Mapping[str, Any], field: str, read: Callable[[object], Value], *, event: str) -> Value:
    try:
        return read(item.get(field))
    except ParseError as error:
        raise FeedError(str(error), event=event, field=field) from error


def _check_notation(items: Iterable[Any], events: Iterable[_Event], price_format: PriceFormat) -> None:
    """Raise FeedError if no quote is valid in the given notation, but some are in the other one."""
    fights = [event.fight for event in events]
    invalid = sum(len(fight.invalid_quotes) for fight in fights)
    if not invalid or any(fight.quotes for fight in fights):
        return
    (other,) = set(PriceFormat) - {price_format}
    found, _ = _read_events(list(items), _Reader(other, ()))
    if readable := sum(len(event.fight.quotes) for event in found):
        raise FeedError(
            f"none of the {invalid} quotes is valid as {price_format}, the first: {_first_message(fights)}; "
            f"{readable} are valid as {other}: use --format {other} (price_format={other.value!r})",
            field="price_format",
        )


def _first_message(fights: Iterable[Fight]) -> str:
    return next(message for fight in fights for message in fight.invalid_quotes)


def _check_debutants(items: Iterable[Any], debutants: Collection[str]) -> None:
    teams = [item.get(side) for item in items if isinstance(item, dict) for side in ("home_team", "away_team")]
    present = {name_key(name) for name in teams if isinstance(name, str)}
    for name in debutants:
        if name_key(name) not in present:
            raise FeedError(f"{quoted(name)} is declared a debutant but is not in this feed", field="debutants")


def _checked(card: PredictCard) -> PredictCard:
    """Validate the card as the ledger will, so that an invalid card is refused before any card is enqueued."""
    try:
        decode_job(encode(card))
    except JobRefusedError as refusal:
        raise FeedError(f"card {card.card_id!r}: {refusal.failure.message}", card=card.card_id) from refusal
    return card
