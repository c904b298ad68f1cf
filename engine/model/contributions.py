"""Contributions of feature groups to an answer: exact Shapley values on the calibrated logit.

The value of a coalition of groups is the calibrated logit that the ensemble's point fits give a fight whose other
groups are neutral (`engine.data.feature_groups`). In the offset a rating that comes in parts by group
(`engine.data.rating_parts`) is then the sum of the parts of the groups inside. To the members, and everywhere without
parts, it is one column and known with its own group. A group's contribution is its Shapley value: the mean, over all
orders in which the groups can become known, of the change in the logit when the group follows. The value of the empty
coalition is that of the corner alone, since a mirror-averaged ensemble gives a neutral fight the logit 0. So

    logit = corner + sum of the groups' contributions

holds by definition (efficiency), and to the bit, in any order of the sum: all terms are multiples of 2**-40, the grid
of `engine.statistics.complements`. What rounding leaves over, some multiples of 2**-40, is added to the largest
contribution. `logit` has exactly the answer's probability. A swap of the fighters negates every term exactly.

A contribution describes the model, not the sport: it is no cause, and no statement about what would have happened
otherwise. Correlated features share what they have in common, and a coalition may be a fight that does not exist.

References
----------
Shapley (1953), "A value for n-person games".
Lundberg and Lee (2017), "A unified approach to interpreting model predictions".
Janzing, Minorics and Bloebaum (2020), "Feature relevance quantification in explainable AI: a causal problem" (why the
features outside are set to values, and not conditioned on).
Kumar et al. (2020), "Problems with Shapley-value-based explanations as feature importance measures".
"""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial

import numpy as np
from numpy.typing import NDArray

from engine.arrays import Floats
from engine.data.rating_parts import PART_GROUPS
from engine.errors import EngineError
from engine.members.coalition_kernels import shapley_values
from engine.members.coalitions import CoalitionRows, predict_coalitions
from engine.members.weights import weighted_sum
from engine.model.trained_ensemble import Ensemble
from engine.statistics.complements import (
    corner_margin,
    logit_on_grid,
    mirror_averaged_margin,
    round_to_grid,
)

_TOLERANCE = 1e-9  # rounding errors are about 1e-14
_ROWS_AT_ONCE = 16  # bounds the memory: rows x fits x coalitions x 16 bytes, 1.3 MB with nine groups and five fits


@dataclass(frozen=True, slots=True)
class Contributions:
    """The contributions to one answer, for the first fighter of the pair; those for the second are the negatives.

    Attributes
    ----------
    logit : float
        The answer's calibrated logit, a multiple of 2**-40; the sum of all terms.
    corner : float
        What the official corner adds, 0 if it is unknown.
    groups : dict of str to float
        The contribution of each group of features that the model has, in the order of `FEATURE_GROUPS`.
    """

    logit: float
    corner: float
    groups: dict[str, float]


def explain_rows(
    ensemble: Ensemble, values: Floats, sides: NDArray[np.int8], logit: Floats, rating_parts: Floats | None = None
) -> list[Contributions]:
    """Return the contributions to each answer.

    Parameters
    ----------
    ensemble
        The model.
    values
        Rows, float64 (n, columns), NaN if missing.
    sides
        Corner of the first fighter, int8 (n,): +1 red, -1 blue, 0 unknown.
    logit
        The calibrated logits of the answers, (n,).
    rating_parts
        The rating of each row in parts by group, float64 (n, len(PART_GROUPS)), NaN for a row without parts.

    Raises
    ------
    EngineError
        If the logits are not those of the rows, or the parts do not add up to the ratings.
    """
    explained: list[Contributions] = []
    for start in range(0, len(values), _ROWS_AT_ONCE):
        some = slice(start, start + _ROWS_AT_ONCE)
        parts = None if rating_parts is None else rating_parts[some]
        explained += _contributions(ensemble, coalition_logits(ensemble, values[some], sides[some], parts), logit[some])
    return explained


def coalition_logits(
    ensemble: Ensemble, values: Floats, sides: NDArray[np.int8], rating_parts: Floats | None = None
) -> Floats:
    """Return the calibrated logit of every coalition of groups, float64 (n, 2^k); arguments as in `explain_rows`.

    Bit g of a coalition's number is set if group g of `ensemble.groups` is inside.
    """
    groups = ensemble.groups
    neutral = groups.neutral_rows(values)
    both = CoalitionRows(
        np.concatenate([values, groups.plan(values)]), np.concatenate([neutral, neutral]), ensemble.groups
    )
    margins = {}
    for name, member in ensemble.point.by_name().items():
        predictions = predict_coalitions(member, both)
        forward, mirrored = predictions[: len(values)], predictions[len(values) :]
        margins[name] = (
            corner_margin(forward, mirrored, sides[:, None])
            if ensemble.corner_aware
            else mirror_averaged_margin(forward, mirrored)
        )
    margin = weighted_sum(margins, ensemble.weights)
    logit = ensemble.offset.add_members(_coalition_ratings(ensemble, values, rating_parts), margin)
    return ensemble.calibration(logit, sides[:, None])


def _coalition_ratings(ensemble: Ensemble, values: Floats, rating_parts: Floats | None) -> Floats:
    """Return the rating's part of the logit of every coalition, float64 (n, 2^k)."""
    k = len(ensemble.groups.names)
    inside = np.arange(1 << k) >> np.arange(k)[:, None] & 1
    # The sums are exact in any order: parts are multiples of 2**-30, and a rating without parts is the only term.
    return ensemble.offset.slope * (_model_parts(ensemble, values, rating_parts) @ inside.astype(np.float64))


def _model_parts(ensemble: Ensemble, values: Floats, rating_parts: Floats | None) -> Floats:
    """Return the rating in parts by group of the model, float64 (n, k).

    The group of the rating's column has the whole rating of a row without parts, and the parts of groups that the model
    does not have.
    """
    position, groups = ensemble.offset.position, ensemble.groups
    whole = np.zeros((len(values), len(groups.names)))
    if position is None or not groups.names:
        return whole
    own = groups.group[position]
    whole[:, own] = np.nan_to_num(values[:, position])
    if rating_parts is None:
        return whole
    parts = rating_parts[:, [PART_GROUPS.index(name) for name in groups.names]]
    parts[:, own] += rating_parts.sum(axis=1) - parts.sum(axis=1)
    return np.where(np.isnan(parts), whole, parts)


def _contributions(ensemble: Ensemble, values: Floats, logit: Floats) -> list[Contributions]:
    """Return the contributions from the values of the coalitions, (n, 2^k), so that they add up to the logits, (n,).

    Raises EngineError if the logits are not those of the coalition of all groups, except for rounding.
    """
    names = ensemble.groups.names
    k = len(names)
    shapley = np.zeros((len(values), k))
    weights = np.array([factorial(size) * factorial(k - 1 - size) / factorial(k) for size in range(k)])
    shapley_values(np.ascontiguousarray(values), weights, shapley)
    if np.any(np.abs(values[:, -1] - logit) > _TOLERANCE):
        raise EngineError(
            f"the coalition of all groups has the logits {values[:, -1].tolist()}, the answers have {logit.tolist()}: "
            "leave contributions out, and report this fault of the engine"
        )
    total, terms = logit_on_grid(logit), round_to_grid(np.column_stack([shapley, values[:, 0]]))
    largest = np.abs(terms[:, : max(k, 1)]).argmax(axis=1)  # the corner, the last term, only if there is no group
    terms[np.arange(len(terms)), largest] += total - terms.sum(axis=1)
    return [
        Contributions(float(whole), corner, dict(zip(names, parts, strict=True)))
        for whole, (*parts, corner) in zip(total, (terms + 0.0).tolist(), strict=True)
    ]
