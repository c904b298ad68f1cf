from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from engine.market.quotes import BookmakerQuote, NoMarketReason, QuoteFault, screen_quotes

NOON = datetime(2026, 1, 3, 12, tzinfo=UTC)


FAULTS = [
    (BookmakerQuote("a", (1.25, 4.10)), None),
    (BookmakerQuote("a", (1.0, 4.10)), QuoteFault.IMPOSSIBLE_PRICE),
    (BookmakerQuote("a", (float("nan"), 4.10)), QuoteFault.IMPOSSIBLE_PRICE),
    (BookmakerQuote("a", (2.1, 2.1)), QuoteFault.OVERROUND_TOO_LOW),
    (BookmakerQuote("a", (2.03, 2.03)), None),
    (BookmakerQuote("a", (1.65, 1.65)), QuoteFault.OVERROUND_TOO_HIGH),
    (BookmakerQuote("a", (1.25, 4.10), NOON), None),
    (BookmakerQuote("a", (1.25, 4.10), NOON - timedelta(seconds=1)), QuoteFault.STALE),
]


@pytest.mark.parametrize(("quote", "fault"), FAULTS)
def test_a_bad_quote_is_turned_away_with_its_fault(quote: BookmakerQuote, fault: QuoteFault | None) -> None:
    screening = screen_quotes([quote, BookmakerQuote("good", (1.9, 1.9))], oldest=NOON)
    assert [item.fault for item in screening.rejected] == ([] if fault is None else [fault])
    assert screening.valid[-1].bookmaker == "good"
    assert screening.no_market_reason is None


def test_a_rejected_quote_explains_itself() -> None:
    (rejected,) = screen_quotes([BookmakerQuote("Parlour", (2.5, 2.1))]).rejected
    assert str(rejected) == "Parlour: overround_too_low (prices 2.1 and 2.5)"


def test_a_bookmaker_counts_once_with_its_newest_quote() -> None:
    old, new = BookmakerQuote("a", (1.9, 1.9), NOON), BookmakerQuote("a", (1.8, 2.0), NOON + timedelta(minutes=5))
    undated = BookmakerQuote("a", (1.85, 1.95))
    for quotes in ([old, new, undated], [undated, new, old], [new, undated, old]):
        screening = screen_quotes(quotes)
        assert screening.valid == (new,)
        assert {item.fault for item in screening.rejected} == {QuoteFault.REPEATED_BOOKMAKER}
        assert len(screening.rejected) == 2
    assert screen_quotes([undated, BookmakerQuote("a", (1.7, 2.1))]).valid == (undated,)


@pytest.mark.parametrize(
    ("quotes", "absence"),
    [
        ([], NoMarketReason.NO_QUOTES),
        ([BookmakerQuote("a", (2.1, 2.1))], NoMarketReason.INVALID_QUOTES),
        (
            [BookmakerQuote("a", (2.1, 2.1)), BookmakerQuote("b", (1.9, 1.9), NOON - timedelta(days=1))],
            NoMarketReason.STALE_QUOTES,
        ),
    ],
)
def test_no_market_has_a_reason(quotes: list[BookmakerQuote], absence: NoMarketReason) -> None:
    assert screen_quotes(quotes, oldest=NOON).no_market_reason is absence


def test_a_quote_dated_ahead_says_when() -> None:
    ahead = BookmakerQuote("a", (1.9, 1.9), NOON + timedelta(days=270))
    (rejected,) = screen_quotes([ahead], newest=NOON).rejected
    assert rejected.fault is QuoteFault.DATED_AHEAD
    assert str(rejected) == f"a: dated_ahead (prices 1.9 and 1.9 of {ahead.as_of:%Y-%m-%d} 12:00:00 UTC)"
    assert screen_quotes([ahead], newest=NOON).no_market_reason is NoMarketReason.INVALID_QUOTES
