"""Sequential tests of a model in production, updated as results arrive; each is an e-process.

    calibration   null hypothesis: given the past, the predicted probabilities are calibrated. Bets go against it in the
                  directions of the slope (favourites win more, or less, often than predicted) and of the red corner.
    market        null hypothesis: the log loss exceeds the market's by no more than out of fold, plus an allowance.
    coverage      null hypothesis: the market's probability lies outside an interval no more often than its level
                  allows, plus the allowance of the alerts. Results alone cannot show whether a true probability was
                  inside.

`ALPHA` is the probability that a test raises a false alarm in the whole life of a model; over all tests it is 4%. A
test that restarts after its alarm was cleared has this probability once more. See `engine.statistics.e_processes`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.arrays import Floats
from engine.statistics.e_processes import bet_factors, e_process, mean_lower_bound
from engine.statistics.scores import log_losses

ALPHA = {"calibration": 0.02, "market": 0.01, "coverage": 0.01}
SLOPE_SIZES = (0.1, 0.2, 0.4, 0.8)
"""Errors of the slope, or of the red corner's logit, for which the bets grow about fastest."""
LOSS_SIZES = (0.5, 1.0, 2.0, 4.0)
SHARE_SIZES = (0.5, 1.0, 2.0, 4.0)
LOSS_ALLOWANCE = 0.02
MISS_ALLOWANCE = {0.8: 0.1, 0.95: 0.05}
MAX_LOGIT = 3.0  # limits the weight of one fight against a card
GAP_ALPHA = 0.05
GAPS = np.arange(0.0, 0.31, 0.01)


@dataclass(frozen=True, eq=False)
class ScoredFights:
    """Fights with results, n, in the order in which the results became known.

    Attributes
    ----------
    probability : float64 (n,)
        Predicted probability of the first fighter.
    won : int8 (n,)
        1 if the first fighter won.
    corner : int8 (n,)
        Corner of the first fighter: +1 red, -1 blue, 0 unknown.
    event : int64 (n,)
        Number of the event, non-decreasing.
    market : float64 (n,)
        The market's probability, NaN if unknown.
    intervals : dict of float to (float64 (n,), float64 (n,))
        Lower and upper bounds by level, NaN if there are none.
    """

    probability: Floats
    won: NDArray[np.int8]
    corner: NDArray[np.int8]
    event: NDArray[np.int64]
    market: Floats
    intervals: dict[float, tuple[Floats, Floats]]

    def __len__(self) -> int:
        return len(self.won)


@dataclass(frozen=True, slots=True)
class SequentialTestResult:
    """The result of one test.

    Attributes
    ----------
    test : str
        Name of the test.
    e_value : float
        Current value of the e-process.
    highest : float
        Its maximum so far.
    threshold : float
        1/alpha.
    alarm : bool
        Whether the maximum has reached the threshold.
    events : int
        Number of events.
    """

    test: str
    e_value: float
    highest: float
    threshold: float
    alarm: bool
    events: int


def run_tests(fights: ScoredFights, usual_excess: float | None) -> list[SequentialTestResult]:
    """Run all tests; a test without any fights is left out.

    Parameters
    ----------
    fights
        The fights.
    usual_excess
        By how much the model's log loss exceeded the market's out of fold; None if unknown.
    """
    tests: dict[str, Callable[[], Floats | None]] = {
        "calibration": lambda: calibration_e_process(fights),
        "market": lambda: (
            None if usual_excess is None else market_e_process(fights, max(usual_excess, 0.0) + LOSS_ALLOWANCE)
        ),
        "coverage": lambda: coverage_e_process(fights),
    }
    found = {name: test() if len(fights) else None for name, test in tests.items()}
    return [summarise_e_process(name, process, ALPHA[name]) for name, process in found.items() if process is not None]


def summarise_e_process(test: str, process: Floats, alpha: float) -> SequentialTestResult:
    """Compute a test's result from its e-process, (events,)."""
    highest = float(process.max())
    return SequentialTestResult(test, float(process[-1]), highest, 1.0 / alpha, highest >= 1.0 / alpha, len(process))


def calibration_e_process(fights: ScoredFights) -> Floats:
    """Return the e-process against calibration after each event, (events,)."""
    p = fights.probability
    logit = np.clip(np.log(p) - np.log1p(-p), -MAX_LOGIT, MAX_LOGIT)
    weights = [sign * weight for weight in (logit, fights.corner.astype(np.float64)) for sign in (1.0, -1.0)]
    return e_process(np.concatenate([_residual_bets(fights, weight) for weight in weights], axis=-1))


def market_e_process(fights: ScoredFights, allowed: float) -> Floats | None:
    """Return the e-process against an excess log loss of at most `allowed`; None without priced fights."""
    priced = np.isfinite(fights.market)
    if not priced.any():
        return None
    p, m, event = fights.probability[priced], fights.market[priced], fights.event[priced]
    excess = log_losses(p, fights.won[priced]) - log_losses(m, fights.won[priced])
    least = np.minimum(np.log(m / p), np.log((1.0 - m) / (1.0 - p)))
    score, lowest = (aggregate_by_event(values, event, mean=True) - allowed for values in (excess, least))
    return e_process(bet_factors(score, np.minimum(lowest, 0.0), LOSS_SIZES))


def coverage_e_process(fights: ScoredFights) -> Floats | None:
    """Return the e-process against the promised coverage of the market's probability; None without such fights."""
    factors = []
    for level, allowance in MISS_ALLOWANCE.items():
        if level not in fights.intervals:
            continue
        lower, upper = fights.intervals[level]
        known = np.isfinite(fights.market) & np.isfinite(lower)
        if not known.any():
            continue
        outside = ((fights.market < lower) | (fights.market > upper)).astype(np.float64)
        score = np.zeros(fights.event[-1] + 1)
        present = np.unique(fights.event[known])
        score[present] = aggregate_by_event(outside[known], fights.event[known], mean=True) - (1.0 - level + allowance)
        factors.append(bet_factors(score, np.full(len(score), -(1.0 - level + allowance)), SHARE_SIZES))
    return e_process(np.concatenate(factors, axis=-1)) if factors else None


def calibration_gap_bound(fights: ScoredFights) -> float:
    """Return a lower bound of the difference between the win rate of favourites and their predicted probability, or 0.

    The bound holds with probability 1 - GAP_ALPHA over all time, in either direction.
    """
    if not len(fights):
        return 0.0
    p = fights.probability
    side = np.where(p >= 0.5, 1.0, -1.0)
    gaps = []
    for sign in (1.0, -1.0):
        weight = sign * side
        score = aggregate_by_event(weight * (fights.won - p), fights.event, mean=True)
        lowest = aggregate_by_event(-np.where(weight > 0, p, 1.0 - p), fights.event, mean=True)
        gaps.append(float(mean_lower_bound(score, lowest, SHARE_SIZES, GAP_ALPHA / 2, GAPS)))
    return max(gaps)


def aggregate_by_event(values: Floats, event: NDArray[np.int64], *, mean: bool = False) -> Floats:
    """Return sums, or means, of `values` (n,) by event, in the order of events: (events,)."""
    _, member, count = np.unique(event, return_inverse=True, return_counts=True)
    sums = np.bincount(member, weights=values)
    return np.asarray(sums / count if mean else sums)


def _residual_bets(fights: ScoredFights, weight: Floats) -> Floats:
    """Return bets on the weighted residuals, scaled by their known minimum: (events, sizes)."""
    p = fights.probability
    score = aggregate_by_event(weight * (fights.won - p), fights.event)
    lowest = aggregate_by_event(np.where(weight > 0, -weight * p, weight * (1.0 - p)), fights.event)
    return bet_factors(score, lowest, SLOPE_SIZES)
