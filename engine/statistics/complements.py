"""Probabilities that are exactly symmetric: swapping the fighters turns p into 1 - p, to the bit.

A margin is p - 1/2, in (-1/2, 1/2). Everything between a member's output and the answer is an odd function of it,
written so that floating point keeps it odd; the answer is then rounded to a multiple of 2**-40 (1e-12), for which
1 - p is exact.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.arrays import Floats

_GRID = 2.0**40
_LIMIT = 0.5 - 2.0**-30  # a member that is certain still gets a finite logit (about 21)


def margin_of(forward: Floats, mirrored: Floats) -> Floats:
    """Return the mirror-averaged margin, given P(first wins) of the rows and of the rows with their sides swapped."""
    return np.asarray((forward - mirrored) / 2.0)


def sided_margin(forward: Floats, mirrored: Floats, sides: NDArray[np.int8]) -> Floats:
    """Return the margin by a model that knows corners, given the same: of the way in which red stands first.

    sides: corner of the first fighter, +1 red, -1 blue, 0 unknown, where both ways count. Odd under a swap of the
    fighters together with the corner.
    """
    return np.select([sides > 0, sides < 0], [forward - 0.5, 0.5 - mirrored], margin_of(forward, mirrored))


def logit_of(margin: Floats) -> Floats:
    """Return log(p / (1 - p)) for p = 1/2 + margin; odd in `margin`."""
    margin = np.clip(margin, -_LIMIT, _LIMIT)
    return np.asarray(np.log(0.5 + margin) - np.log(0.5 - margin))


def probability_of(logit: Floats) -> Floats:
    """Return the probability of a logit, on the grid; that of -logit is exactly its complement."""
    margin = np.copysign(np.tanh(np.abs(logit) / 2.0), logit) / 2.0
    return np.asarray(0.5 + np.rint(margin * _GRID) / _GRID)


def complement(probability: float) -> float:
    """Return the other fighter's probability; exact for anything that `probability_of` returned."""
    return 1.0 - probability
