"""Operations of odds feeds."""

from __future__ import annotations

from typing import get_args

from gateway.api.check import CheckReply
from gateway.api.feeds import FeedReply
from gateway.security.caller import Role
from gateway.specification.operations import Answer, Operation, Parameter, object_of, query
from gateway.specification.table.jobs import CORRELATION, DURABLE, KEY, TRACE
from ledger.contracts.feeds import FeedStatus
from ledger.contracts.jobs import CHAMPION, MAX_QUOTE_AGE_SECONDS, DevigMethod
from producer.feed.parsing import PriceFormat

FEED = {
    "type": ["array", "object"],
    "description": "The body of a response of The Odds API v4: a list of events, one event, or an object around them.",
}
PRICE_FORMAT = Parameter(
    name="price_format",
    place="query",
    schema={"enum": [each.value for each in PriceFormat]},
    description="Notation of the prices: a wrong guess would cost money.",
    required=True,
)
_AGE = {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_QUOTE_AGE_SECONDS}
OPTIONS = (
    PRICE_FORMAT,
    query("model", "Alias or digest of the model.", type="string", minLength=1, maxLength=200, default=CHAMPION),
    query("deadline", "When the answers are of no more use, by default the start.", type="string", format="date-time"),
    query("priced_at", "When the prices were read.", type="string", format="date-time"),
    query("devig_method", "How margins are removed.", enum=sorted(get_args(DevigMethod)), default="power"),
    query(
        "debutant", "Name of a fighter without earlier fights; may be repeated.", type="array", items={"type": "string"}
    ),
    query("max_quote_age_seconds", "Refuse a card with an older quote.", **_AGE),
    query("quote_age_limit_seconds", "Leave out quotes that are older.", **_AGE),
    query("contributions", "Answer with what each group of features adds.", type="boolean", default=False),
)
EXAMPLE = [
    {
        "id": "f1",
        "sport_key": "mma_mixed_martial_arts",
        "commence_time": "2030-01-05T22:00:00Z",
        "home_team": "Ann Archer",
        "away_team": "Bea Brown",
        "bookmakers": [
            {
                "key": "corner_books",
                "last_update": "2030-01-05T17:55:00Z",
                "markets": [
                    {
                        "key": "h2h",
                        "outcomes": [{"name": "Ann Archer", "price": 1.61}, {"name": "Bea Brown", "price": 2.45}],
                    }
                ],
            }
        ],
    }
]

TYPES = (FeedStatus,)
OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/feeds",
        name="listFeeds",
        tag="operations",
        summary="Return the feeds that feed runners read, each with its leader, budget, last success and next poll.",
        role=Role.READER,
        answers={200: Answer(description="The feeds.", body=object_of(feeds=[FeedStatus]))},
    ),
    Operation(
        method="POST",
        path="/v1/feeds/odds",
        name="submitFeed",
        tag="jobs",
        summary="Submit the cards of an odds feed.",
        description=(
            "Events that start together become one card. A card makes a new job only if something that determines its "
            "answer has changed since the last reading. `Idempotency-Key` is for a feed with one card only."
        ),
        role=Role.PRODUCER,
        parameters=(
            *OPTIONS,
            query("strict", "Refuse the whole feed if any of its events is refused.", type="boolean", default=False),
            KEY,
            CORRELATION,
            *TRACE,
            DURABLE,
        ),
        body=FEED,
        examples={"odds": EXAMPLE},
        answers={
            201: Answer(description="A job was made for at least one card.", body=FeedReply),
            200: Answer(description="No new job: every card was known or refused.", body=FeedReply),
        },
        problems={409: "The server cannot confirm the write that `durable` asks for; the jobs are accepted."},
    ),
    Operation(
        method="POST",
        path="/v1/check",
        name="checkFeed",
        tag="jobs",
        summary="Say what of an odds feed would fail, without making a job.",
        description=(
            "Reads the feed as `POST /v1/feeds/odds` does, and names what would go wrong: fighters that the model does "
            "not know, with the nearest names, prices that are too old or not valid in this notation, events that are "
            "listed twice or share a fighter, and cards that have begun. Nothing is stored."
        ),
        role=Role.PRODUCER,
        parameters=tuple(option for option in OPTIONS if option.name != "contributions"),
        body=FEED,
        examples={"odds": EXAMPLE},
        answers={200: Answer(description="What would become of each card.", body=CheckReply)},
    ),
)
