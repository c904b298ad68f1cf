"""Statistics of settled bets: return on stake with an interval by event, tests for several rules, and drawdown.

The profits of bets are skewed: many small losses and a few large wins, or the reverse. The interval of a return is
therefore the studentised bootstrap over events, which covers better than Student's t with few events or long prices
(`tests/unit/engine/statistics/test_bet_returns.py` compares both with a known truth). Its draws have a fixed seed, so
that the same bets have the same interval.

References
----------
Efron and Tibshirani (1993), "An Introduction to the Bootstrap", chapter 12.5.
Holm (1979), "A simple sequentially rejective multiple test procedure".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.arrays import Floats
from engine.errors import ValidationError
from engine.statistics.scores import CONFIDENCE, MIN_EVENTS, Estimate

MIN_RESULTS = 5
"""Fewest wins, and fewest losses, for which an interval is given: with fewer, the spread of the profits is unknown."""
_RESAMPLES = 2_000
_MAX_RESAMPLES = 40_000  # enough for the level of a thousand rules
_DRAWN_AT_ONCE = 1_000_000  # events
_SEED = 20_260_101


@dataclass(frozen=True, slots=True)
class ReturnOnStake:
    """Profit divided by stake.

    Attributes
    ----------
    estimate
        With its interval at level CONFIDENCE; both ends are None for too few events, wins or losses.
    simultaneous
        The same at the level at which the intervals of all rules that were tried hold together (Bonferroni).
    p_value
        One-sided p-value of the hypothesis that the expected return is not above 0; None without an interval.
    """

    estimate: Estimate
    simultaneous: Estimate
    p_value: float | None


@dataclass(frozen=True, slots=True)
class Drawdown:
    """The largest fall of the profit from its peak, and the longest run of lost bets.

    Attributes
    ----------
    amount
        The fall, in the unit of the profits.
    peak
        The profit at the peak before it, at least 0, which is where the profit begins.
    """

    amount: int
    peak: int
    longest_losing_run: int


def return_on_stake(profit: Floats, stake: Floats, event: NDArray[np.str_], tried: int = 1) -> ReturnOnStake:
    """Return the return on stake of bets, with its interval by event.

    Parameters
    ----------
    profit
        Profit of each bet, negative for a loss, float64 (n,).
    stake
        Stake of each bet, above 0, float64 (n,).
    event
        Event of each bet, (n,).
    tried
        Number of rules that were tried, of which these bets are one's.

    Raises
    ------
    ValidationError
        There are no bets, or a stake is not above 0.
    """
    if not len(profit) or not np.all(stake > 0):
        raise ValidationError("there is nothing to score: no bets, or a stake of 0")
    member = np.unique(event, return_inverse=True)[1]
    profits, stakes = (np.bincount(member, one).astype(np.float64) for one in (profit, stake))
    value, deviation = (float(one[0]) for one in _ratio(profits[None], stakes[None]))
    unknown = Estimate(value, None, None)
    enough = min(np.sum(profit > 0), np.sum(profit <= 0)) >= MIN_RESULTS
    if len(profits) < MIN_EVENTS or not enough or deviation == 0.0:
        return ReturnOnStake(unknown, unknown, None)
    statistic = np.sort(_studentised(profits, stakes, value, min(_MAX_RESAMPLES, _RESAMPLES * max(1, tried))))

    def interval(error: float) -> Estimate:
        low, high = np.quantile(statistic, [error / 2.0, 1.0 - error / 2.0])
        # No more than the stakes can be lost.
        return Estimate(value, max(-1.0, value - float(high) * deviation), value - float(low) * deviation)

    reached = len(statistic) - np.searchsorted(statistic, value / deviation)
    return ReturnOnStake(
        estimate=interval(1.0 - CONFIDENCE),
        simultaneous=interval((1.0 - CONFIDENCE) / max(1, tried)),
        p_value=(1.0 + float(reached)) / (1.0 + len(statistic)),
    )


def holm(p_values: Sequence[float | None], tried: int) -> list[float | None]:
    """Return p-values that hold together for all rules that were tried, in the order given; None stays None.

    `tried` counts rules without a p-value, too: they are treated as if theirs were the largest, which keeps the error
    below its level whatever they were.
    """
    ranked = sorted((value, place) for place, value in enumerate(p_values) if value is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (value, place) in enumerate(ranked):
        highest = max(highest, min(1.0, (max(tried, len(ranked)) - rank) * value))
        adjusted[place] = highest
    return adjusted


def drawdown(profits: Iterable[int]) -> Drawdown:
    """Return the drawdown of bets in the order in which they were settled."""
    total = peak = amount = peak_before = run = longest = 0
    for profit in profits:
        total += profit
        peak = max(peak, total)
        if peak - total > amount:
            amount, peak_before = peak - total, peak
        run = run + 1 if profit < 0 else 0
        longest = max(longest, run)
    return Drawdown(amount, peak_before, longest)


def _studentised(profits: Floats, stakes: Floats, value: float, resamples: int) -> Floats:
    """Return the studentised difference of each resample from the value; resamples without a spread are left out."""
    events = len(profits)
    generator = np.random.default_rng(_SEED)
    at_once = max(1, _DRAWN_AT_ONCE // events)
    found = []
    for _ in range(math.ceil(resamples / at_once)):
        drawn = generator.integers(0, events, (min(at_once, resamples), events))
        values, deviations = _ratio(profits[drawn], stakes[drawn])
        usable = deviations > 0
        found.append((values[usable] - value) / deviations[usable])
    return np.concatenate(found)


def _ratio(profits: Floats, stakes: Floats) -> tuple[Floats, Floats]:
    """Return the ratio of the sums over events, (k,), of rows (k, events), and its clustered standard error."""
    events, total = profits.shape[1], stakes.sum(axis=1)
    value = profits.sum(axis=1) / total
    residual = profits - value[:, None] * stakes
    return value, np.sqrt(events / max(1, events - 1) * np.sum(residual**2, axis=1)) / total
