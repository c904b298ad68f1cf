"""Returns of simulated bets whose truth is known: the intervals cover it, and a rule without an edge shows none."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.intervals.bet_returns import simulate
from engine.errors import ValidationError
from engine.statistics.bet_returns import Drawdown, drawdown, holm, return_on_stake
from engine.statistics.scores import Estimate


@pytest.mark.slow
@pytest.mark.parametrize(("events", "edge", "longest"), [(15, 0.04, 4.0), (40, 0.04, 4.0), (60, -0.05, 9.0)])
def test_intervals_cover_the_known_return_at_their_level(events: int, edge: float, longest: float) -> None:
    generator = np.random.default_rng(11)
    found = [return_on_stake(*simulate(generator, events, edge, longest)) for _ in range(250)]
    inside = [
        each.estimate.lower <= edge <= each.estimate.upper
        for each in found
        if each.estimate.lower is not None and each.estimate.upper is not None
    ]
    assert len(inside) > 240
    assert 0.915 < np.mean(inside) < 0.985  # three standard errors around 95%


@pytest.mark.slow
def test_one_of_several_rules_without_an_edge_seldom_looks_good() -> None:
    """The chance that any of four rules is called profitable stays at the level of the test."""
    generator = np.random.default_rng(5)
    rules, called = 4, []
    for _ in range(40):
        found = [return_on_stake(*simulate(generator, 30, 0.0, 4.0), tried=rules) for _ in range(rules)]
        adjusted = holm([each.p_value for each in found], rules)
        called.append(min(value for value in adjusted if value is not None) < 0.05)
        # The intervals that hold together are wider.
        assert all(
            each.simultaneous.lower < each.estimate.lower or each.estimate.lower == -1.0
            for each in found
            if each.simultaneous.lower is not None and each.estimate.lower is not None
        )
    assert np.mean(called) <= 0.15  # three standard errors above 5%


def test_the_value_is_profit_over_stake_and_equal_bets_have_equal_intervals() -> None:
    bets = simulate(np.random.default_rng(2), 20, 0.1, 4.0)
    found = return_on_stake(*bets)
    assert found.estimate.value == pytest.approx(bets[0].sum() / bets[1].sum())
    assert found == return_on_stake(*bets)
    again = return_on_stake(bets[0] * 100, bets[1] * 100, bets[2])
    assert again.estimate.lower == pytest.approx(found.estimate.lower)


@pytest.mark.parametrize(
    ("profit", "event"),
    [
        ([1.0, -1.0] * 10, ["a"] * 20),  # one event
        ([-1.0] * 20, [str(each) for each in range(20)]),  # no win
        ([2.0] * 4 + [-1.0] * 16, [str(each) for each in range(20)]),  # four wins
    ],
)
def test_too_few_events_or_results_have_no_interval(profit: list[float], event: list[str]) -> None:
    found = return_on_stake(np.array(profit), np.ones(20), np.array(event))
    assert found.estimate == Estimate(np.mean(profit), None, None)
    assert (found.simultaneous, found.p_value) == (found.estimate, None)


def test_no_bets_and_no_stakes_are_refused() -> None:
    for size, stake in ((0, 1.0), (3, 0.0)):
        with pytest.raises(ValidationError):
            return_on_stake(np.ones(size), np.full(size, stake), np.full(size, "a"))


def test_holm_multiplies_by_the_rules_that_are_left() -> None:
    assert holm([0.01, None, 0.03, 0.02], 3) == [pytest.approx(0.03), None, pytest.approx(0.04), pytest.approx(0.04)]
    assert holm([0.01], 10) == [pytest.approx(0.1)]
    assert holm([0.4, 0.5], 2) == [0.8, 0.8]
    assert holm([], 0) == []


def test_the_drawdown_is_the_largest_fall_from_a_peak() -> None:
    assert drawdown([100, -30, -30, 50, -100, -5, 200]) == Drawdown(amount=115, peak=100, longest_losing_run=2)
    assert drawdown([-10, -20, 5]) == Drawdown(amount=30, peak=0, longest_losing_run=2)
    assert drawdown([]) == Drawdown(0, 0, 0)
