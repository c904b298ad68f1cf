"""Route that says what of an odds feed would fail, without making a job."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any

import msgspec
from litestar import Request, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, Parameter, RawBody
from litestar.response import Response
from msgspec import Struct

from engine.data.fighter_names import FighterIndex
from engine.errors import EngineError
from gateway.api.feeds import PriceFormatParameter, Seconds
from gateway.api.responses import json_response, require_json
from gateway.security.caller import Caller, Role
from ledger.contracts.failures import Failure, FailureCode
from ledger.contracts.jobs import DevigMethod, Fight, PredictCard
from ledger.jobs.job_entries import deadline_of
from ledger.jobs.quote_age import fresh_until, quote_window, stale_odds_failure
from ledger.ledger import Ledger
from ledger.server.base_server import to_datetime
from producer.feed.odds_api import MAX_FEED_BYTES, read_feed
from producer.polling import dated_now


class FightIssue(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What would go wrong with one fight: `failure` ends it, `warnings` leave out quotes or forbid a bet."""

    fight_id: str
    names: tuple[str, str]
    failure: Failure | None = None
    warnings: Sequence[str] = ()


class CardCheck(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What would become of one card; `refused` is why it would make no job."""

    card_id: str
    event_start: datetime
    fights: int
    refused: Failure | None = None
    issues: Sequence[FightIssue] = ()


class CheckReply(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What of a feed would fail now. `passed`: every event has its card, and no card or fight would fail.

    `names_checked` is false if the ledger does not know the fighters of the model: no name was looked up then.
    """

    passed: bool
    model: str
    names_checked: bool
    cards: Sequence[CardCheck]
    events_refused: Sequence[Failure]


@post(
    "/v1/check",
    opt={"role": Role.PRODUCER},
    request_max_body_size=MAX_FEED_BYTES + 1,
    status_code=200,
    sync_to_thread=True,
)
def check_feed(
    request: Request[Caller, Any, Any],
    ledger: NamedDependency[Ledger],
    body: RawBody,
    price_format: PriceFormatParameter,
    model: Annotated[str, Parameter(min_length=1, max_length=200)] = "champion",
    deadline: FromQuery[datetime | None] = None,
    priced_at: FromQuery[datetime | None] = None,
    devig_method: FromQuery[DevigMethod] = "power",
    debutant: Annotated[list[str] | None, Parameter(description="Fighter without earlier fights.")] = None,
    max_quote_age_seconds: Seconds = None,
    quote_age_limit_seconds: Seconds = None,
) -> Response[bytes]:
    """Return what of an odds feed would fail: names with the nearest ones, stale prices, wrong notation, doubles."""
    require_json(request)
    reading = read_feed(
        body,
        price_format=price_format,
        model=model,
        deadline=deadline,
        priced_at=priced_at,
        devig_method=devig_method,
        debutants=debutant or (),
    )
    ages: dict[str, Any] = {
        "max_quote_age_seconds": max_quote_age_seconds,
        "quote_age_limit_seconds": quote_age_limit_seconds,
    }
    now = to_datetime(1000 * ledger.server.time())
    cards = dated_now([msgspec.structs.replace(card, **ages) for card in reading.cards], now)
    digest = str(ledger.models.find(model)["digest"])
    try:
        index: FighterIndex | None = _fighter_index(ledger, digest)
    except LookupError:
        index = None
    checked = [_check_card(card, index, now) for card in cards]
    refused = [error.failure for error in reading.refused]
    failed = any(card.refused or any(issue.failure for issue in card.issues) for card in checked)
    reply = CheckReply(
        passed=not refused and not failed,
        model=digest,
        names_checked=index is not None,
        cards=checked,
        events_refused=refused,
    )
    return json_response(reply)


@lru_cache(maxsize=4)
def _fighter_index(ledger: Ledger, digest: str) -> FighterIndex:
    """Return the fighters of a model, which never change. Raises LookupError if the ledger does not know them."""
    directory = ledger.fighters.find(digest)
    if directory is None:
        raise LookupError(digest)
    return FighterIndex(directory.ids, directory.names, directory.ambiguous)


def _check_card(card: PredictCard, index: FighterIndex | None, now: datetime) -> CardCheck:
    issues = [_check_fight(card, fight, index) for fight in card.fights]
    return CardCheck(
        card_id=card.card_id,
        event_start=card.event_start,
        fights=len(card.fights),
        refused=_refusal(card, now),
        issues=[issue for issue in issues if issue.failure is not None or issue.warnings],
    )


def _refusal(card: PredictCard, now: datetime) -> Failure | None:
    """Return why `submit` would refuse a card now."""
    deadline, fresh = deadline_of(card), fresh_until(card)
    if deadline is not None and deadline <= now:
        return Failure(
            code=FailureCode.EXPIRED,
            message=f"the deadline of card {card.card_id!r} was {deadline.isoformat()}: set a later `deadline`",
        )
    if fresh is not None and fresh <= now:
        return stale_odds_failure(card, now)
    return None


def _check_fight(card: PredictCard, fight: Fight, index: FighterIndex | None) -> FightIssue:
    first, second = fight.fighters
    return FightIssue(
        fight_id=fight.id,
        names=(first.name, second.name),
        failure=None if index is None else _unknown(fight, index),
        warnings=list(_warnings(card, fight)),
    )


def _unknown(fight: Fight, index: FighterIndex) -> Failure | None:
    """Return the failure of a fight whose fighters the model does not know."""
    try:
        unknown = [
            fighter.name
            for fighter in fight.fighters
            if index.find_position(fighter.name) is None and not fighter.debut
        ]
    except EngineError as error:
        return Failure(code=FailureCode.UNKNOWN_FIGHTER, message=str(error), details=dict(error.details))
    if not unknown:
        return None
    found = index.unknown_fighter_error(unknown)
    return Failure(code=FailureCode.UNKNOWN_FIGHTER, message=str(found), details=dict(found.details))


def _warnings(card: PredictCard, fight: Fight) -> Iterator[str]:
    yield from fight.invalid_quotes
    window = quote_window(card)
    for quote in fight.quotes:
        if not window.contains(quote):
            yield f"the quote of {quote.bookmaker} from {quote.as_of} would be left out: too old, or dated ahead"
    if not any(window.contains(quote) for quote in fight.quotes):
        yield "no usable quote: there would be a probability and no bet"
    if fight.same_bout_as is not None:
        yield f"the same bout as {fight.same_bout_as!r}: only that one would be bet on"
    if fight.conflicts_with:
        yield f"shares a fighter with {', '.join(map(repr, fight.conflicts_with))}: neither would be bet on"


ROUTES = (check_feed,)
