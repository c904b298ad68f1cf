from __future__ import annotations

import pytest

from engine.errors import ValidationError
from engine.market.consensus import BestPrice, consensus, reject_contradicting
from engine.market.devigging import DevigMethod, devig
from engine.market.odds import (
    net_price,
)
from engine.market.quotes import BookmakerQuote, QuoteFault, screen_quotes


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
