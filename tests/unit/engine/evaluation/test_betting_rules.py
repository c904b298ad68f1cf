from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from engine.evaluation.betting_rules import BacktestRule, backtest_rules, evaluate_rule, settle_bets
from engine.evaluation.walk_forward import bound_column
from engine.market.bet_decision import BetAction, BetSide, BettingRules, decide_bet
from engine.market.consensus import BestPrice
from tests.support.past_fights import forecasts_of

MONTHS = pd.period_range("2020-01", "2020-03", freq="M")


@pytest.mark.parametrize(
    ("picks", "won", "profit"),
    [
        ((True, False), 1, (0.5, 0.0)),
        ((True, False), 0, (-1.0, 0.0)),
        ((False, True), 1, (0.0, -1.0)),
        ((False, True), 0, (0.0, 1.8)),
        ((True, True), 1, (0.5, -1.0)),
        ((False, False), 1, (0.0, 0.0)),
    ],
)
def test_a_bet_wins_price_minus_1_or_loses_its_stake(
    picks: tuple[bool, bool], won: int, profit: tuple[float, float]
) -> None:
    settled = settle_bets(np.array([picks]), np.array([[1.5, 2.8]]), np.array([won], dtype=np.int8))
    assert settled[0].tolist() == pytest.approx(profit)


def test_no_price_is_no_bet() -> None:
    table = forecasts_of(4, red_odds=[np.nan, 9.0, np.nan, 9.0])
    for rule in (BacktestRule("everything", None, "closing"), BacktestRule("point_edge", "statistics_only", "closing")):
        assert rule.selected_sides(table)[[0, 2]].sum() == 0
        assert rule.selected_sides(table)[[1, 3]].sum() > 0


@pytest.mark.parametrize(
    ("rule", "probability", "bounds", "prices", "picks"),
    [
        (BacktestRule("point", "statistics_only", "closing"), 0.6, (0.4, 0.8), (1.7, 2.2), (True, False)),
        (BacktestRule("point", "statistics_only", "closing"), 0.6, (0.4, 0.8), (1.6, 2.6), (False, True)),
        (BacktestRule("point", "statistics_only", "closing"), 0.6, (0.4, 0.8), (1.6, 2.4), (False, False)),
        (BacktestRule("both pay", "statistics_only", "closing"), 0.6, (0.4, 0.8), (1.7, 2.6), (False, False)),
        (BacktestRule("sure", "statistics_only", "closing", None, 0.7), 0.6, (0.4, 0.8), (1.7, 2.2), (False, False)),
        (BacktestRule("lower", "statistics_only", "closing", 0.8), 0.6, (0.5, 0.7), (2.1, 1.8), (True, False)),
        (BacktestRule("lower", "statistics_only", "closing", 0.8), 0.6, (0.4, 0.8), (2.1, 1.8), (False, False)),
        (
            BacktestRule("upper is the other's lower", "statistics_only", "closing", 0.8),
            0.6,
            (0.5, 0.7),
            (1.2, 3.5),
            (False, True),
        ),
        (
            BacktestRule("too wide", "statistics_only", "closing", 0.8, 0.0, 0.1),
            0.6,
            (0.5, 0.7),
            (2.1, 1.8),
            (False, False),
        ),
    ],
)
def test_what_a_rule_picks(
    rule: BacktestRule,
    probability: float,
    bounds: tuple[float, float],
    prices: tuple[float, float],
    picks: tuple[bool, bool],
) -> None:
    table = forecasts_of(1, red_odds=prices[0], blue_odds=prices[1], statistics_only=probability)
    table = table.assign(
        **{
            bound_column("statistics_only", side, 0.8): end
            for side, end in zip(("lower", "upper"), bounds, strict=True)
        }
    )
    assert tuple(rule.selected_sides(table)[0]) == picks


@pytest.mark.parametrize(
    ("name", "forecast", "other"),
    [("default", "cornerless", "statistics_only"), ("default_corner_known", "statistics_only", "cornerless")],
)
def test_the_default_rule_is_the_one_of_production(name: str, forecast: str, other: str) -> None:
    """A card of an odds feed names no corner: `default` bets on the forecast without it, and on no other."""
    rng = np.random.default_rng(3)
    n = 400
    table = forecasts_of(n, red_odds=rng.uniform(1.2, 4.0, n), blue_odds=rng.uniform(1.2, 4.0, n))
    p, half = rng.uniform(0.2, 0.8, n), rng.uniform(0.02, 0.3, n)
    table[forecast], low, high = p, np.maximum(p - half, 0.01), np.minimum(p + half, 0.99)
    table[bound_column(forecast, "lower", 0.8)], table[bound_column(forecast, "upper", 0.8)] = low, high
    table[other] = 1.0 - p
    table[bound_column(other, "lower", 0.8)], table[bound_column(other, "upper", 0.8)] = 1.0 - high, 1.0 - low
    (rule,) = (rule for rule in backtest_rules("closing") if rule.name == name)
    picks = rule.selected_sides(table)
    for row in range(n):
        prices = table["red_odds"][row], table["blue_odds"][row]
        sides = (
            BetSide(p[row], low[row], BestPrice("book", prices[0])),
            BetSide(1.0 - p[row], 1.0 - high[row], BestPrice("book", prices[1])),
        )
        decision = decide_bet(sides, BettingRules())
        assert picks[row].any() == (decision.action is BetAction.BET)
        if decision.side is not None:
            assert picks[row][decision.side]
    assert 10 < picks.sum() < n / 2


def test_a_result_by_hand() -> None:
    # Bets on red at 2.0 in each fight; a fair close of 1/2, but for the last at 3/5.
    table = forecasts_of(
        4,
        date=pd.to_datetime(["2020-01-04", "2020-01-04", "2020-03-07", "2020-03-07"]),
        event=["a", "a", "b", "b"],
        won=np.array([1, 0, 1, 1], dtype=np.int8),
        red_odds=[1.9, 1.9, 1.9, 1.9 / 1.2],
        blue_odds=[1.9, 1.9, 1.9, 1.9],
        red_early_odds=2.0,
        blue_early_odds=1.8,
        statistics_only=0.55,
    )
    found = evaluate_rule(BacktestRule("point_edge", "statistics_only", "early"), table, MONTHS)
    assert (found.fights, found.bets) == (4, 4)
    assert found.return_on_stake is not None
    assert found.return_on_stake.value == pytest.approx((1 - 1 + 1 + 1) / 4)
    assert found.bankroll == pytest.approx((0.0, 0.0, 2.0))
    assert found.price_gain is not None
    assert found.price_gain.value == pytest.approx((3 * (2.0 / 1.9 - 1.0) + (2.4 / 1.9 - 1.0)) / 4)
    assert found.closing_line_value is not None
    assert found.closing_line_value.value > 0.0
    even = evaluate_rule(BacktestRule("point_edge", "statistics_only", "early"), table.iloc[:2], MONTHS)
    assert even.closing_line_value is not None
    assert even.closing_line_value.value == pytest.approx(0.0)


def test_at_the_close_the_price_gains_nothing_and_the_margin_is_lost() -> None:
    found = evaluate_rule(BacktestRule("everything", None, "closing"), forecasts_of(40), MONTHS)
    assert found.bets == 80
    assert found.return_on_stake is not None
    assert found.return_on_stake.value == pytest.approx(1.9 / 2 - 1)
    assert found.closing_line_value is not None
    assert found.closing_line_value.value == pytest.approx(1.9 / 2 - 1)
    assert found.price_gain is None


def test_without_bets_there_is_no_return() -> None:
    found = evaluate_rule(BacktestRule("lower_bound_95", "statistics_only", "closing", 0.95), forecasts_of(20), MONTHS)
    assert (found.bets, found.return_on_stake, found.closing_line_value) == (0, None, None)
    assert found.bankroll == (0.0, 0.0, 0.0)


def test_every_rule_has_its_own_name() -> None:
    for prices in ("closing", "early"):
        names = [(rule.name, rule.forecast) for rule in backtest_rules(prices)]
        assert len(set(names)) == len(names)
