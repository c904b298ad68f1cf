"""Routes of odds feeds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, Parameter, RawBody
from litestar.response import Response
from msgspec import Struct

from gateway.api.responses import (
    CorrelationId,
    Durable,
    IdempotencyKey,
    TraceParent,
    TraceState,
    correlation,
    durability,
    header_text,
    json_response,
    require_json,
    trace_headers,
)
from gateway.security.caller import Caller, Role
from ledger.contracts.codec import job_refused
from ledger.contracts.failures import Failure
from ledger.contracts.job_state import Receipt
from ledger.contracts.jobs import MAX_QUOTE_AGE_SECONDS, DevigMethod, PredictCard
from ledger.ledger import Ledger
from producer.client import Client
from producer.feed.odds_api import MAX_FEED_BYTES, read_feed
from producer.feed.parsing import PriceFormat
from producer.polling import CardSubmission, enqueue_if_changed, prepare_cards, submit_card

PriceFormatParameter = Annotated[PriceFormat, Parameter(description="Notation of the feed's prices.")]
Seconds = Annotated[float | None, Parameter(gt=0, le=MAX_QUOTE_AGE_SECONDS)]


class CardEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one card of a feed: its receipt, or why it was refused.

    `unchanged`: the card has not changed since the job of the receipt, so that no new job was made.
    """

    card_id: str
    receipt: Receipt[Any] | None = None
    refused: Failure | None = None
    unchanged: bool = False


class FeedReply(Struct, frozen=True, kw_only=True):
    """The cards of a feed in order of time, and the failures of events that are on no card."""

    cards: Sequence[CardEntry]
    events_refused: Sequence[Failure]


@post(
    "/v1/feeds/odds",
    opt={"role": Role.PRODUCER},
    request_max_body_size=MAX_FEED_BYTES + 1,
    status_code=201,
    sync_to_thread=True,
)
def submit_feed(
    request: Request[Caller, Any, Any],
    blocking_client: NamedDependency[Client],
    body: RawBody,
    price_format: PriceFormatParameter,
    model: Annotated[str, Parameter(min_length=1, max_length=200)] = "champion",
    deadline: FromQuery[datetime | None] = None,
    priced_at: FromQuery[datetime | None] = None,
    devig_method: FromQuery[DevigMethod] = "power",
    debutant: Annotated[list[str] | None, Parameter(description="Fighter without earlier fights.")] = None,
    max_quote_age_seconds: Seconds = None,
    quote_age_limit_seconds: Seconds = None,
    contributions: FromQuery[bool] = False,
    strict: Annotated[bool, Parameter(description="Refuse the whole feed if any of its events is refused.")] = False,
    idempotency_key: IdempotencyKey = None,
    correlation_id: CorrelationId = None,
    traceparent: TraceParent = None,
    tracestate: TraceState = None,
    durable: Durable = "false",
) -> Response[bytes]:
    """Submit the cards of an odds feed: 201 if a job was made, 200 if every card was known."""
    require_json(request)
    reading = read_feed(
        body,
        price_format=price_format,
        model=model,
        deadline=deadline,
        debutants=debutant or (),
        priced_at=priced_at,
        devig_method=devig_method,
    )
    if reading.refused and (strict or not reading.cards):
        raise reading.refused[0]
    if idempotency_key is not None and len(reading.cards) > 1:
        raise job_refused(f"Idempotency-Key names one job, but the feed has {len(reading.cards)} cards")
    changes: dict[str, Any] = {
        "max_quote_age_seconds": max_quote_age_seconds,
        "quote_age_limit_seconds": quote_age_limit_seconds,
        "contributions": contributions,
    }
    cards = prepare_cards(blocking_client, [msgspec.structs.replace(card, **changes) for card in reading.cards])
    options: dict[str, Any] = {
        "correlation_id": correlation(request, correlation_id),
        "durable": durability(durable),
        "caller": request.user.name,
        **trace_headers(traceparent, tracestate),
    }
    entries = [_submit(blocking_client, card, header_text(idempotency_key), options) for card in cards]
    new = any(entry.receipt is not None and entry.receipt.created for entry in entries)
    reply = FeedReply(
        cards=[
            CardEntry(card_id=each.card_id, receipt=each.receipt, refused=each.refused, unchanged=each.unchanged)
            for each in entries
        ],
        events_refused=[error.failure for error in reading.refused],
    )
    return json_response(reply, 201 if new else 200)


@get("/v1/feeds", opt={"role": Role.READER}, sync_to_thread=True)
def list_feeds(ledger: NamedDependency[Ledger]) -> Response[bytes]:
    """Return the feeds that feed runners read, each with its leader, budget, last success and next poll."""
    return json_response({"feeds": ledger.feeds.all()})


def _submit(client: Client, card: PredictCard, key: str | None, options: dict[str, Any]) -> CardSubmission:
    if key is not None:
        return submit_card(client, card, key=key, **options)
    return enqueue_if_changed(client, card, **options)


ROUTES = (list_feeds, submit_feed)
