from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from engine.errors import ValidationError
from engine.market.consensus import (
    BestPrice,
    BookmakerQuote,
    DevigMethod,
    NoMarketReason,
    QuoteFault,
    add_margin,
    consensus,
    devig,
    net_price,
    reject_contradicting,
    screen_quotes,
)
from engine.market.odds import (
    american_to_decimal,
    decimal_to_american,
    decimal_to_fractional,
    fractional_to_decimal,
    implied_probabilities,
    overround,
)

NOON = datetime(2026, 1, 3, 12, tzinfo=UTC)

# Fair probability of the first fighter by proportional, power, Shin, odds-ratio and logarithmic, as penaltyblog 1.13.1
# computes it; for an overround below 1 its Shin fails, and the value there is half of the margin on each side.
ORACLE = [
    ((1.91, 1.91), 0.5, 0.5, 0.5, 0.5, 0.5),
    ((1.25, 4.10), 0.7663551402, 0.7844927163, 0.7780487805, 0.7788277744, 0.7788277744),
    ((2.65, 1.5349), 0.3667710101, 0.3610354607, 0.3629251245, 0.3628014987, 0.3628014987),
    ((1.08, 8.5), 0.8872651357, 0.9151194851, 0.9041394336, 0.9063885891, 0.9063885891),
    ((3.05, 1.40), 0.3146067416, 0.3027133085, 0.3067915691, 0.3063869781, 0.3063869781),
    ((1.6667, 2.3), 0.5798270603, 0.5839760265, 0.5826026958, 0.5827054955, 0.5827054955),
    ((2.02, 2.0), 0.4975124378, 0.4975301216, 0.4975247525, 0.4975246918, 0.4975246918),
]


@pytest.mark.parametrize(
    ("american", "decimal"),
    [(100, 2.0), (-100, 2.0), (150, 2.5), (-150, 5 / 3), (316, 4.16), (-400, 1.25), (-5000, 1.02)],
)
def test_american_odds_become_decimal(american: int, decimal: float) -> None:
    assert american_to_decimal(american) == pytest.approx(decimal, rel=1e-15)


@pytest.mark.parametrize("american", [0, 99, -99, 1.5, np.nan, np.inf])
def test_american_odds_that_nobody_can_mean_are_refused(american: float) -> None:
    with pytest.raises(ValidationError, match="American odds"):
        american_to_decimal(american)


@pytest.mark.parametrize(("decimal", "american"), [(2.0, 100.0), (2.5, 150.0), (1.25, -400.0), (1.5, -200.0)])
def test_decimal_prices_become_american(decimal: float, american: float) -> None:
    assert decimal_to_american(decimal) == pytest.approx(american)


@pytest.mark.parametrize(
    ("fractional", "decimal"), [("5/2", 3.5), ("4", 5.0), ("evens", 2.0), (" 4 / 11 ", 1 + 4 / 11), ("EVS", 2.0)]
)
def test_british_fractions_become_decimal(fractional: str, decimal: float) -> None:
    assert fractional_to_decimal(fractional) == pytest.approx(decimal, rel=1e-15)


@pytest.mark.parametrize("fractional", ["", "5/0", "-1/2", "0", "five to two"])
def test_fractions_that_are_none_are_refused(fractional: str) -> None:
    with pytest.raises(ValidationError, match=r"fraction|above zero"):
        fractional_to_decimal(fractional)


def test_decimal_prices_become_fractions() -> None:
    assert decimal_to_fractional(3.5) == "5/2"
    assert decimal_to_fractional(2.0) == "1/1"
    with pytest.raises(ValidationError, match="too close to 1"):
        decimal_to_fractional(1.00001)


@pytest.mark.parametrize("price", [1.0, 0.5, -2.0, np.nan, np.inf])
def test_impossible_prices_are_refused_everywhere(price: float) -> None:
    for convert in (decimal_to_american, implied_probabilities, lambda bad: devig([bad, 2.0])):
        with pytest.raises(ValidationError, match="finite and above 1"):
            convert(price)


def test_overround_is_the_sum_of_implied_probabilities() -> None:
    assert overround([[1.25, 4.0], [2.0, 2.0]]) == pytest.approx([1.05, 1.0])


@pytest.mark.parametrize(("prices", "proportional", "power", "shin", "odds_ratio", "logarithmic"), ORACLE)
def test_devig_agrees_with_penaltyblog(
    prices: tuple[float, float],
    proportional: float,
    power: float,
    shin: float,
    odds_ratio: float,
    logarithmic: float,
) -> None:
    for method, expected in zip(DevigMethod, (proportional, power, shin, odds_ratio, logarithmic), strict=True):
        assert devig(prices, method)[0] == pytest.approx(expected, abs=1e-9), method


def test_devig_uses_power_unless_told() -> None:
    assert np.array_equal(devig([1.25, 4.10]), devig([1.25, 4.10], DevigMethod.POWER))


@pytest.mark.parametrize("method", DevigMethod)
def test_devig_of_many_is_the_devig_of_each(method: DevigMethod) -> None:
    prices = np.array([prices for prices, *_ in ORACLE])
    assert np.array_equal(devig(prices, method), np.stack([devig(pair, method) for pair in prices]))
    assert devig(prices.reshape(1, 7, 2), method).shape == (1, 7, 2)
    assert devig(np.empty((0, 2)), method).shape == (0, 2)


@pytest.mark.parametrize("prices", [2.0, [2.0, 3.0, 4.0], [[2.0], [3.0]]])
def test_devig_is_for_two_fighters(prices: object) -> None:
    with pytest.raises(ValidationError, match="length 2"):
        devig(prices)  # type: ignore[arg-type] - the point of the test


@pytest.mark.parametrize(("probability", "total"), [(0.0, 1.05), (1.0, 1.05), (0.5, 0.0), (0.5, 2.0), (np.nan, 1.0)])
def test_margin_needs_a_probability_and_a_possible_overround(probability: float, total: float) -> None:
    with pytest.raises(ValidationError, match="probability"):
        add_margin(probability, total)


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


def test_consensus_is_the_median_book_with_the_best_prices() -> None:
    market = consensus(
        [BookmakerQuote("c", (1.25, 4.10)), BookmakerQuote("b", (1.30, 3.60)), BookmakerQuote("a", (1.20, 4.10))]
    )
    fair = sorted(devig([[1.25, 4.10], [1.30, 3.60], [1.20, 4.10]])[:, 0])
    assert market.probabilities[0] == fair[1]
    assert market.bookmakers == ("a", "b", "c")
    assert market.best_prices == (BestPrice("b", 1.30), BestPrice("a", 4.10))
    assert market.overround == pytest.approx(1 / 1.30 + 1 / 3.60)
    assert market.method is DevigMethod.POWER
    assert not market.arbitrage


BOOKS = [
    BookmakerQuote("a", (1.90, 1.95)),
    BookmakerQuote("b", (1.85, 2.00)),
    BookmakerQuote("c", (1.88, 1.97)),
    BookmakerQuote("d", (1.95, 1.85)),
]


@pytest.mark.parametrize("method", DevigMethod)
def test_a_bet_is_judged_by_the_other_bookmakers_if_there_are_three(method: DevigMethod) -> None:
    market = consensus(BOOKS, method)
    on_first, on_second = market.for_bets
    assert [best.bookmaker for best in market.best_prices] == ["d", "b"]
    assert on_first.probabilities == consensus(BOOKS[:3], method).probabilities
    assert on_second.probabilities == consensus([BOOKS[0], *BOOKS[2:]], method).probabilities
    assert on_first.without_own_quote
    assert on_second.without_own_quote
    assert on_first.probabilities[0] > market.probabilities[0], "the best price for the first lowered the consensus"


def test_a_bet_is_judged_by_all_bookmakers_if_too_few_others_quote() -> None:
    market = consensus(BOOKS[1:])
    for judged_by in market.for_bets:
        assert judged_by.probabilities == market.probabilities
        assert not judged_by.without_own_quote


def test_no_price_of_the_bookmaker_that_is_bet_at_moves_the_edge() -> None:
    longer = [*BOOKS[:3], BookmakerQuote("d", (1.98, 1.80))]
    assert consensus(longer).for_bets[0] == consensus(BOOKS).for_bets[0]


def test_one_wild_book_does_not_move_the_consensus_far() -> None:
    books = [BookmakerQuote(name, (1.50, 2.70)) for name in "abcd"]
    assert consensus([*books, BookmakerQuote("wild", (2.70, 1.50))]).probabilities == consensus(books).probabilities


def test_arbitrage_between_books_is_flagged() -> None:
    assert consensus([BookmakerQuote("a", (2.2, 1.75)), BookmakerQuote("b", (1.75, 2.2))]).arbitrage


def books(*prices: tuple[float, float]) -> list[BookmakerQuote]:
    return [BookmakerQuote(name, pair) for name, pair in zip("abcdefgh", prices, strict=False)]


AGREED = [(1.50, 2.70), (1.52, 2.62), (1.48, 2.75), (1.51, 2.65)]


@pytest.mark.parametrize(
    ("wild", "fault"),
    [
        ((2.70, 1.50), QuoteFault.SWITCHED_FIGHTERS),
        ((1.20, 5.00), QuoteFault.CONTRADICTS_OTHERS),  # where the market stood weeks ago
        ((1.30, 3.40), QuoteFault.CONTRADICTS_OTHERS),
    ],
)
def test_one_book_that_contradicts_the_others_is_left_out(wild: tuple[float, float], fault: QuoteFault) -> None:
    agreed, odd = books(*AGREED), BookmakerQuote("odd", wild)
    assert consensus([*agreed, odd]).arbitrage
    for quotes in ([*agreed, odd], [odd, *agreed]):
        screening = reject_contradicting(screen_quotes(quotes))
        assert screening.valid == tuple(agreed)
        assert [(item.quote, item.fault) for item in screening.rejected] == [(odd, fault)]
        assert not consensus(screening.valid).arbitrage
        swapped = [BookmakerQuote(quote.bookmaker, quote.prices[::-1]) for quote in quotes]
        turned = reject_contradicting(screen_quotes(swapped))
        assert [quote.prices[::-1] for quote in turned.valid] == [quote.prices for quote in screening.valid]


@pytest.mark.parametrize(
    "quotes",
    [
        books((2.2, 1.75), (1.75, 2.2)),  # one against one
        books((1.5, 2.7), (1.5, 2.7), (2.7, 1.5), (2.7, 1.5)),  # two against two
        books((1.5, 2.7), (2.1, 1.8), (2.7, 1.5)),  # each for itself
    ],
)
def test_where_no_majority_agrees_nothing_is_left_out(quotes: list[BookmakerQuote]) -> None:
    screening = screen_quotes(quotes)
    assert reject_contradicting(screening) == screening
    assert consensus(screening.valid).arbitrage


def test_books_that_agree_are_all_used() -> None:
    screening = screen_quotes(books(*AGREED))
    assert reject_contradicting(screening) is screening


def test_a_quote_dated_ahead_says_when() -> None:
    ahead = BookmakerQuote("a", (1.9, 1.9), NOON + timedelta(days=270))
    (rejected,) = screen_quotes([ahead], newest=NOON).rejected
    assert rejected.fault is QuoteFault.DATED_AHEAD
    assert str(rejected) == f"a: dated_ahead (prices 1.9 and 1.9 of {ahead.as_of:%Y-%m-%d} 12:00:00 UTC)"
    assert screen_quotes([ahead], newest=NOON).no_market_reason is NoMarketReason.INVALID_QUOTES


def test_the_best_price_is_the_best_after_commission() -> None:
    exchange, bookmaker = (
        BookmakerQuote("exchange", (2.06, 1.98), commission=0.05),
        BookmakerQuote("bookmaker", (2.02, 1.80)),
    )
    best, other = consensus([exchange, bookmaker]).best_prices
    assert (best, best.net) == (BestPrice("bookmaker", 2.02), 2.02)
    assert other == BestPrice("exchange", 1.98, 0.05)
    assert other.net == pytest.approx(1.931)
    # Both prices together win whoever wins, but for the commission.
    assert consensus([BookmakerQuote("exchange", (2.06, 1.98))]).arbitrage
    assert not consensus([exchange]).arbitrage
    assert net_price(1.0 + 2**-52, 0.5) > 1.0


def test_consensus_refuses_what_screening_would_have_removed() -> None:
    with pytest.raises(ValidationError, match="at least one"):
        consensus([])
    with pytest.raises(ValidationError, match="repeated: \\['a'\\]"):
        consensus([BookmakerQuote("a", (1.9, 1.9)), BookmakerQuote("a", (1.8, 2.0))])
