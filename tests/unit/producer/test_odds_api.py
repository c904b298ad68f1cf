from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from ledger.contracts.failures import FailureCode
from ledger.contracts.jobs import DeclaredRecord, Fight
from producer.feed.declared_records import parse_record
from producer.feed.odds_api import MAX_FEED_BYTES, FeedError, read_cards, read_feed
from producer.feed.parsing import ParseError, PriceFormat, parse_datetime, parse_price

DATA = Path(os.environ.get("CORNERMAN_TEST_DATA") or Path(__file__).parents[4] / "shared" / "data")
SAMPLE = DATA / "odds_feed_sample.json"


def outcome(name: Any, price: Any) -> dict[str, Any]:
    return {"name": name, "price": price}


def bookmaker(*outcomes: Any, key: str = "book", market: str = "h2h", **more: Any) -> dict[str, Any]:
    return {"key": key, "markets": [{"key": market, "outcomes": list(outcomes)}], **more}


def event(*bookmakers: Any, **changes: Any) -> dict[str, Any]:
    return {
        "id": "e1",
        "sport_key": "mma_mixed_martial_arts",
        "commence_time": "2030-01-05T22:00:00Z",
        "home_team": "Ann Archer",
        "away_team": "Bea Brown",
        "bookmakers": list(bookmakers),
    } | changes


def fight(*bookmakers: Any, price_format: str = "decimal") -> Fight:
    [card] = read_cards([event(*bookmakers)], price_format=price_format)
    [only] = card.fights
    return only


FAIR = (outcome("Ann Archer", 1.5), outcome("Bea Brown", 2.8))


def test_prices_go_with_the_name_whatever_the_order() -> None:
    expected = {"Ann Archer": 1.5, "Bea Brown": 2.8}
    for outcomes in (FAIR, FAIR[::-1]):
        [quote] = fight(bookmaker(*outcomes)).quotes
        assert quote.prices == expected


def test_home_and_away_are_no_corners() -> None:
    assert [fighter.corner for fighter in fight().fighters] == ["unknown", "unknown"]


def test_spelling_within_an_event_may_differ_in_case_and_spaces_only() -> None:
    [quote] = fight(bookmaker(outcome(" ANN  archer", 1.5), outcome("Bea Brown", 2.8))).quotes
    assert set(quote.prices) == {"Ann Archer", "Bea Brown"}


@pytest.mark.parametrize(("price", "decimal"), [(150, 2.5), (-200, 1.5), (100, 2.0), (-100, 2.0), (-800, 1.125)])
def test_american_prices(price: float, decimal: float) -> None:
    assert parse_price(price, PriceFormat.AMERICAN) == pytest.approx(decimal)


@pytest.mark.parametrize("price", [99, -99, 0, 1.91, float("nan"), float("inf"), 10**400, 10**6, True, "150", None])
def test_what_is_no_american_price(price: object) -> None:
    with pytest.raises(ParseError):
        parse_price(price, PriceFormat.AMERICAN)


@pytest.mark.parametrize("price", [1.0, 0, -150, 1001.5, float("nan"), float("-inf"), False, "1.91", None])
def test_what_is_no_decimal_price(price: object) -> None:
    with pytest.raises(ParseError):
        parse_price(price, PriceFormat.DECIMAL)


@pytest.mark.parametrize(
    ("outcomes", "message"),
    [
        ((*FAIR, outcome("Draw", 50.0)), "prices a draw"),
        ((FAIR[0], outcome("Cat Cole", 2.8)), "'Cat Cole', which is neither Ann Archer nor Bea Brown"),
        ((FAIR[0],), "has no price for Bea Brown"),
        ((FAIR[0], FAIR[0]), "prices Ann Archer twice"),
        ((outcome("Ann Archer", 2.2), outcome("Bea Brown", 2.3)), "overround is 0.889"),
        ((outcome("Ann Archer", 1.4), outcome("Bea Brown", 1.6)), "overround is 1.339"),
        ((outcome("Ann Archer", -150), FAIR[1]), "is the feed American"),
        ((outcome("Ann Archer", float("nan")), FAIR[1]), "not a finite price"),
        ((outcome(None, 1.5), FAIR[1]), "expected a name"),
        (("Ann Archer", 1.5), "expected a list of objects"),
    ],
)
def test_a_fault_in_a_quote_turns_the_quote_away_and_nothing_else(outcomes: tuple[Any, ...], message: str) -> None:
    found = fight(bookmaker(*outcomes, key="bad"), bookmaker(*FAIR, key="good"))
    assert [quote.bookmaker for quote in found.quotes] == ["good"]
    [sentence] = found.invalid_quotes
    assert sentence.startswith("bad: ")
    assert message in sentence


AMERICAN = (outcome("Ann Archer", -200), outcome("Bea Brown", 170))


@pytest.mark.parametrize(
    ("notation", "prices", "other"), [("american", FAIR, "decimal"), ("decimal", AMERICAN, "american")]
)
def test_a_notation_that_cannot_be_right_is_refused(notation: str, prices: tuple[Any, ...], other: str) -> None:
    with pytest.raises(FeedError, match=f"none of the 2 quotes is valid as {notation}.*--format {other}") as caught:
        read_cards([event(bookmaker(*prices)), event(bookmaker(*prices), id="e2")], price_format=notation)
    assert caught.value.field == "price_format"
    nonsense = bookmaker(outcome("Ann Archer", 0.5), outcome("Bea Brown", 0.5))
    assert "0.5 is no" in fight(nonsense, price_format=notation).invalid_quotes[0]  # in either notation


def test_one_book_in_another_notation_is_turned_away() -> None:
    found = fight(bookmaker(*AMERICAN, key="foreign"), bookmaker(*FAIR, key="ours"))
    assert [quote.bookmaker for quote in found.quotes] == ["ours"]
    assert "is the feed American" in found.invalid_quotes[0]


def test_a_fighter_called_draw_can_be_priced() -> None:
    [card] = read_cards(
        [event(bookmaker(outcome("Draw", 1.5), FAIR[1]), home_team="Draw")], price_format=PriceFormat.DECIMAL
    )
    assert card.fights[0].quotes[0].prices["Draw"] == 1.5


def test_other_markets_are_passed_over() -> None:
    found = fight(bookmaker(*FAIR, market="totals"), bookmaker(*FAIR, market="h2h_lay", key="exchange"))
    assert (found.quotes, found.invalid_quotes) == ((), ())


def test_a_bookmaker_counts_once() -> None:
    found = fight(bookmaker(*FAIR), bookmaker(outcome("Ann Archer", 1.6), FAIR[1]))
    assert [quote.prices["Ann Archer"] for quote in found.quotes] == [1.5]
    assert "twice" in found.invalid_quotes[0]


@pytest.mark.parametrize("bookmakers", [[], None])
def test_no_bookmakers_is_a_fight_without_quotes(bookmakers: Any) -> None:
    [card] = read_cards([event(bookmakers=bookmakers)], price_format="decimal")
    assert card.fights[0].quotes == ()


def test_the_time_of_a_quote_is_the_markets_or_else_the_bookmakers() -> None:
    quote = fight(bookmaker(*FAIR, last_update="2030-01-05T10:00:00Z")).quotes[0]
    assert quote.as_of == datetime(2030, 1, 5, 10, tzinfo=UTC)
    assert "last_update" in fight(bookmaker(*FAIR, last_update="yesterday")).invalid_quotes[0]


def test_events_of_one_time_are_a_card() -> None:
    late = {"commence_time": "2030-01-06T01:00:00Z"}
    feed = [event(id="c", **late), event(id="a"), event(id="b", commence_time="2030-01-05T23:00:00+01:00")]
    cards = read_cards(feed, price_format="decimal")
    assert [[each.id for each in card.fights] for card in cards] == [["a", "b"], ["c"]]
    assert [card.event_start.hour for card in cards] == [22, 1]
    assert len({card.card_id for card in cards}) == 2


def test_unix_seconds_are_a_time() -> None:
    assert parse_datetime(0) == datetime(1970, 1, 1, tzinfo=UTC)


def test_one_event_and_a_historical_answer_are_feeds_too() -> None:
    for feed in (event(), {"timestamp": "2030-01-01T00:00:00Z", "data": [event()]}, {"data": event()}):
        assert len(read_cards(feed, price_format="decimal")) == 1
    assert read_cards([], price_format="decimal") == []


@pytest.mark.parametrize(
    "wrapped",
    [
        {"fetched_at": "2030-01-01", "events": [event()]},
        {"mma_mixed_martial_arts": {"ts": 1.5, "data": [event()]}},
        {"mma_mixed_martial_arts": [event()], "boxing_boxing": []},
        {"success": True, "data": {"events": [event()]}},
        {"response": [event()]},
    ],
)
def test_usual_wrappers_are_read(wrapped: dict[str, Any]) -> None:
    assert read_cards(json.dumps(wrapped), price_format="decimal") == read_cards([event()], price_format="decimal")


def test_the_sport_of_a_wrapper_is_that_of_its_events() -> None:
    without_sport = {name: value for name, value in event(id="e2").items() if name != "sport_key"}
    reading = read_feed({"mma": [event()], "boxing_boxing": [without_sport]}, price_format="decimal")
    assert [error.event for error in reading.refused] == ["e2"]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda events: {"boxing_boxing": events},
        lambda events: {"sport_key": "boxing_boxing", "data": events},
        lambda events: {"sport_key": "boxing_boxing", "response": {"events": events}},
    ],
)
@pytest.mark.parametrize("sport", [{}, {"sport_key": None}])
def test_another_sport_that_only_the_wrapper_tells_is_refused(
    wrap: Callable[[list[Any]], dict[str, Any]], sport: dict[str, Any]
) -> None:
    without_sport = {name: value for name, value in event(id="e2").items() if name != "sport_key"} | sport
    reading = read_feed(wrap([event(), without_sport]), price_format="decimal")
    assert [fight.id for card in reading.cards for fight in card.fights] == ["e1"]
    [error] = reading.refused
    assert error.failure.details == {
        "event": "e2",
        "field": "sport_key",
        "sport": "boxing_boxing",
        "trained_for": "mma",
    }


@pytest.mark.parametrize(
    "sport", ["boxing_boxing", "Kickboxing", "muay_thai", "soccer_epl", "martial arts", "grappling", "bkfc"]
)
def test_a_bout_of_another_sport_is_refused_by_name_and_the_others_are_read(sport: str) -> None:
    reading = read_feed([event(sport_key=sport), event(id="e2")], price_format="decimal")
    [error] = reading.refused
    assert error.failure.code is FailureCode.INVALID_INPUT
    assert error.failure.details == {"event": "e1", "field": "sport_key", "sport": sport, "trained_for": "mma"}
    assert sport in error.failure.message
    assert [found.id for card in reading.cards for found in card.fights] == ["e2"]


@pytest.mark.parametrize("sport", ["mma_mixed_martial_arts", "MMA", "mma-ufc", "UFC", "Mixed Martial Arts", None])
def test_a_bout_of_mixed_martial_arts_is_read_however_it_is_called(sport: str | None) -> None:
    assert len(read_cards([event(sport_key=sport)], price_format="decimal")) == 1


def test_a_fault_in_one_event_refuses_that_event() -> None:
    sound = [event(id="a"), event(id="b", home_team="Cat Cole", away_team="Dee Dorn")]
    broken = [7, event(id=None), event(id="c", commence_time=None), event(id="d", away_team="ann archer")]
    twice = [event(id="b", home_team="Dee Dorn", away_team="Cat Cole")]
    reading = read_feed([*broken, *sound, *twice], price_format="decimal")
    assert [found.id for card in reading.cards for found in card.fights] == ["a", "b"]
    assert [error.event for error in reading.refused] == ["number 1", "number 2", "c", "d", "b"]
    assert reading.cards == tuple(read_cards(sound, price_format="decimal"))
    with pytest.raises(FeedError, match="number 1"):
        read_cards([*broken, *sound], price_format="decimal")


def test_a_card_that_is_too_long_is_refused_alone() -> None:
    night = {"commence_time": "2030-02-05T22:00:00Z"}
    many = [event(id=f"e{number}", home_team=f"Ann {number}", **night) for number in range(65)]
    reading = read_feed([*many, event(id="a")], price_format="decimal")
    assert [found.id for card in reading.cards for found in card.fights] == ["a"]
    assert reading.refused[0].failure.details == {"card": "mma_mixed_martial_arts@2030-02-05T22:00:00Z"}


def test_a_historical_answer_says_when_its_prices_were_read() -> None:
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    feed = {"timestamp": "2030-01-01T00:00:00Z", "data": [event()]}
    assert read_cards(feed, price_format="decimal")[0].priced_at == moment
    assert read_cards([event()], price_format="decimal", priced_at=moment)[0].priced_at == moment
    assert read_cards([event()], price_format="decimal")[0].priced_at is None
    assert read_cards({"timestamp": None, "data": [event()]}, price_format="decimal")[0].priced_at is None


def test_an_exchange_keeps_a_commission_that_the_caller_may_name() -> None:
    books = [bookmaker(*FAIR, key=key) for key in ("betfair_ex_uk", "Smarkets", "matchbook", "fanduel")]
    reading = read_feed([event(*books)], price_format="decimal", commissions={"matchbook": 0.0, "fanduel": 0.01})
    found = {quote.bookmaker: quote.commission for quote in reading.cards[0].fights[0].quotes}
    assert found == {"betfair_ex_uk": 0.05, "Smarkets": 0.05, "matchbook": 0.0, "fanduel": 0.01}


@pytest.mark.parametrize("key", ["betopenly", "kalshi", "novig", "polymarket", "prophetx"])
def test_every_american_exchange_of_the_odds_api_counts_as_one(key: str) -> None:
    [quote] = fight(bookmaker(*FAIR, key=key)).quotes
    assert quote.commission == 0.05


def test_the_caller_chooses_how_margins_are_removed() -> None:
    [card] = read_cards([event()], price_format="decimal", devig_method="shin")
    assert card.devig_method == "shin"
    assert read_cards([event()], price_format="decimal")[0].devig_method == "power"
    with pytest.raises(FeedError, match="devig_method"):
        read_cards([event()], price_format="decimal", devig_method="guess")  # type: ignore[arg-type]


def test_the_deadline_can_be_moved() -> None:
    moment = datetime(2031, 1, 1, tzinfo=UTC)
    [card] = read_cards([event()], price_format="decimal", deadline=moment, model="m")
    assert (card.deadline, card.model) == (moment, "m")


def test_debutants_are_declared_by_the_caller() -> None:
    [card] = read_cards([event()], price_format="decimal", debutants=["bea brown"])
    assert [fighter.debut for fighter in card.fights[0].fighters] == [False, True]
    with pytest.raises(FeedError, match="'Bea Braun' is declared a debutant"):
        read_cards([event()], price_format="decimal", debutants=["Bea Braun"])


def test_a_declared_record_makes_a_debutant() -> None:
    record = parse_record("14-1-0, knock_out_wins=5,last_bout=2020-03-01")
    assert record == DeclaredRecord(wins=14, losses=1, knock_out_wins=5, last_bout=date(2020, 3, 1))
    [card] = read_cards([event()], price_format="decimal", records={"bea brown": record})
    assert [(fighter.debut, fighter.record) for fighter in card.fights[0].fighters] == [(False, None), (True, record)]
    with pytest.raises(FeedError, match="'Bea Braun' is declared a debutant"):
        read_cards([event()], price_format="decimal", records={"Bea Braun": record})
    with pytest.raises(FeedError, match=r"record\.knock_out_wins"):
        read_cards([event()], price_format="decimal", records={"Bea Brown": parse_record("1-1,knock_out_wins=2")})


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "is not a record like 14-1"),
        ("14", "is not a record like 14-1"),
        ("14-1-0-0", "is not a record like 14-1"),
        ("-1-1", "is not a record like 14-1"),
        ("201-1", "wins"),
        ("14-1,ko=5", "knock_out_wins="),
        ("14-1,wins=5", "knock_out_wins="),
        ("14-1,knock_out_wins=5,knock_out_wins=6", "each once"),
        ("14-1,knock_out_wins=five", "knock_out_wins"),
        ("14-1,last_bout=yesterday", "last_bout"),
    ],
)
def test_a_record_that_cannot_be_read_is_named(text: str, named: str) -> None:
    with pytest.raises(ParseError, match=named):
        parse_record(text)


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"id": None}, "id", "number 1"),
        ({"commence_time": None}, "commence_time", "'e1', commence_time: expected a time"),
        ({"commence_time": "2030-01-05T22:00:00"}, "commence_time", "no time zone"),
        ({"commence_time": "0001-01-01T00:00:00+10:00"}, "commence_time", "not a time"),
        ({"commence_time": 10**30}, "commence_time", "not a time"),
        ({"home_team": ""}, "home_team", "expected a name"),
        ({"away_team": None}, "away_team", "'e1', away_team: expected a name, found None"),
        ({"away_team": "x" * 121}, "away_team", "1 to 120"),
        ({"away_team": "\ud800"}, "away_team", "Unicode"),
        ({"away_team": "ANN ARCHER"}, "away_team", "is named on both sides"),
        ({"bookmakers": "none"}, "bookmakers", "expected a list"),
    ],
)
def test_a_fault_in_an_event_names_the_event_and_the_field(changes: Any, field: str, message: str) -> None:
    with pytest.raises(FeedError) as caught:
        read_cards([event(**changes)], price_format="decimal")
    assert caught.value.field == field
    assert caught.value.failure.code is FailureCode.INVALID_INPUT
    assert message in caught.value.failure.message


@pytest.mark.parametrize(
    ("feed", "message"),
    [
        (b'[{"id": "e1"', "not valid JSON"),
        (b"\xff\xfe\xfa", "not valid JSON"),
        (b"[" * 200_000, "not valid JSON"),
        (b" " * (MAX_FEED_BYTES + 1), "the limit is 8,000,000"),
        ("null", "expected a list of events"),
        (b'{"message": "Usage quota reached"}', "'Usage quota reached'"),
        ([7], "event 'number 1': expected an object"),
        ([event(), event()], "a duplicate in the feed"),
        ([event(), event(away_team="Cat Cole")], "different bouts"),
        ({"fetched": 1, "payload": []}, "its keys are 'fetched', 'payload'"),
        ({}, "its keys are none"),
        ({"data": {"x": {"y": 1}}}, "contains no events: its keys are 'data'"),
        ({"timestamp": "today", "data": []}, "timestamp: 'today' is not a time"),
        ([event(id=f"e{number}") for number in range(65)], "Expected `array` of length <= 64"),
    ],
)
def test_a_feed_that_is_none(feed: Any, message: str) -> None:
    with pytest.raises(FeedError) as caught:
        read_cards(feed, price_format="decimal")
    assert message in caught.value.failure.message


def test_the_format_is_told_not_guessed() -> None:
    with pytest.raises(ValueError, match="fractional"):
        read_cards([event()], price_format="fractional")


@pytest.mark.data
@pytest.mark.skipif(not SAMPLE.exists(), reason="the real feed is not here")
def test_the_real_feed_is_read_whole() -> None:
    events = json.loads(SAMPLE.read_bytes())
    [card] = read_cards(SAMPLE.read_bytes(), price_format="american", debutants=["Ryan Kuse"])
    assert [found.id for found in card.fights] == [found["id"] for found in events]
    assert [len(found.quotes) for found in card.fights] == [len(found["bookmakers"]) for found in events]
    assert not any(found.invalid_quotes for found in card.fights)
    # The first bout's first bookmaker says 316 and -400.
    assert card.fights[0].quotes[0].prices == {"Roman Dolidze": 4.16, "Reinier de Ridder": 1.25}


@pytest.mark.data
@pytest.mark.skipif(not SAMPLE.exists(), reason="the real feed is not here")
def test_the_real_feed_told_as_decimal_is_refused_and_its_notation_named() -> None:
    with pytest.raises(FeedError, match="use --format american"):
        read_cards(SAMPLE.read_bytes(), price_format="decimal")
