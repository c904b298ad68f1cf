"""Returns of betting rules: flat stakes of one unit, settled by the results.

A rule bets on at most one side of a fight, and on none if both sides have a positive expected value, as
`engine.market.bet_decision` does. `default` is that module's own rule on the forecast that production gives for a fight
of an odds feed, which has no corners; `default_corner_known` is the same rule on the forecast with the official corner,
for feeds that have it. Only `everything` bets on both sides, which measures the bookmakers' margin. Bets on draws and
no contests are returned in such markets, so only decided fights count.

A log has one price of a fight, so the market of a market-aware rule contains the price that is bet at. A live bet is
judged by the other bookmakers: see `engine.market.consensus`.

The report lists every rule that was tried: the best of several is better by luck, and the reader needs their number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.arrays import Floats
from engine.evaluation.walk_forward import LEVELS, bound_column
from engine.market.bet_decision import BettingRules
from engine.market.closing_line import closing_line_value
from engine.market.devigging import devig
from engine.model.prediction import UNCERTAINTY_LEVEL
from engine.statistics.scores import Estimate, clustered_mean

MIN_CONFIDENT_PROBABILITY = 0.6
"""Smallest probability of the selected side under the rule `confidence`."""

Prices = Literal["closing", "early"]
_ODDS: dict[Prices, tuple[str, str]] = {
    "closing": ("red_odds", "blue_odds"),
    "early": ("red_early_odds", "blue_early_odds"),
}


@dataclass(frozen=True, slots=True)
class BacktestRule:
    """Bet if the forecast's probability, or its lower bound at `level`, times the price exceeds 1.

    Attributes
    ----------
    name : str
        Name in the report.
    forecast : str or None
        A column of the forecasts; None bets on both sides of everything.
    prices : str
        The prices that are bet at, `closing` or `early`.
    level : float or None
        Level of the interval whose lower bound is used; None uses the probability.
    min_probability : float
        Smallest probability of the selected side.
    max_width : float
        Largest width of the interval at `level`.
    """

    name: str
    forecast: str | None
    prices: Prices
    level: float | None = None
    min_probability: float = 0.0
    max_width: float = 1.0

    def selected_sides(self, forecasts: pd.DataFrame) -> NDArray[np.bool_]:
        """Return the sides that are bet on, bool (n, 2): the first- and the second-listed fighter."""
        prices = decimal_prices(forecasts, self.prices)
        if self.forecast is None:
            return np.isfinite(prices)
        probability = _sides(forecasts[self.forecast], forecasts[self.forecast])
        sure = probability
        if self.level is not None:
            low, high = (forecasts[bound_column(self.forecast, side, self.level)] for side in ("lower", "upper"))
            sure = _sides(low, high)
        positive = sure * prices > 1.0  # false if either is NaN
        positive &= ~positive.all(axis=1, keepdims=True)
        narrow = 1.0 - sure.sum(axis=1, keepdims=True) <= self.max_width
        return np.asarray(positive & narrow & (probability >= self.min_probability))


@dataclass(frozen=True, slots=True)
class BacktestRuleResult:
    """The returns of one betting rule. Each estimate is None if there are no bets to compute it from.

    Attributes
    ----------
    name, forecast, prices
        Those of the rule.
    fights : int
        Number of fights with such prices.
    bets : int
        Number of bets on them.
    return_on_stake : Estimate or None
        Profit over stake.
    closing_line_value : Estimate or None
        Mean of price times de-vigged closing probability, minus 1: the expected profit if the close is right.
    price_gain : Estimate or None
        For bets at early prices: mean of price over the same side's closing price, minus 1.
    bankroll : tuple of float
        Profit in units up to the end of each month of the evaluation.
    """

    name: str
    forecast: str | None
    prices: Prices
    fights: int
    bets: int
    return_on_stake: Estimate | None
    closing_line_value: Estimate | None
    price_gain: Estimate | None
    bankroll: tuple[float, ...]


def backtest_rules(prices: Prices) -> Iterator[BacktestRule]:
    """Yield every rule that is tried at these prices."""
    aware = "market_aware" if prices == "closing" else "early_market_aware"
    default = BettingRules()
    yield BacktestRule("everything", None, prices)
    for name, forecast in (("default", "cornerless"), ("default_corner_known", "statistics_only")):
        yield BacktestRule(
            name,
            forecast,
            prices,
            UNCERTAINTY_LEVEL,
            default.min_prediction_confidence,
            default.max_uncertainty_threshold,
        )
    for forecast in ("statistics_only", aware):
        yield BacktestRule("point_edge", forecast, prices)
        yield BacktestRule("confidence", forecast, prices, min_probability=MIN_CONFIDENT_PROBABILITY)
        for level in LEVELS:
            yield BacktestRule(f"lower_bound_{level:.0%}".rstrip("%"), forecast, prices, level)


def settle_bets(selected: NDArray[np.bool_], prices: Floats, won: NDArray[np.int8]) -> Floats:
    """Return the profit of one unit on each selected side, (n, 2), 0 without a bet.

    Parameters
    ----------
    selected
        The selected sides, bool (n, 2).
    prices
        Decimal prices, (n, 2), NaN if unknown.
    won
        1 if the first-listed fighter won, 0 if the other did, (n,).
    """
    winner = np.column_stack([won == 1, won == 0])
    return np.where(selected, np.where(winner, prices, 0.0) - 1.0, 0.0)


def evaluate_rule(rule: BacktestRule, forecasts: pd.DataFrame, months: pd.PeriodIndex) -> BacktestRuleResult:
    """Apply a rule to forecasts, one row a fight, and settle its bets; the bankroll is by `months`, in order."""
    prices, closing = decimal_prices(forecasts, rule.prices), decimal_prices(forecasts, "closing")
    selected = rule.selected_sides(forecasts)
    profit = settle_bets(selected, prices, forecasts["won"].to_numpy())
    fair = np.full(closing.shape, np.nan)
    closed = np.isfinite(closing).all(axis=1)
    if closed.any():
        fair[closed] = devig(closing[closed])
    event = np.column_stack([forecasts["event"].to_numpy(dtype=np.str_)] * 2)
    known = selected & np.isfinite(fair)

    def mean(values: Floats, bets: NDArray[np.bool_]) -> Estimate | None:
        return clustered_mean(values[bets], event[bets]) if bets.any() else None

    by_month = pd.Series(profit.sum(axis=1)).groupby(forecasts["date"].dt.to_period("M").to_numpy()).sum()
    return BacktestRuleResult(
        name=rule.name,
        forecast=rule.forecast,
        prices=rule.prices,
        fights=int(np.isfinite(prices).all(axis=1).sum()),
        bets=int(selected.sum()),
        return_on_stake=mean(profit, selected),
        closing_line_value=mean(closing_line_value(prices, fair).edge, known),
        price_gain=mean(prices / closing - 1.0, known) if rule.prices == "early" else None,
        bankroll=tuple(by_month.reindex(months, fill_value=0.0).cumsum().tolist()),
    )


def decimal_prices(forecasts: pd.DataFrame, prices: Prices) -> Floats:
    """Return decimal prices of both sides, (n, 2), NaN for both if one is unknown."""
    found = forecasts[list(_ODDS[prices])].to_numpy(np.float64)
    return np.where(np.isfinite(found).all(axis=1, keepdims=True), found, np.nan)


def _sides(low: pd.Series, high: pd.Series) -> Floats:
    """Return the lower bound of each side, (n, 2), from both bounds of the first."""
    return np.column_stack([low.to_numpy(np.float64), 1.0 - high.to_numpy(np.float64)])
