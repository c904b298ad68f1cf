"""A debutant's declared record as pseudo-results of the rating filter.

The filter starts every fighter at theta ~ N(0, v), v = `RatingParams.strength_variance`. Let a debutant have n = w + l
+ d bouts elsewhere, and let y = (w + d / 2) / n. His bouts count as results against opponents of one regional strength
-m, each with

    P(win) = expit(q theta + m),    q = `RatingParams.unpriced_sharpness`,    m = logit(`typical_share`)

so that a debutant of strength 0 wins the share that is typical of debutants, and a record of that share moves no mean.
The bouts have the weight

    k = n min(`bout_weight`, `max_bouts` / n) exp(-`fade` t)

with t the years from the last bout to the first fight of the log (0 if unknown). The posterior is approximated by
Laplace's method, as in the filter: with Newton's steps to the mode of

    k (y log p + (1 - y) log(1 - p)) - theta^2 / (2 v),    p = expit(q theta + m)

the prior of the debutant's first fight is N(mode, 1 / (1 / v + k q^2 p (1 - p))). The posterior is concave, so the mode
is unique. Without bouts, or long after the last one, that is N(0, v) again.

Wins and losses by method have no influence, as in the filter, where a finish counts as any win. They are checked
against the totals only, which finds swapped fields.

References
----------
Rasmussen and Williams (2006), Gaussian Processes for Machine Learning, section 3.4 (Laplace's method).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log

import numpy as np

from engine.arrays import Floats
from engine.ratings.rating_filter import RatingParams

_MAX_STEPS = 50
_TOLERANCE = 1e-12


@dataclass(frozen=True, slots=True)
class DeclaredRecordParams:
    """Parameters of the pseudo-results. There are no declared records in the shared fight log to fit them on.

    Attributes
    ----------
    typical_share
        Share of wins in a typical debutant's record. 31 debutants from Brazil had won 361 of 412 (Fight Matrix, "MMA
        Statistics"), a share of .88; it is rounded down, because others may sign with worse records.
    bout_weight
        Weight of a bout relative to a result of the log: half, because opponents are unknown and often chosen.
    max_bouts
        Most bouts that a record counts for. A padded record of 30 wins should not say more than good ones of 8.
    """

    typical_share: float = 0.85
    bout_weight: float = 0.5
    max_bouts: float = 4.0


def declared_prior(
    record: Floats,
    idle_years: Floats,
    params: RatingParams | None = None,
    declared: DeclaredRecordParams | None = None,
) -> tuple[Floats, Floats]:
    """Return the mean and the variance of strengths before the first fight, float64 (f,) each.

    Parameters
    ----------
    record
        Wins, losses and draws, float64 (f, 3); wins are NaN without a declared record.
    idle_years
        Years between the last bout and the first fight, float64 (f,), NaN if unknown.
    params
        Parameters of the rating filter; the default ones if absent.
    declared
        Parameters of the pseudo-results; the default ones if absent.
    """
    p, d = params or RatingParams(), declared or DeclaredRecordParams()
    mean, variance = np.zeros(len(record)), np.full(len(record), p.strength_variance)
    level = log(d.typical_share / (1.0 - d.typical_share))
    years = np.maximum(np.nan_to_num(idle_years), 0.0)
    for row in np.flatnonzero(record[:, 0] >= 0.0).tolist():
        wins, losses, draws = record[row].tolist()
        bouts = wins + losses + draws
        if bouts == 0.0:
            continue
        weight = min(d.bout_weight * bouts, d.max_bouts) * exp(-p.fade * float(years[row]))
        share = (wins + draws / 2.0) / bouts
        mean[row], variance[row] = _posterior(weight, share, level, p)
    return mean, variance


def _posterior(weight: float, share: float, level: float, params: RatingParams) -> tuple[float, float]:
    """Return the mode and the inverse curvature of one fighter's posterior."""
    q, precision = params.unpriced_sharpness, 1.0 / params.strength_variance
    theta = 0.0
    for _ in range(_MAX_STEPS):
        won = 1.0 / (1.0 + exp(-(q * theta + level)))
        curvature = precision + weight * q * q * won * (1.0 - won)
        step = (weight * q * (share - won) - precision * theta) / curvature
        theta += step
        if abs(step) < _TOLERANCE:
            break
    won = 1.0 / (1.0 + exp(-(q * theta + level)))
    return theta, 1.0 / (precision + weight * q * q * won * (1.0 - won))
