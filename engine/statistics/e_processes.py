"""Anytime-valid sequential tests: e-processes by betting.

A bet against a hypothesis turns one unit of money into an e-process: a process that is never negative and whose
expectation never grows while the hypothesis holds. By Ville's inequality it ever reaches 1/alpha with probability at
most alpha, over all time, however often it is examined and whatever is done in between. A large value is evidence
against the hypothesis; an alarm is raised if it reaches 1/alpha.

Bets are placed event by event, on a score whose expectation is at most 0 under the hypothesis. Dependence between the
results of one event does not matter: a bet is bounded by the worst score that the event could have. The money is spread
over sizes and directions of bets, and over the event at which betting begins, because the time of a change is unknown.
A mean of e-processes is an e-process.

Not covered: hypotheses other than expectations given the past, and results that are examined before they are chosen.

References
----------
Ville (1939), "Étude critique de la notion de collectif".

Waudby-Smith and Ramdas (2024), "Estimating means of bounded random variables by betting", Journal of the Royal
Statistical Society B 86.

Ramdas, Gruenwald, Vovk and Shafer (2023), "Game-theoretic statistics and safe anytime-valid inference", Statistical
Science 38.

Henzi and Ziegel (2022), "Valid sequential inference on probability forecast performance", Biometrika 109.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.arrays import Floats

MAX_LOSS_FRACTION = 0.9
"""Largest share of its money that a bet may lose in one event."""
FIRST_WEIGHT = 0.5
"""Share of the money that bets from the first event on; the rest begins later."""
LATER_SCALE = 50.0
"""Number of events after which about half of the rest has begun to bet."""
MAX_EVIDENCE = 1e12
"""Upper limit of every e-process, which prevents overflow."""


def bet_factors(score: Floats, lowest: Floats, sizes: Sequence[float]) -> Floats:
    """Return the factors by which bets of the given sizes multiply their money, (events, ..., sizes).

    A bet multiplies its money by 1 + size * score; its size is reduced if it could lose more than MAX_LOSS_FRACTION.

    Parameters
    ----------
    score
        Scores, float64 (events, ...), whose expectation given the past is at most 0 under the hypothesis.
    lowest
        Least possible score of each event, known before the event, at most 0; the same shape.
    sizes
        Sizes of the bets.
    """
    limit = np.full(np.shape(lowest), np.inf)
    np.divide(MAX_LOSS_FRACTION, -lowest, out=limit, where=lowest < 0)
    size = np.minimum(np.asarray(sizes), limit[..., None])
    return np.asarray(1.0 + np.where(np.isfinite(size), size, 0.0) * score[..., None])


def mixture_weights(events: int) -> Floats:
    """Return the share of the money that begins to bet at each event, (events,); over all time they add up to 1."""
    later = np.arange(1, max(events, 1), dtype=np.float64)
    rest = (1.0 - FIRST_WEIGHT) * LATER_SCALE / ((LATER_SCALE + later - 1.0) * (LATER_SCALE + later))
    return np.concatenate([[FIRST_WEIGHT], rest])[:events]


def e_process(factors: Floats) -> Floats:
    """Return the e-process after each event, (events, ...).

    Parameters
    ----------
    factors
        Factors of the bets, float64 (events, ..., bets), as from `bet_factors`. The money is spread evenly over the
        last axis; the share that has not begun to bet is kept.
    """
    begins = mixture_weights(len(factors))
    bettors = factors.shape[-1]
    money = np.zeros(factors.shape[1:])
    kept = 1.0
    values = np.empty(factors.shape[:-1])
    for event, factor in enumerate(factors):
        kept -= begins[event]
        money = np.minimum((money + begins[event] / bettors) * factor, MAX_EVIDENCE)
        values[event] = np.minimum(kept + money.sum(axis=-1), MAX_EVIDENCE)
    return values


def mean_lower_bound(score: Floats, lowest: Floats, sizes: Sequence[float], alpha: float, values: Floats) -> Floats:
    """Return a lower confidence bound on the mean of a score, (...): the largest rejected value, or 0 if none is.

    The bound is the lower end of a confidence sequence: it is wrong with probability at most alpha over all time and
    for all values together.

    Parameters
    ----------
    score
        Scores, float64 (events, ...).
    lowest
        Least possible score of each event, known before the event; the same shape.
    sizes
        Sizes of the bets.
    alpha
        Probability of an error.
    values
        Candidate values, ascending from 0, (k,).
    """
    shifted = score[..., None] - values
    process = e_process(bet_factors(shifted, lowest[..., None] - values, sizes))
    rejected = (process >= 1.0 / alpha).any(axis=0)
    return np.asarray(np.where(rejected, values, 0.0).max(axis=-1))
