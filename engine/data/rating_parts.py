"""A rating in parts: what each group of features and the fighters' strengths add to it, for contributions.

A rating is a linear form of differences of features and of strengths (`engine.ratings.rating_filter`), so its share of
each group is a sum of terms.
"""

from __future__ import annotations

import numpy as np

from engine.arrays import Floats
from engine.data.feature_groups import FEATURE_GROUPS, group_of
from engine.data.side_features import BASE_FEATURES
from engine.ratings.rating_filter import Ratings, round_logits

PART_GROUPS = tuple(FEATURE_GROUPS)
"""The groups of a rating's parts, in their order."""


def _position(column: str) -> int:
    return PART_GROUPS.index(str(group_of(column)))


_FEATURE_POSITIONS = tuple(_position(f"diff_{feature}") for feature in BASE_FEATURES)


def rating_parts(ratings: Ratings, column: str, x: Floats, logit: Floats) -> Floats:
    """Return a rating in parts by group, float64 (n, len(PART_GROUPS)), odd under a swap of the fighters to the bit.

    A group has the sum of its features' terms, a multiple of 2**-30 as the rating is. The rating's own group has what
    is left of the rating: its own features' terms, the strengths, and what rounding leaves over. So the parts of a row
    add up to its rating to the bit, in any order.

    Parameters
    ----------
    ratings
        What the filter has learnt.
    column
        The column of the rating, which has a group of its own.
    x
        Scaled differences of `BASE_FEATURES`, float64 (n, features).
    logit
        The rating of each fight, float64 (n,).
    """
    parts = np.zeros((len(x), len(PART_GROUPS)))
    terms = zip(_FEATURE_POSITIONS, x.T, ratings.coefficients.tolist(), strict=True)
    for position, differences, coefficient in terms:
        parts[:, position] += differences * coefficient
    parts = round_logits(parts)
    own = _position(column)
    parts[:, own] = 0.0
    parts[:, own] = logit - parts.sum(axis=1)
    return parts
