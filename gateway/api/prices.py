"""Routes of price histories, and of what changes about the fights of a feed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.params import Parameter
from litestar.response import Response
from msgspec import Struct

from gateway.api.operations import Limit
from gateway.api.responses import json_response
from gateway.problems import ProblemError
from gateway.security.caller import Role
from ledger.contracts.fight_changes import FightChange
from ledger.contracts.jobs import Quote
from ledger.contracts.prices import PriceChange
from ledger.ledger import Ledger
from ledger.prices import as_of
from ledger.prices.archive import ArchiveUnavailableError
from ledger.prices.price_reader import PriceReader
from ledger.prices.prices import last_start
from producer.settings import price_archive

RETRY_SECONDS = 5.0

FightIdParameter = Annotated[str, Parameter(min_length=1, max_length=200, description="Id of the fight at its source.")]
FeedName = Annotated[str, Parameter(min_length=1, max_length=64, description="Name of the feed.")]


class PriceHistoryReply(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The prices of a fight over time.

    Attributes
    ----------
    start
        Its start as the last reading has it.
    changes
        All changes in the order of reading; absent if a moment was asked for.
    at, quotes
        A moment, and the quotes that stood then: only what had been read by then. Without a moment, the close.
    """

    fight_id: str
    start: datetime | None
    quotes: Sequence[Quote]
    changes: Sequence[PriceChange] | None = None
    at: datetime | None = None


@get("/v1/fights/{fight_id:str}/prices", opt={"role": Role.READER}, sync_to_thread=True)
def get_prices(
    ledger: NamedDependency[Ledger],
    fight_id: FightIdParameter,
    at: Annotated[datetime | None, Parameter(description="Only what had been read by this moment.")] = None,
) -> Response[bytes]:
    """Return the price history of a fight with its close, or the quotes that stood at a moment."""
    if at is not None and at.tzinfo is None:
        raise ProblemError(400, f"`at` has no time zone: {at.isoformat()}")
    try:
        found = PriceReader(ledger.prices, price_archive()).read(fight_id)
    except ArchiveUnavailableError as error:
        raise ProblemError(503, str(error), retry_after_seconds=RETRY_SECONDS) from error
    if not found.changes and not found.starts:
        raise ProblemError(404, f"there are no prices of a fight {fight_id!r}")
    start = last_start(found.starts)
    if at is not None:
        quotes = as_of.quotes_at(found.changes, at)
        return json_response(PriceHistoryReply(fight_id=fight_id, start=start, at=at, quotes=quotes))
    quotes = () if start is None else as_of.close_of(found.changes, start)
    return json_response(PriceHistoryReply(fight_id=fight_id, start=start, changes=found.changes, quotes=quotes))


@get("/v1/feeds/{name:str}/changes", opt={"role": Role.READER}, sync_to_thread=True)
def list_fight_changes(ledger: NamedDependency[Ledger], name: FeedName, limit: Limit = 100) -> Response[bytes]:
    """Return what has changed about the fights of a feed besides their prices, newest first."""
    if name not in ledger.feeds.names():
        raise ProblemError(404, f"no feed is registered as {name!r}")
    found: list[FightChange] = [change for _, change in ledger.feeds.changes.events(name, limit=limit)]
    return json_response({"changes": found, "pending": ledger.feeds.changes.pending(name)})


ROUTES = (get_prices, list_fight_changes)
