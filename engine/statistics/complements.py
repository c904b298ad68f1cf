"""Win probabilities that are exactly symmetric: swapping the fighters turns p into 1 - p, to the bit.

A margin is p - 1/2, in (-1/2, 1/2). Every step from a member's output to the answer is an odd function of the margin,
written so that floating point keeps it odd. The answer is then rounded to a multiple of 2**-40 (1e-12), for which 1 - p
is exact.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.arrays import Floats

_GRID = 2.0**40
_LIMIT = 0.5 - 2.0**-30  # a member that is certain still gets a finite logit (about 21)


def mirror_averaged_margin(forward: Floats, mirrored: Floats) -> Floats:
    """Return the mirror-averaged margin, (n,).

    Parameters
    ----------
    forward
        P(first wins) for the rows as they are, (n,).
    mirrored
        P(first wins) for the rows with their sides swapped, (n,).
    """
    return np.asarray((forward - mirrored) / 2.0)


def corner_margin(forward: Floats, mirrored: Floats, sides: NDArray[np.int8]) -> Floats:
    """Return the margin of a model that was trained with the red corner first, (n,).

    If the corner is known, only the orientation with red first counts, otherwise both. The margin is odd under
    a swap of the fighters together with the corner.

    Parameters
    ----------
    forward, mirrored
        As in `mirror_averaged_margin`.
    sides
        Corner of the first fighter, int8 (n,): +1 red, -1 blue, 0 unknown.
    """
    return np.select([sides > 0, sides < 0], [forward - 0.5, 0.5 - mirrored], mirror_averaged_margin(forward, mirrored))


def margin_to_logit(margin: Floats) -> Floats:
    """Return log(p / (1 - p)) for p = 1/2 + margin; odd in `margin`."""
    margin = np.clip(margin, -_LIMIT, _LIMIT)
    return np.asarray(np.log(0.5 + margin) - np.log(0.5 - margin))


def logit_to_probability(logit: Floats) -> Floats:
    """Return the probability of a logit, rounded to the grid; that of -logit is exactly its complement."""
    margin = np.copysign(np.tanh(np.abs(logit) / 2.0), logit) / 2.0
    return np.asarray(0.5 + round_to_grid(margin))


def logit_on_grid(logit: Floats) -> Floats:
    """Return the multiple of the grid's step next to a logit, (n,), that has the same probability, to the bit.

    Odd. Both multiples around a logit are tried, and one of them has the probability: a step of probability takes at
    least four steps of logit.
    """
    nearest = round_to_grid(logit)
    other = nearest + np.copysign(1.0 / _GRID, logit - nearest)
    return np.where(logit_to_probability(nearest) == logit_to_probability(logit), nearest, other)


def round_to_grid(values: Floats) -> Floats:
    """Return the nearest multiples of the grid's step. Sums and differences of such numbers up to 2**12 are exact."""
    return np.asarray(np.rint(values * _GRID) / _GRID)


def complement(probability: float) -> float:
    """Return the other fighter's probability; exact for any result of `logit_to_probability`."""
    return 1.0 - probability
