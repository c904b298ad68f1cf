from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.contracts.codec import decode_job, encode
from producer.feed.odds_api import FeedError, read_cards, read_feed
from producer.feed.parsing import PriceFormat

FORMATS = st.sampled_from(list(PriceFormat))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8
)
NAMES = st.sampled_from(["Ann", "Bea", "Draw", "ann ", "", "\ud800", "Ⅳ"]) | st.text(max_size=5)
PRICES = st.sampled_from([1.5, 2.8, -200, 170, 1.91, 0, -0.0, 10**400, float("nan")]) | SCALARS
TIMES = st.sampled_from(["2030-01-05T22:00:00Z", "2030-01-05", 0, 1e300]) | SCALARS


def objects(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Objects that have most of the fields, mostly with the right kind of value; now and then anything else."""
    return st.fixed_dictionaries({}, optional={name: value | JSON for name, value in fields.items()}) | JSON


OUTCOMES = st.lists(objects(name=NAMES, price=PRICES), max_size=3)
MARKETS = st.lists(objects(key=st.just("h2h"), outcomes=OUTCOMES, last_update=TIMES), max_size=2)
BOOKMAKERS = st.lists(objects(key=NAMES, title=NAMES, markets=MARKETS, last_update=TIMES), max_size=2)
FEEDS = JSON | st.lists(
    st.fixed_dictionaries(
        {"id": NAMES, "commence_time": TIMES, "home_team": NAMES, "away_team": NAMES, "bookmakers": BOOKMAKERS}
    ),
    max_size=3,
)


@given(feed=FEEDS, price_format=FORMATS)
def test_any_json_becomes_cards_that_can_be_enqueued_or_a_feed_error(feed: Any, price_format: PriceFormat) -> None:
    with suppress(FeedError):
        for card in read_cards(json.dumps(feed), price_format=price_format):
            assert decode_job(encode(card)) == card


@given(feed=FEEDS, price_format=FORMATS)
def test_every_event_of_any_feed_is_read_or_refused(feed: Any, price_format: PriceFormat) -> None:
    with suppress(FeedError):
        reading = read_feed(json.dumps(feed), price_format=price_format)
        if isinstance(feed, list):
            assert sum(len(card.fights) for card in reading.cards) + len(reading.refused) == len(feed)


@given(body=st.binary() | st.text(), price_format=FORMATS)
def test_any_body_becomes_cards_or_a_feed_error(body: bytes | str, price_format: PriceFormat) -> None:
    with suppress(FeedError):
        read_cards(body, price_format=price_format)


@given(
    prices=st.lists(st.tuples(PRICES, PRICES), min_size=1, max_size=4),
    turns=st.lists(st.booleans(), min_size=4, max_size=4),
    price_format=FORMATS,
)
def test_the_order_of_outcomes_does_not_matter(
    prices: list[tuple[Any, Any]], turns: list[bool], price_format: PriceFormat
) -> None:
    def feed(*, turned: bool) -> list[dict[str, Any]]:
        bookmakers = []
        for number, ((first, second), turn) in enumerate(zip(prices, turns, strict=False)):
            outcomes = [{"name": "Ann", "price": first}, {"name": "Bea", "price": second}]
            markets = [{"key": "h2h", "outcomes": outcomes[::-1] if turned and turn else outcomes}]
            bookmakers.append({"key": f"book{number}", "markets": markets})
        names = {"home_team": "Ann", "away_team": "Bea"}
        return [{"id": "e", "commence_time": "2030-01-05T22:00:00Z", **names, "bookmakers": bookmakers}]

    try:
        [straight] = read_cards(feed(turned=False), price_format=price_format)
    except FeedError:  # prices in the other notation
        with pytest.raises(FeedError):
            read_cards(feed(turned=True), price_format=price_format)
        return
    [turned] = read_cards(feed(turned=True), price_format=price_format)
    assert straight.fights[0].quotes == turned.fights[0].quotes
    assert len(straight.fights[0].invalid_quotes) == len(turned.fights[0].invalid_quotes)
