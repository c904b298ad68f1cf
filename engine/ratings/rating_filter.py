"""The rating filter: strengths of fighters and weights of their differences, learnt from results and closing odds.

A state-space model with a Gaussian state s = (b, g, theta): k coefficients of feature differences, the effect of the
red corner, and one strength a fighter. The log-odds of a fight's first fighter are the linear form

    d = x'b + c g + theta_first - theta_second

with x the scaled differences and c = 1 if the first fighter has the official red corner, -1 for the blue one, 0 if the
corner is unknown. All fights of a day are forecast from the state before that day. Then, per day:

1. Drift. Var(b) += `coefficient_drift` a year. A fighter of the day, t years after his last fight: mean and covariances
   times exp(-`fade` t), variance += `strength_drift` t. The covariances of fighters who have been idle for
   `max_idle_days` are set to 0; their means and variances are kept.
2. Closing odds. The de-vigged closing logits m of the day are observed as m = H s + e, Var(e) = `market_noise`:
   K = P H' (H P H' + R)^-1, mean += K (m - H mean), P -= K H P (Kalman 1960).
3. Results. y is 1, 1/2 or 0, with P(y = 1) = expit(q d), q = `priced_sharpness` for fights with odds and
   `unpriced_sharpness` for others. The posterior is approximated by Laplace's method, with Newton's steps for the mode
   (Rasmussen and Williams 2006, algorithm 3.1).

The odds of a day are observed after its forecasts, so a forecast uses past odds only, never its own. Closing odds are a
less noisy observation of strengths than results: without them (`market` all NaN) the same filter learns from results.

A swap of a fight's two fighters negates every quantity of the fight, to the bit: its row of H and its forecast. All
sums are loops of one order, so the bits do not depend on threads or on linear algebra libraries.

References
----------
Kalman (1960), "A new approach to linear filtering and prediction problems".
Rasmussen and Williams (2006), Gaussian Processes for Machine Learning, section 3.4.
Glickman (1999), "Parameter estimation in large dynamic paired comparison experiments" (drifting strengths).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

import numpy as np
from numpy.typing import NDArray

from engine.arrays import Floats
from engine.ratings.filter_kernels import DAYS_A_YEAR, NEVER, replay

LATEST_FORECASTS = 1000
FADE = 0.1
"""Default rate a year at which strengths fall back to 0."""
_GRID = 2.0**30


@dataclass(frozen=True, slots=True)
class RatingParams:
    """Parameters of the rating filter, all on the logit scale. Chosen on fights of 2011 to 2015, then rounded.

    Attributes
    ----------
    coefficient_variance, corner_variance, strength_variance
        Variances of b, g and a debutant's theta before the first observation.
    coefficient_drift, strength_drift
        Variance that b and theta gain a year.
    fade
        Rate a year at which theta falls back to 0.
    market_noise
        Variance of a closing logit about the log-odds.
    priced_sharpness, unpriced_sharpness
        Factor from d to the logit of a result, for fights with and without odds.
    max_idle_days
        Days without a fight after which a fighter's covariances are dropped.
    """

    coefficient_variance: float = 0.01
    corner_variance: float = 0.25
    strength_variance: float = 0.5
    coefficient_drift: float = 2e-4
    strength_drift: float = 0.03
    fade: float = FADE
    market_noise: float = 0.35
    priced_sharpness: float = 1.5
    unpriced_sharpness: float = 1.0
    max_idle_days: int = 1500


@dataclass(frozen=True, slots=True, eq=False)
class RatedFights:
    """Fights in order of (date, id), n of them, among f fighters.

    Attributes
    ----------
    fighters
        Positions of both fighters, intp (n, 2).
    day
        Days since 1970-01-01, ascending, int64 (n,).
    x
        Scaled differences, first minus second, float64 (n, k) without NaN.
    corner
        1 if the first fighter has the official red corner, -1 for the blue one, 0 if unknown, float64 (n,).
    market
        De-vigged closing logit of the first fighter, float64 (n,), NaN without odds.
    score
        1, 1/2 or 0 of the first fighter, float64 (n,), NaN for no contest.
    """

    fighters: NDArray[np.intp]
    day: NDArray[np.int64]
    x: Floats
    corner: Floats
    market: Floats
    score: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Ratings:
    """What the filter has learnt after a day, as far as forecasts need it; f fighters.

    Attributes
    ----------
    coefficients
        Means of b, float64 (k,).
    corner
        Mean of g.
    strength
        Means of theta on the day of each fighter's last fight, float64 (f,).
    strength_variance
        Variances of theta, float64 (f,).
    last_day
        Days of the last fights since 1970-01-01, int64 (f,); NEVER without any.
    forecast_variance
        Mean variance of the log-odds over the latest `LATEST_FORECASTS` forecasts.
    """

    coefficients: Floats
    corner: float
    strength: Floats
    strength_variance: Floats
    last_day: NDArray[np.int64]
    forecast_variance: float


def run_rating_filter(
    fights: RatedFights,
    n_fighters: int,
    params: RatingParams | None = None,
    prior: tuple[Floats, Floats] | None = None,
) -> tuple[Floats, Ratings]:
    """Forecast every fight from strictly earlier days, and return what was learnt in the end.

    Parameters
    ----------
    fights
        The fights, n.
    n_fighters
        Number of fighters, f.
    params
        Parameters of the filter; the default ones if absent.
    prior
        Means and variances of theta before each fighter's first fight, float64 (f,) each; 0 and `strength_variance` if
        absent.

    Returns
    -------
    forecasts : float64 (n, 2)
        Log-odds of the first fighter with the corner unknown, and their variance.
    ratings : Ratings
        The means and variances after the last day.
    """
    p = params or RatingParams()
    k = fights.x.shape[1]
    edges = np.concatenate([[0], np.flatnonzero(np.diff(fights.day)) + 1, [len(fights.day)]]).astype(np.int64)
    strength = np.zeros((n_fighters, 2))
    strength[:, 0], strength[:, 1] = prior or (0.0, p.strength_variance)
    last = np.full(n_fighters, NEVER, dtype=np.int64)
    out = np.empty((len(fights.day), 2))
    sharpness = np.where(np.isnan(fights.market), p.unpriced_sharpness, p.priced_sharpness)
    coefficients = replay(
        np.ascontiguousarray(fights.fighters.astype(np.int64)),
        fights.day,
        edges,
        np.ascontiguousarray(np.column_stack([fights.x, fights.corner])),
        fights.market,
        fights.score,
        sharpness,
        np.array([p.coefficient_variance] * k + [p.corner_variance]),
        np.array([p.coefficient_drift, p.strength_drift, p.fade, p.market_noise, float(p.max_idle_days)]),
        strength,
        last,
        out,
    )
    out[:, 0] = round_logits(out[:, 0])
    return out, Ratings(
        coefficients[:k].copy(),
        float(coefficients[k]),
        strength[:, 0],
        strength[:, 1],
        last,
        float(out[-LATEST_FORECASTS:, 1].mean()),
    )


def forecast_logits(
    ratings: Ratings,
    fighters: NDArray[np.intp],
    day: NDArray[np.int64],
    x: Floats,
    fade: float = FADE,
    debut_strength: Floats | None = None,
) -> Floats:
    """Return the log-odds of n later fights with the corner unknown, float64 (n,); odd under a swap, to the bit.

    Parameters
    ----------
    ratings
        The ratings.
    fighters
        Positions of both fighters, intp (n, 2); -1 for a debutant.
    day
        Days of the fights, int64 (n,).
    x
        Scaled differences, float64 (n, k).
    fade
        Of the parameters that the ratings were made with.
    debut_strength
        Means of theta of fighters without any fight, float64 (n, 2), not used for others; 0 if absent.
    """
    total = np.zeros(len(x))
    for column, coefficient in zip(x.T, ratings.coefficients.tolist(), strict=True):
        total += column * coefficient
    strength = np.zeros(fighters.shape) if debut_strength is None else debut_strength.copy()
    for row, side in zip(*np.nonzero(fighters >= 0), strict=True):
        fighter = fighters[row, side]
        last = ratings.last_day[fighter]
        if last != NEVER:
            strength[row, side] = ratings.strength[fighter] * exp(-fade * (day[row] - last) / DAYS_A_YEAR)
    return round_logits(total + (strength[:, 0] - strength[:, 1]))


def round_logits(logit: Floats) -> Floats:
    """Return logits rounded to multiples of 2**-30, so that a library's last bit of exp or log changes no feature."""
    return np.asarray(np.rint(logit * _GRID) / _GRID)
