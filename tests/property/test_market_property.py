from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.market.consensus import consensus
from engine.market.devigging import DevigMethod, add_margin, devig
from engine.market.odds import (
    american_to_decimal,
    decimal_to_american,
    decimal_to_fractional,
    fractional_to_decimal,
    implied_probabilities,
    overround,
)
from engine.market.quotes import BookmakerQuote, screen_quotes

PRICES = st.floats(1.001, 1001.0)
METHODS = st.sampled_from(list(DevigMethod))
OVERROUNDS = st.floats(0.98, 1.2)


@st.composite
def usable_prices(draw: st.DrawFn) -> tuple[float, float]:
    """Prices that `screen_quotes` lets through."""
    total = draw(st.floats(0.981, 1.199))
    share = draw(st.floats(max(0.002, (total - 0.999) / total), min(0.998, 0.999 / total)))
    return 1.0 / (total * share), 1.0 / (total * (1.0 - share))


@given(usable_prices(), METHODS)
def test_fair_probabilities_are_a_distribution(prices: tuple[float, float], method: DevigMethod) -> None:
    fair = devig(prices, method)
    assert fair[0] + fair[1] == 1.0
    assert np.all((fair > 0.0) & (fair < 1.0))


@given(PRICES, PRICES, METHODS)
def test_any_two_possible_prices_have_fair_probabilities(first: float, second: float, method: DevigMethod) -> None:
    fair = devig([first, second], method)
    assert fair[0] + fair[1] == 1.0
    assert np.all((fair >= 0.0) & (fair <= 1.0))


@given(usable_prices(), METHODS)
def test_swapping_the_fighters_swaps_the_answer(prices: tuple[float, float], method: DevigMethod) -> None:
    assert np.array_equal(devig(prices[::-1], method), devig(prices, method)[::-1])


@given(usable_prices(), METHODS)
def test_the_favourite_stays_favourite(prices: tuple[float, float], method: DevigMethod) -> None:
    fair = devig(prices, method)
    assert fair[0] >= fair[1] if prices[0] <= prices[1] else fair[0] <= fair[1]


@given(usable_prices(), METHODS)
def test_a_margin_makes_no_fighter_likelier_than_his_price(prices: tuple[float, float], method: DevigMethod) -> None:
    implied, fair = implied_probabilities(prices), devig(prices, method)
    if overround(prices) >= 1.0:
        assert np.all(fair <= implied + 1e-12)
    else:
        assert np.all(fair >= implied - 1e-12)


@given(usable_prices())
def test_without_a_margin_all_methods_say_the_same(prices: tuple[float, float]) -> None:
    implied = implied_probabilities(prices)
    fair_prices = overround(prices) / implied
    for method in DevigMethod:
        assert devig(fair_prices, method) == pytest.approx(1.0 / fair_prices, abs=1e-9)


@given(st.floats(0.01, 0.99), OVERROUNDS)
def test_margin_on_and_off(probability: float, total: float) -> None:
    prices = add_margin(probability, total)
    assert overround(prices) == pytest.approx(total, rel=1e-12)
    assert devig(prices, DevigMethod.ODDS_RATIO)[0] == pytest.approx(probability, rel=1e-9)


@given(PRICES)
def test_american_round_trip(price: float) -> None:
    assert american_to_decimal(decimal_to_american(price)) == pytest.approx(price, rel=1e-12)


@given(st.one_of(st.integers(100, 100_000), st.integers(-100_000, -101)))
def test_american_round_trip_of_whole_odds(american: int) -> None:
    assert round(float(decimal_to_american(american_to_decimal(american)))) == american


@given(st.integers(1, 500), st.integers(1, 500))
def test_fractional_round_trip(profit: int, stake: int) -> None:
    price = fractional_to_decimal(f"{profit}/{stake}")
    assert fractional_to_decimal(decimal_to_fractional(price)) == price


@given(st.lists(usable_prices(), min_size=1, max_size=9), METHODS, st.randoms(use_true_random=False))
def test_consensus_ignores_the_order_of_books_and_fighters(
    prices: list[tuple[float, float]], method: DevigMethod, random: object
) -> None:
    quotes = [BookmakerQuote(f"book {number}", pair) for number, pair in enumerate(prices)]
    market = consensus(quotes, method)
    shuffled = list(quotes)
    random.shuffle(shuffled)  # type: ignore[attr-defined] - hypothesis types its Random as object
    assert consensus(shuffled, method) == market
    swapped = consensus([BookmakerQuote(quote.bookmaker, quote.prices[::-1]) for quote in quotes], method)
    assert swapped.probabilities == market.probabilities[::-1]
    assert swapped.best_prices == market.best_prices[::-1]
    for own, other in zip(swapped.for_bets, market.for_bets[::-1], strict=True):
        assert (own.probabilities, own.without_own_quote) == (other.probabilities[::-1], other.without_own_quote)
    assert (swapped.overround, swapped.arbitrage) == (market.overround, market.arbitrage)
    assert sum(market.probabilities) == 1.0


@given(st.lists(st.tuples(st.sampled_from("abc"), PRICES, PRICES), max_size=8))
def test_screening_loses_no_quote_and_keeps_a_bookmaker_once(rows: list[tuple[str, float, float]]) -> None:
    quotes = [BookmakerQuote(name, (first, second)) for name, first, second in rows]
    screening = screen_quotes(quotes)
    assert len(screening.valid) + len(screening.rejected) == len(quotes)
    names = [quote.bookmaker for quote in screening.valid]
    assert len(names) == len(set(names))
    assert (screening.no_market_reason is None) == bool(screening.valid)
    if screening.valid:
        consensus(screening.valid)
