"""Simultaneous Kelly stakes against the mean over all outcomes."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.arrays import Floats
from engine.errors import ValidationError
from engine.market.bet_decision import kelly_stake
from engine.market.simultaneous_kelly import MAX_TOTAL, KellyBet, simultaneous_kelly

bets = st.builds(KellyBet, st.floats(0.01, 0.99), st.floats(1.01, 50.0))
paying = st.builds(
    lambda probability, edge: KellyBet(probability, (1.0 + edge) / probability),
    st.floats(0.02, 0.98),
    st.floats(0.0001, 0.5),
).filter(lambda bet: bet.price > 1.001)
NEARLY_ALL = [
    KellyBet(0.96, 1.5520833333333335),
    KellyBet(0.96, 1.5625),
    KellyBet(0.96, 1.5625),
    KellyBet(0.97, 1.0618556701030928),
    KellyBet(0.98, 1.0205102040816327),
    KellyBet(0.98, 1.530612244897959),
]


def outcomes(bets: list[KellyBet]) -> tuple[Floats, Floats]:
    """The probability of each of all outcomes, (2^n,), and the profit of each bet in it, (2^n, n)."""
    wins = np.array([*itertools.product([0, 1], repeat=len(bets))])
    p, price = np.array(bets).T
    return np.prod(np.where(wins == 1, p, 1.0 - p), axis=1), np.where(wins == 1, price - 1.0, -1.0)


def growth(bets: list[KellyBet], stakes: Floats) -> float:
    chances, profits = outcomes(bets)
    return float(np.sum(chances * np.log1p(profits @ stakes)))


@settings(max_examples=150)
@given(st.lists(paying, min_size=2, max_size=10))
@example(NEARLY_ALL)
def test_the_stakes_are_where_no_outcome_counts_more(bets: list[KellyBet]) -> None:
    """The gradient over all 2^n outcomes is 0, or the sum is at its bound: the optimum of a concave function.

    The example stakes nearly all: a search that ends when its steps become short ends too early there.
    """
    stakes = np.array(simultaneous_kelly(bets))
    assert np.all(stakes > 0.0)
    total = float(np.sum(stakes))
    assert total < 1.0
    chances, profits = outcomes(bets)
    gradient = np.sum((chances / (1.0 + profits @ stakes))[:, np.newaxis] * profits, axis=0)
    # By how much a change of the stakes could still raise the mean growth: the duality gap.
    gap = MAX_TOTAL * max(0.0, float(np.max(gradient))) - float(gradient @ stakes)
    assert abs(gap) < (1e-11 if total < 0.9999 else 1e-6)


@settings(max_examples=50)
@given(st.lists(paying, min_size=2, max_size=6), st.data())
def test_no_other_stakes_grow_faster(bets: list[KellyBet], data: st.DataObject) -> None:
    stakes = np.array(simultaneous_kelly(bets))
    other = stakes * np.array([data.draw(st.floats(0.0, 1.5)) for _ in bets])
    if np.sum(other) < MAX_TOTAL:
        assert growth(bets, other) <= growth(bets, stakes) + 1e-12


@settings(max_examples=100)
@given(st.lists(bets, min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_the_order_changes_no_bit(bets: list[KellyBet], random: object) -> None:
    order = list(range(len(bets)))
    random.shuffle(order)  # type: ignore[attr-defined]
    stakes = simultaneous_kelly(bets)
    assert simultaneous_kelly([bets[number] for number in order]) == tuple(stakes[number] for number in order)
    for (one, first), (other, second) in itertools.combinations(zip(bets, stakes, strict=True), 2):
        if one == other:
            assert first == second


@given(bets)
def test_one_bet_has_the_kelly_stake_to_the_bit(bet: KellyBet) -> None:
    assert simultaneous_kelly([bet]) == (kelly_stake(*bet),)
    hopeless = KellyBet(0.2, 3.0)
    assert simultaneous_kelly([hopeless, bet, hopeless]) == (0.0, kelly_stake(*bet), 0.0)


@settings(max_examples=50)
@given(st.lists(paying, min_size=2, max_size=64))
def test_many_bets_stay_below_their_single_stakes(bets: list[KellyBet]) -> None:
    stakes = simultaneous_kelly(bets)
    assert all(math.isfinite(stake) and stake >= 0.0 for stake in stakes)
    assert math.fsum(stakes) <= MAX_TOTAL + 1e-12
    for bet, stake in zip(bets, stakes, strict=True):
        assert stake <= kelly_stake(*bet) + 1e-9


def test_two_equal_bets_have_the_known_stake() -> None:
    """Thorp's even-money coins: for two of them f = e / (1 + e^2), with the edge e = 2p - 1."""
    for p in (0.51, 0.6, 0.9):
        edge = 2.0 * p - 1.0
        first, second = simultaneous_kelly([KellyBet(p, 2.0)] * 2)
        assert first == second == pytest.approx(edge / (1.0 + edge * edge), abs=1e-12)


def test_small_edges_do_not_disturb_each_other() -> None:
    bets = [KellyBet(0.5, 2.0 + 1e-6), KellyBet(0.25, 4.0 + 1e-6)]
    assert simultaneous_kelly(bets) == pytest.approx([kelly_stake(*bet) for bet in bets], rel=1e-5)


def test_of_bets_that_cannot_be_lost_the_best_price_gets_all() -> None:
    one, other = simultaneous_kelly([KellyBet(1.0, 1.5), KellyBet(1.0, 2.0)])
    assert one < 1e-9
    assert other == pytest.approx(MAX_TOTAL)


def test_the_most_extreme_bets_have_an_answer() -> None:
    stakes = simultaneous_kelly([KellyBet(0.9999999, 1001.0 - number) for number in range(64)])
    assert all(math.isfinite(stake) for stake in stakes)
    assert 0.9 < math.fsum(stakes) < 1.0


@pytest.mark.parametrize("bet", [KellyBet(1.1, 2.0), KellyBet(-0.1, 2.0), KellyBet(math.nan, 2.0), KellyBet(0.5, 1.0)])
def test_what_is_no_bet_is_refused(bet: KellyBet) -> None:
    with pytest.raises(ValidationError):
        simultaneous_kelly([KellyBet(0.6, 2.0), bet])
