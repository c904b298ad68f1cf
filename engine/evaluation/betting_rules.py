"""What rules for betting would have brought: flat stakes of one unit, settled by the result.

A rule picks at most one side of a fight, and none where both sides would pay, as `engine.market.bet_decision` does.
`default` is that module's own rule on the forecast that production gives for a fight of an odds feed, which names no
corner; `default_corner_known` is the same rule on the forecast with the official corner, for feeds that tell it. Only
`everything` bets both sides, which measures the bookmakers' margin. Bets on draws and no contests are returned in such
markets, so that only decided fights are looked at.

Every rule that was tried is in the list: the best of several is better by luck, and a reader must be able to see how
many there were. Covers rules, settlement and their statistics.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.arrays import Floats
from engine.evaluation.walk_forward import LEVELS, bound
from engine.market.bet_decision import Rules
from engine.market.closing_line import closing_line_value
from engine.market.consensus import devig
from engine.model.prediction import UNCERTAINTY_LEVEL
from engine.statistics.scores import Estimate, clustered_mean

CONFIDENT = 0.6
"""Least probability of the chosen side under the rule `confidence`."""

Prices = Literal["closing", "early"]
_ODDS: dict[Prices, tuple[str, str]] = {
    "closing": ("red_odds", "blue_odds"),
    "early": ("red_early_odds", "blue_early_odds"),
}


@dataclass(frozen=True, slots=True)
class Rule:
    """Bet where the forecast's probability, or its lower bound at `level`, times the price exceeds 1.

    forecast: a column of the forecasts; None bets on both sides of everything. prices: those that are bet at.
    least_probability: of the chosen side. greatest_width: of the interval at `level`.
    """

    name: str
    forecast: str | None
    prices: Prices
    level: float | None = None
    least_probability: float = 0.0
    greatest_width: float = 1.0

    def picks(self, forecasts: pd.DataFrame) -> NDArray[np.bool_]:
        """Return which sides are bet on, bool (n, 2): the first- and the second-listed fighter."""
        prices = prices_of(forecasts, self.prices)
        if self.forecast is None:
            return np.isfinite(prices)
        probability = _sides(forecasts[self.forecast], forecasts[self.forecast])
        sure = probability
        if self.level is not None:
            low, high = (forecasts[bound(self.forecast, side, self.level)] for side in ("lower", "upper"))
            sure = _sides(low, high)
        pays = sure * prices > 1.0  # false where either is NaN
        pays &= ~pays.all(axis=1, keepdims=True)
        narrow = 1.0 - sure.sum(axis=1, keepdims=True) <= self.greatest_width
        return np.asarray(pays & narrow & (probability >= self.least_probability))


@dataclass(frozen=True, slots=True)
class RuleResult:
    """What a rule brought.

    bets: how many; fights: of how many with prices. return_on_stake: profit over stake. closing_line_value: mean of
    price times de-vigged closing probability, minus 1: what the bets were worth if the close is right. price_gain:
    mean of price over the same side's closing price, minus 1, of bets at early prices. None without bets, or, for the
    latter two, without a close. bankroll: profit in units up to the end of each month of the evaluation.
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


def rules(prices: Prices) -> Iterator[Rule]:
    """Yield every rule that is tried at these prices."""
    aware = "market_aware" if prices == "closing" else "early_market_aware"
    default = Rules()
    yield Rule("everything", None, prices)
    for name, forecast in (("default", "cornerless"), ("default_corner_known", "statistics_only")):
        yield Rule(
            name,
            forecast,
            prices,
            UNCERTAINTY_LEVEL,
            default.min_prediction_confidence,
            default.max_uncertainty_threshold,
        )
    for forecast in ("statistics_only", aware):
        yield Rule("point_edge", forecast, prices)
        yield Rule("confidence", forecast, prices, least_probability=CONFIDENT)
        for level in LEVELS:
            yield Rule(f"lower_bound_{level:.0%}".rstrip("%"), forecast, prices, level)


def settle(picks: NDArray[np.bool_], prices: Floats, won: NDArray[np.int8]) -> Floats:
    """Return the profit of one unit on each picked side, (n, 2), 0 where there is no bet.

    prices: decimal, (n, 2), NaN where unknown. won: 1 where the first-listed fighter won, 0 where the other did.
    """
    winner = np.column_stack([won == 1, won == 0])
    return np.where(picks, np.where(winner, prices, 0.0) - 1.0, 0.0)


def try_rule(rule: Rule, forecasts: pd.DataFrame, months: pd.PeriodIndex) -> RuleResult:
    """Bet by a rule on forecasts, one row a fight, and settle. months: those of the bankroll, in order."""
    prices, closing = prices_of(forecasts, rule.prices), prices_of(forecasts, "closing")
    picks = rule.picks(forecasts)
    profit = settle(picks, prices, forecasts["won"].to_numpy())
    fair = np.full(closing.shape, np.nan)
    closed = np.isfinite(closing).all(axis=1)
    if closed.any():
        fair[closed] = devig(closing[closed])
    event = np.column_stack([forecasts["event"].to_numpy(dtype=np.str_)] * 2)
    known = picks & np.isfinite(fair)

    def mean(values: Floats, bets: NDArray[np.bool_]) -> Estimate | None:
        return clustered_mean(values[bets], event[bets]) if bets.any() else None

    by_month = pd.Series(profit.sum(axis=1)).groupby(forecasts["date"].dt.to_period("M").to_numpy()).sum()
    return RuleResult(
        name=rule.name,
        forecast=rule.forecast,
        prices=rule.prices,
        fights=int(np.isfinite(prices).all(axis=1).sum()),
        bets=int(picks.sum()),
        return_on_stake=mean(profit, picks),
        closing_line_value=mean(closing_line_value(prices, fair).edge, known),
        price_gain=mean(prices / closing - 1.0, known) if rule.prices == "early" else None,
        bankroll=tuple(by_month.reindex(months, fill_value=0.0).cumsum().tolist()),
    )


def prices_of(forecasts: pd.DataFrame, prices: Prices) -> Floats:
    """Return decimal prices of both sides, (n, 2), NaN for both where one is unknown."""
    found = forecasts[list(_ODDS[prices])].to_numpy(np.float64)
    return np.where(np.isfinite(found).all(axis=1, keepdims=True), found, np.nan)


def _sides(low: pd.Series, high: pd.Series) -> Floats:
    """Return the lower bound of either side, (n, 2), from both bounds of the first."""
    return np.column_stack([low.to_numpy(np.float64), 1.0 - high.to_numpy(np.float64)])
