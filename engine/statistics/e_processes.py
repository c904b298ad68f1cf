"""Tests that may be looked at after every event, for ever: e-processes by betting.

A bet against a hypothesis turns one unit of money into an e-process: a process that is never negative and, while the
hypothesis holds, expected never to grow. By Ville's inequality it ever reaches 1/alpha with probability alpha at most,
over all time, however often one looks and whatever one does in between. A large value is evidence against the
hypothesis, and alarms lie where it reaches 1/alpha.

Bets are made event by event, on a score whose expectation is at most 0 under the hypothesis. How the results of one
event hang together does not matter: a bet is bounded by the worst that all of them could do at once. The money is
spread over sizes and directions of bets and over the event at which betting begins, since nobody knows when a model
goes wrong. A mean of e-processes is one.

Not covered: a hypothesis about anything but expectations given the past, and results that are looked at before they are
chosen.

Sources: Ville (1939); Waudby-Smith and Ramdas (2024), "Estimating means of bounded random variables by betting",
Journal of the Royal Statistical Society B 86; Ramdas, Gruenwald, Vovk and Shafer (2023), "Game-theoretic statistics and
safe anytime-valid inference", Statistical Science 38; Henzi and Ziegel (2022), "Valid sequential inference on
probability forecast performance", Biometrika 109.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.arrays import Floats

MOST_LOST = 0.9
"""Share of its money that a bet may lose at once."""
FIRST_SHARE = 0.5
"""Share of the money that bets from the first event on; the rest begins later."""
LATER_SCALE = 50.0
"""About how many events pass until half of the rest has begun."""
MOST_EVIDENCE = 1e12
"""No process grows beyond it: what is certain need not become more so, and must not overflow."""


def bets(score: Floats, lowest: Floats, sizes: Sequence[float]) -> Floats:
    """Return what becomes of one unit in each event, (events, ..., sizes), for bets of these sizes on a score.

    score: (events, ...), with an expectation of at most 0 given the past. lowest: the least that it could have been,
    known before the event, at most 0. A bet of a size multiplies the money by 1 + size * score, or by less where it
    could lose more than MOST_LOST.
    """
    limit = np.full(np.shape(lowest), np.inf)
    np.divide(MOST_LOST, -lowest, out=limit, where=lowest < 0)
    size = np.minimum(np.asarray(sizes), limit[..., None])
    return np.asarray(1.0 + np.where(np.isfinite(size), size, 0.0) * score[..., None])


def shares(events: int) -> Floats:
    """Return the share of the money that begins to bet with each event, (events,); for ever they add up to 1."""
    later = np.arange(1, max(events, 1), dtype=np.float64)
    rest = (1.0 - FIRST_SHARE) * LATER_SCALE / ((LATER_SCALE + later - 1.0) * (LATER_SCALE + later))
    return np.concatenate([[FIRST_SHARE], rest])[:events]


def evidence(factors: Floats) -> Floats:
    """Return the e-process after each event, (events, ...), of money spread evenly over the last axis of `factors`.

    What has not begun to bet is kept.
    """
    begins = shares(len(factors))
    bettors = factors.shape[-1]
    money = np.zeros(factors.shape[1:])
    kept = 1.0
    values = np.empty(factors.shape[:-1])
    for event, factor in enumerate(factors):
        kept -= begins[event]
        money = np.minimum((money + begins[event] / bettors) * factor, MOST_EVIDENCE)
        values[event] = np.minimum(kept + money.sum(axis=-1), MOST_EVIDENCE)
    return values


def proven_mean(score: Floats, lowest: Floats, sizes: Sequence[float], alpha: float, values: Floats) -> Floats:
    """Return the largest of `values` (ascending, from 0) that the score's mean is proven to exceed, (...); 0 for none.

    The lower end of a confidence sequence: wrong with probability alpha at most over all time, for all values together,
    as a mean below the truth can only be rejected rightly and one hypothesis is true.
    """
    shifted = score[..., None] - values
    process = evidence(bets(shifted, lowest[..., None] - values, sizes))
    rejected = (process >= 1.0 / alpha).any(axis=0)
    return np.asarray(np.where(rejected, values, 0.0).max(axis=-1))
