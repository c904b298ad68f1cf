"""Scores of forecasts, with intervals that allow for dependence between the fights of one event.

Intervals of means and coefficients are event-clustered: a sandwich variance over the events' summed residuals, with the
correction G/(G-1) for G events, and Student's t on G-1 degrees of freedom. Nothing is drawn at random, so a score is
the same every time.

References
----------
Cameron and Miller (2015), "A practitioner's guide to cluster-robust inference", Journal of Human Resources 50.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from engine.arrays import Floats
from engine.errors import ValidationError
from engine.statistics.calibration import fit_logistic

CONFIDENCE = 0.95
"""Confidence level of every interval of a score."""
MIN_EVENTS = 10
"""Fewest events for which an interval is given: with fewer, the sandwich variance is far too small or too large."""
RELIABILITY_EDGES = tuple(0.5 + 0.05 * step for step in range(11))
"""Edges of the reliability bins."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A score with its interval at level CONFIDENCE; both ends are None for fewer than MIN_EVENTS events."""

    value: float
    lower: float | None
    upper: float | None


@dataclass(frozen=True, slots=True)
class CalibrationLine:
    """Logistic regression of results on the forecast's logit; a perfect forecast has slope 1 and intercept 0.

    The intercept refers to the first-listed fighter, who has the red corner in most logs.

    Attributes
    ----------
    slope_error, intercept_error
        Event-clustered standard errors.
    """

    slope: float
    slope_error: float
    intercept: float
    intercept_error: float


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Fights whose favourite has a probability in [from_probability, to_probability).

    Attributes
    ----------
    forecast
        Mean probability of the favourites.
    won
        Share of the favourites that won, with its Wilson interval.
    """

    from_probability: float
    to_probability: float
    fights: int
    forecast: float
    won: Estimate


def log_losses(probability: Floats, won: NDArray[np.int8]) -> Floats:
    """Return the log loss of each fight, (n,), in nats."""
    return np.asarray(-np.log(np.where(won == 1, probability, 1.0 - probability)))


def clustered_mean(values: Floats, event: NDArray[np.str_]) -> Estimate:
    """Return the mean of `values`, (n,), with its event-clustered interval. Raises ValidationError if n is 0."""
    return t_interval(*_clustered(values, event))


def clustered_upper_bound(values: Floats, event: NDArray[np.str_], error: float) -> float | None:
    """Return a one-sided event-clustered lower bound on the mean; None for fewer than MIN_EVENTS events.

    Parameters
    ----------
    values
        Values, float64 (n,).
    event
        Event of each value, (n,).
    error
        Probability that the mean is below the bound, at most.

    Raises
    ------
    ValidationError
        If n is 0.
    """
    mean, deviation, events = _clustered(values, event)
    return None if events < MIN_EVENTS else mean + float(stdtrit(events - 1, 1.0 - error)) * deviation


def _clustered(values: Floats, event: NDArray[np.str_]) -> tuple[float, float, int]:
    """Return the mean, its event-clustered standard error (0 for one event) and the number of events."""
    if not len(values):
        raise ValidationError("there is nothing to score: no fights, or no bets")
    mean = float(np.mean(values))
    residual = _by_event((values - mean)[:, None], event)
    events = len(residual)
    return mean, float(np.sqrt(events / max(1, events - 1) * np.sum(residual**2))) / len(values), events


def clustered_share(hits: NDArray[np.bool_], event: NDArray[np.str_]) -> Estimate:
    """Return the share of True in `hits`, (n,), with its event-clustered interval, clipped to [0, 1]."""
    share = clustered_mean(hits.astype(np.float64), event)
    if share.lower is None or share.upper is None:
        return share
    return Estimate(share.value, max(0.0, share.lower), min(1.0, share.upper))


def calibration_slope(probability: Floats, won: NDArray[np.int8], event: NDArray[np.str_]) -> Estimate:
    """Return the slope of results on the forecast's logit, with its interval.

    There is no intercept, so the order of listing is irrelevant. Raises TrainingError if the forecasts separate the
    results perfectly.
    """
    logit = np.log(probability) - np.log1p(-probability)
    beta, deviation, events = _regression(logit[:, None], won, event)
    return t_interval(float(beta[0]), float(deviation[0]), events)


def t_interval(value: float, deviation: float, events: int) -> Estimate:
    """Return a value with its t interval, from its event-clustered standard error and the number of events."""
    if events < MIN_EVENTS:
        return Estimate(value, None, None)
    half = float(stdtrit(events - 1, 0.5 + CONFIDENCE / 2.0)) * deviation
    return Estimate(value, value - half, value + half)


def calibration_line(probability: Floats, won: NDArray[np.int8], event: NDArray[np.str_]) -> CalibrationLine:
    """Fit the calibration line of a forecast. Raises TrainingError as `fit_logistic` does.

    References
    ----------
    Cox (1958), "Two further applications of a model for binary regression", Biometrika 45.
    """
    logit = np.log(probability) - np.log1p(-probability)
    beta, deviation, _ = _regression(np.column_stack([logit, np.ones(len(logit))]), won, event)
    return CalibrationLine(float(beta[0]), float(deviation[0]), float(beta[1]), float(deviation[1]))


def _regression(columns: Floats, won: NDArray[np.int8], event: NDArray[np.str_]) -> tuple[Floats, Floats, int]:
    """Return a logistic regression's coefficients, their event-clustered standard errors, and the number of events."""
    beta = fit_logistic(columns, won)
    fitted = 1.0 / (1.0 + np.exp(-columns @ beta))
    bread = np.linalg.inv((columns * (fitted * (1.0 - fitted))[:, None]).T @ columns)
    scores = _by_event(columns * (won - fitted)[:, None], event)
    correction = len(scores) / max(1, len(scores) - 1)
    return beta, np.sqrt(np.diag(correction * bread @ scores.T @ scores @ bread)), len(scores)


def reliability_bins(probability: Floats, won: NDArray[np.int8]) -> tuple[ReliabilityBin, ...]:
    """Return the reliability bins of the favourites' probabilities; bins without fights are left out."""
    favoured = np.maximum(probability, 1.0 - probability)
    right = np.where(probability >= 0.5, won == 1, won == 0)
    number = np.digitize(favoured, RELIABILITY_EDGES[1:-1])
    return tuple(
        ReliabilityBin(
            from_probability=RELIABILITY_EDGES[index],
            to_probability=RELIABILITY_EDGES[index + 1],
            fights=int(inside.sum()),
            forecast=float(favoured[inside].mean()),
            won=wilson_interval(int(right[inside].sum()), int(inside.sum())),
        )
        for index in range(len(RELIABILITY_EDGES) - 1)
        if (inside := number == index).any()
    )


def wilson_interval(successes: int, trials: int) -> Estimate:
    """Return a share with the score interval of Wilson (1927), which suits few trials and shares near 0 or 1."""
    z2 = float(ndtri(0.5 + CONFIDENCE / 2.0)) ** 2
    share = successes / trials
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = np.sqrt(z2 * (share * (1 - share) / trials + z2 / (4 * trials**2))) / (1 + z2 / trials)
    return Estimate(share, max(0.0, float(centre - half)), min(1.0, float(centre + half)))


def _by_event(values: Floats, event: NDArray[np.str_]) -> Floats:
    """Sum the rows of `values`, (n, k), by event: (events, k)."""
    names, member = np.unique(event, return_inverse=True)
    sums = np.zeros((len(names), values.shape[1]))
    np.add.at(sums, member, values)
    return sums
