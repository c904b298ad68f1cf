from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ledger.contracts.failures import FailureCode, JobRefusedError
from ledger.contracts.jobs import Fight, Fighter, PredictCard, Quote
from ledger.contracts.prices import PriceChange
from ledger.ledger import Ledger, LedgerSettings
from ledger.prices.prices import PriceState
from ledger.server.embedded_server import EmbeddedServer
from producer.feed.odds_api import read_feed

DATA = Path(os.environ.get("CORNERMAN_TEST_DATA") or Path(__file__).parents[4] / "shared" / "data")
SAMPLE = DATA / "odds_feed_sample.json"
T0 = datetime(2026, 8, 20, 12, 0, tzinfo=UTC)
BELL = T0 + timedelta(hours=10)


def at(minutes: float) -> datetime:
    return T0 + timedelta(minutes=minutes)


def quote(bookmaker: str, ana: float, bea: float, commission: float = 0.0, as_of: datetime | None = None) -> Quote:
    return Quote(bookmaker=bookmaker, prices={"Ana": ana, "Bea": bea}, commission=commission, as_of=as_of)


def fight(*quotes: Quote, name: str = "f1", names: tuple[str, str] = ("Ana", "Bea")) -> Fight:
    return Fight(id=name, fighters=(Fighter(name=names[0]), Fighter(name=names[1])), quotes=quotes)


def state_of(ledger: Ledger, name: str) -> PriceState:
    state = ledger.prices.state(name)
    assert state is not None
    return state


def test_only_changes_are_written(ledger: Ledger) -> None:
    assert ledger.prices.record([fight(quote("a", 2.0, 1.8), quote("b", 2.1, 1.7))], at(0)) == 4
    assert ledger.prices.record([fight(quote("a", 2.0, 1.8), quote("b", 2.1, 1.7))], at(5)) == 0
    moved = fight(quote("a", 2.0, 1.75, as_of=at(9.5)), quote("b", 2.1, 1.7), names=("Bea", "Ana"))
    assert ledger.prices.record([moved], at(10)) == 1
    *first, last = ledger.prices.history("f1")
    assert len(first) == 4
    assert last == PriceChange(fight_id="f1", bookmaker="a", fighter="Bea", price=1.75, read_at=at(10), as_of=at(9.5))
    assert state_of(ledger, "f1").read_at == at(10)
    assert ledger.server.execute("XLEN", ledger.server.key("prices", "f1")) == 2


def test_repeated_readings_change_nothing(ledger: Ledger) -> None:
    reading = [fight(quote("a", 2.0, 1.8)), fight(quote("a", 3.0, 1.4), name="f2")]
    assert ledger.prices.record(reading, at(0)) == 4
    before = ledger.prices.history("f1")
    assert [ledger.prices.record(reading, at(0)) for _ in range(3)] == [0, 0, 0]
    assert ledger.prices.history("f1") == before


def test_a_book_that_is_missing_from_a_complete_reading_has_withdrawn(ledger: Ledger) -> None:
    ledger.prices.record([fight(quote("a", 2.0, 1.8), quote("b", 2.1, 1.7))], at(0))
    assert ledger.prices.record([fight(quote("b", 2.1, 1.7))], at(1), complete=False) == 0
    assert ledger.prices.record([fight(quote("b", 2.1, 1.7))], at(2)) == 2
    assert [q.bookmaker for q in ledger.prices.quotes_at("f1", at(1))] == ["a", "b"]
    assert [q.bookmaker for q in ledger.prices.quotes_at("f1", at(2))] == ["b"]
    assert [change.price for change in ledger.prices.history("f1")[-2:]] == [None, None]
    assert ledger.prices.record([fight(quote("a", 2.0, 1.8), quote("b", 2.1, 1.7))], at(3)) == 2  # it is back
    assert ledger.prices.quotes_at("f1", at(3))[0].prices == {"Ana": 2.0, "Bea": 1.8}


def test_a_reading_older_than_the_newest_one_changes_nothing(ledger: Ledger) -> None:
    ledger.prices.record([fight(quote("a", 2.0, 1.8))], at(10))
    history = ledger.prices.history("f1")
    other = fight(quote("a", 5.0, 1.2), name="f2")
    assert ledger.prices.record([fight(quote("a", 2.2, 1.6)), other], at(5)) == 2  # the other fight's first
    assert ledger.prices.history("f1") == history
    assert ledger.prices.quotes_at("f1", at(7)) == ()
    assert state_of(ledger, "f1").read_at == at(10)


def test_what_was_read_within_one_microsecond_stays_in_order(ledger: Ledger) -> None:
    moment = at(0) + timedelta(microseconds=123_456)
    ledger.prices.record([fight(quote("a", 2.0, 1.8))], moment)
    ledger.prices.record([fight(quote("a", 2.5, 1.5))], moment)
    ledger.prices.record([fight(quote("a", 2.6, 1.5))], moment + timedelta(microseconds=1))
    assert [c.price for c in ledger.prices.history("f1")] == [2.0, 1.8, 2.5, 1.5, 2.6]
    assert ledger.prices.quotes_at("f1", moment)[0].prices["Ana"] == 2.5
    assert ledger.prices.quotes_at("f1", moment - timedelta(microseconds=1)) == ()


def test_commissions_are_kept_and_a_new_one_is_a_change(ledger: Ledger) -> None:
    ledger.prices.record([fight(quote("smarkets", 2.0, 1.9, 0.05))], at(0))
    assert ledger.prices.record([fight(quote("smarkets", 2.0, 1.9, 0.02))], at(1)) == 2
    assert [c.commission for c in ledger.prices.history("f1")] == [0.05, 0.05, 0.02, 0.02]
    assert [ledger.prices.quotes_at("f1", at(m))[0].commission for m in (0, 1)] == [0.05, 0.02]


def test_the_close_is_the_last_quote_before_the_bell(ledger: Ledger) -> None:
    ledger.prices.record([fight(quote("a", 2.0, 1.8), quote("b", 2.1, 1.7), quote("c", 2.2, 1.6))], at(0))
    ledger.prices.record([fight(quote("b", 2.1, 1.7), quote("c", 2.2, 1.6))], BELL - timedelta(hours=1))  # a is off
    ledger.prices.record([fight(quote("b", 2.15, 1.65), quote("c", 2.2, 1.6))], BELL - timedelta(minutes=3))
    ledger.prices.record([fight(quote("c", 2.3, 1.5))], BELL - timedelta(minutes=1))  # b is suspended for the start
    ledger.prices.record([fight(quote("c", 9.0, 1.01))], BELL)  # not before it
    assert {q.bookmaker: q.prices["Ana"] for q in ledger.prices.close("f1", BELL)} == {"b": 2.15, "c": 2.3}
    assert ledger.prices.close("f1") == ()  # no reading gave a start
    assert ledger.prices.close("unknown", BELL) == ()


def test_the_bell_is_the_start_as_known_at_the_end(ledger: Ledger) -> None:
    def card(start: datetime, ana: float) -> PredictCard:
        return PredictCard(card_id="c", event_start=start, fights=(fight(quote("a", ana, 1.8)),))

    ledger.prices.record_cards([card(at(60), 2.0)], at(0))
    assert ledger.prices.record_cards([card(at(120), 2.0)], at(50)) == 0  # the event has moved, no price
    ledger.prices.record_cards([card(at(120), 2.4)], at(110))
    ledger.prices.record_cards([card(at(120), 7.0)], at(121))
    assert state_of(ledger, "f1").start == at(120)
    assert ledger.prices.close("f1")[0].prices["Ana"] == 2.4
    assert ledger.prices.close("f1", at(60))[0].prices["Ana"] == 2.0
    assert [(s.start, s.read_at) for s in ledger.prices.read("f1").starts] == [(at(60), at(0)), (at(120), at(50))]
    assert state_of(ledger, "f1").read_before_start == at(110)
    assert state_of(ledger, "f1").read_at == at(121)


def test_the_start_may_come_from_the_listed_fights(ledger: Ledger) -> None:
    ledger.server.execute("HSET", ledger.server.key("bouts"), "f1", f"{int(BELL.timestamp() * 1000)} 1 ana|bea")
    ledger.prices.record([fight(quote("a", 2.0, 1.8))], at(0))
    assert state_of(ledger, "f1").start == BELL


def test_prices_of_a_replaced_fighter_end_with_the_replacement(ledger: Ledger) -> None:
    ledger.prices.record([fight(quote("a", 2.0, 1.8), quote("b", 2.0, 1.8))], BELL - timedelta(minutes=30))
    cleo = Quote(bookmaker="a", prices={"Ana": 1.5, "Cleo": 2.5})
    moment = BELL - timedelta(minutes=10)
    assert ledger.prices.record([fight(cleo, names=("Ana", "Cleo"))], moment) == 6
    assert [q.bookmaker for q in ledger.prices.quotes_at("f1", BELL - timedelta(minutes=20))] == ["a", "b"]
    [only] = ledger.prices.quotes_at("f1", moment)
    assert only.prices == {"Ana": 1.5, "Cleo": 2.5}
    assert ledger.prices.close("f1", BELL) == (only,)  # not b's withdrawn prices of the other bout


def test_bad_input_is_reported_as_a_whole_and_the_rest_goes_in_only_if_asked(ledger: Ledger) -> None:
    bad = fight(
        quote("a", 0.9, 1.8),
        quote("b", 2.0, float("nan")),
        Quote(bookmaker="c", prices={"Ana": 2.0, "Zoe": 1.8}),
        quote("d", 2.0, 1.8, commission=1.0),
        quote("e", 2.0, 1.8),
        quote("e", 2.1, 1.7),
        quote("f", 1002.0, 1.001),
        quote("g", 2.0, 1.8, as_of=datetime(2026, 8, 20)),
    )
    with pytest.raises(JobRefusedError, match=r"no price was recorded: fight 'f1': a prices 'Ana' at 0.9") as refusal:
        ledger.prices.record([bad, fight(name="f2"), fight(name="f2"), fight(name="f3", names=("X", "X"))], at(0))
    faults = refusal.value.failure.details["faults"]
    assert len(faults) == 9
    assert [word for word in ("'Zoe'", "nan", "commission", "twice", "time zone") if any(word in f for f in faults)]
    assert ledger.prices.history("f1") == ()
    assert ledger.prices.record([bad], at(0), skip_faulty=True) == 2
    assert [q.bookmaker for q in ledger.prices.quotes_at("f1", at(0))] == ["e"]


def test_moments_that_cannot_be_are_refused(ledger: Ledger) -> None:
    with pytest.raises(JobRefusedError, match=r"ahead of the server's clock.*set this machine's clock"):
        ledger.prices.record([fight(quote("a", 2.0, 1.8))], datetime.now(UTC) + timedelta(hours=1))
    with pytest.raises(JobRefusedError, match=r"read_at.*no time zone"):
        ledger.prices.record([fight()], datetime(2026, 8, 20))
    assert ledger.prices.state("f1") is None


def test_names_may_be_any_text(ledger: Ledger) -> None:
    odd = fight(quote("= -\n", 2.0, 1.8), name="a:b c%")
    ledger.prices.record([odd], at(0))
    assert ledger.prices.quotes_at("a:b c%", at(0)) == odd.quotes


PRICES = st.sampled_from([1.25, 1.5, 2.0, 1 + 100 / 330, 3.1])
STEP = timedelta(microseconds=250)
READINGS = st.lists(
    st.tuples(
        st.integers(0, 12),  # the moment, in steps, so that readings come late, twice and within a millisecond
        st.dictionaries(st.sampled_from("abc"), st.tuples(PRICES, PRICES, st.sampled_from([0.0, 0.05])), max_size=3),
        st.booleans(),  # complete
    ),
    max_size=12,
)


@hypothesis_settings(max_examples=150)
@given(readings=READINGS)
def test_a_query_sees_exactly_the_readings_up_to_its_moment(
    shared_ledger: Ledger, readings: Sequence[tuple[int, dict[str, tuple[float, float, float]], bool]]
) -> None:
    """Against a plain list of every state: at each moment the last state that had been read by then."""
    ledger, name = shared_ledger, uuid.uuid4().hex
    states: list[tuple[int, dict[str, Quote]]] = []
    for step, books, complete in readings:
        quotes = {book: quote(book, *numbers) for book, numbers in books.items()}
        ledger.prices.record([fight(*quotes.values(), name=name)], T0 + step * STEP, complete=complete)
        if not states or step >= states[-1][0]:
            states.append((step, quotes if complete else {**(states[-1][1] if states else {}), **quotes}))
    for step in range(-1, 14):
        known = [state for moment, state in states if moment <= step]
        expected = known[-1] if known else {}
        for moment in (T0 + step * STEP, T0 + (step + 1) * STEP - timedelta(microseconds=1)):
            assert ledger.prices.quotes_at(name, moment) == tuple(expected[book] for book in sorted(expected))
    changes = ledger.prices.history(name)
    for before, after in pairwise(changes):
        assert before.read_at <= after.read_at
    for side in {(c.bookmaker, c.fighter) for c in changes}:
        own = [(c.price, c.commission) for c in changes if (c.bookmaker, c.fighter) == side]
        assert all(one != other for one, other in pairwise(own) if one[1] == other[1])


@pytest.fixture(scope="module")
def shared_ledger(valkey: EmbeddedServer) -> Iterator[Ledger]:
    ledger = Ledger.connect(LedgerSettings(redis_url=valkey.url, namespace=f"prices-{uuid.uuid4().hex}"))
    yield ledger
    ledger.close()


@pytest.mark.data
@pytest.mark.skipif(not SAMPLE.is_file(), reason=f"no {SAMPLE}")
def test_a_real_feed_is_kept_quote_by_quote(ledger: Ledger) -> None:
    feed = json.loads(SAMPLE.read_text())
    read_at = datetime(2026, 8, 22, 14, 28, tzinfo=UTC)
    cards = read_feed(feed, price_format="american", priced_at=read_at).cards
    quotes = sum(len(each.quotes) for card in cards for each in card.fights)
    assert ledger.prices.record_cards(cards, read_at) == 2 * quotes
    assert ledger.prices.record_cards(cards, read_at + timedelta(minutes=1)) == 0
    for card in cards:
        for each in card.fights:
            kept = ledger.prices.quotes_at(each.id, read_at)
            by_name = sorted(each.quotes, key=lambda q: q.bookmaker)
            assert [msgspec.structs.astuple(q) for q in kept] == [msgspec.structs.astuple(q) for q in by_name]
            assert state_of(ledger, each.id).start == card.event_start


def test_a_full_server_takes_no_prices_and_may_give_archived_ones_up(ledger: Ledger) -> None:
    ledger.prices.record([fight(quote("a", 2.0, 1.8))], at(0))
    kept, newest = ledger.prices.read_whole("f1")
    admin = ledger.server.client
    admin.config_set("maxmemory", 1)
    try:
        with pytest.raises(JobRefusedError) as refusal:
            ledger.prices.record([fight(quote("a", 2.5, 1.5)), fight(quote("a", 2.5, 1.5), name="f2")], at(1))
        assert refusal.value.failure.code is FailureCode.MEMORY_LIMIT_EXCEEDED
        assert ledger.prices.read_whole("f1") == (kept, newest)
        assert ledger.prices.drop_archived("f1", newest, "2026-08")
    finally:
        admin.config_set("maxmemory", 0)
    assert ledger.prices.record([fight(quote("a", 2.5, 1.5))], at(1)) == 2
    assert state_of(ledger, "f1").archived == ("2026-08",)
