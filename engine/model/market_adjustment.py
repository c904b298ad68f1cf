"""The market-aware probability: closing odds plus a learned correction from the fighters' differences.

The predicted logit is m + weight * g. m is the market's de-vigged logit. g is the correction: a linear function of
differences between the fighters, the ratings among them, and of the official corner, so that it can learn only what the
market has missed; given as a plain feature, odds make a worse model. Its coefficients are the posterior mode of a
logistic regression on the offset m, with a normal prior whose width the training fights determine
(`engine.statistics.shrunk_logistic`). g is an odd function, to the bit. The weight between market (0) and correction
(1) is learned walk-forward: each of the later blocks of events is corrected by coefficients fitted on the blocks before
it, and the weight is the posterior mode given the results of these fights. Its prior is normal around 1/2 and decides
if there are few results. What else was tried, boosted trees and the rating's own distance from the market among it, is
in docs/decisions.md.

g does not depend on the odds: a fight whose odds have changed is priced again without any other computation.

**The band rests on an assumption that results cannot test**: the error of the closing price is normal on the logit
scale, independent of all recorded data, and as large (standard deviation 0.18) as the change of prices between the
opening of the market and its close. An error of that kind and size flattens the calibration slope by a factor of 0.994,
and the 4,552 priced fights of 2014 to mid-2023 measure a slope to within 0.042. The band therefore has a method of its
own, `market_assumption`, and is no statement about coverage. It makes no allowance for the error of the correction, nor
for an illiquid or mistaken market.

Covers training and application. `engine.market.consensus` reads and averages quotes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from engine.arrays import Floats
from engine.data.feature_matrix import TrainingMatrix, event_blocks
from engine.intervals.half_widths import MIN_PRICED_FIGHTS
from engine.members.boosted_trees import FlatBoosters
from engine.resources.blas_threads import one_blas_thread
from engine.statistics.complements import margin_to_logit, mirror_averaged_margin
from engine.statistics.shrunk_logistic import fit_shrunk_logistic

MARKET_ERROR = 0.18
"""Assumed standard deviation of the closing logit's error: that of closing minus early logits, 224 fights."""

BandMethod = Literal["market_assumption"]
AbsenceReason = Literal["model_without_odds", "no_market"]

_BLOCKS = 10
_FIRST_SCORED = 5  # coefficients of less than half of the fights differ too much from the final ones to fit the weight
_PRIOR_MEAN, _PRIOR_SD = 0.5, 0.5
_MAX_SCALED = 3.0  # a larger difference, in units of its root mean square, counts as this


@dataclass(frozen=True, slots=True, eq=False)
class LinearCorrection:
    """A linear correction of the market's logit.

    Attributes
    ----------
    scales : float64 (k,)
        Root mean square of each difference among the training fights, 1 for one that is always 0.
    coefficients : float64 (k + 1,)
        Of the scaled differences, and of the corner.
    """

    scales: Floats
    coefficients: Floats

    @classmethod
    def fit(
        cls, differences: Floats, sides: NDArray[np.int8], market: Floats, won: NDArray[np.int8]
    ) -> LinearCorrection:
        """Fit on fights whose market logit is known; the arguments are as in `MarketModel.correction_for`."""
        known = np.isfinite(differences)
        squares = np.where(known, differences, 0.0) ** 2
        scales = np.sqrt(squares.sum(axis=0) / np.maximum(known.sum(axis=0), 1))
        scales = np.where(scales > 0.0, scales, 1.0)
        columns = np.column_stack([_scaled(differences, scales), sides])
        coefficients, _ = fit_shrunk_logistic(columns, won, market)
        return cls(scales, coefficients)

    def __call__(self, differences: Floats, sides: NDArray[np.int8]) -> Floats:
        """Return the correction, (n,), summed in one order for any number of rows."""
        total = self.coefficients[-1] * sides.astype(np.float64)
        for column, coefficient in zip(_scaled(differences, self.scales).T, self.coefficients[:-1], strict=True):
            total = total + coefficient * column
        return np.asarray(total)


@dataclass(frozen=True, slots=True, eq=False)
class MarketModel:
    """A trained correction of the market.

    Attributes
    ----------
    correction : LinearCorrection or FlatBoosters
        The correction; boosted trees in models that were trained before it became linear.
    weight : float
        Weight of the correction, in [0, 1].
    fights : int
        Number of priced training fights.
    """

    correction: LinearCorrection | FlatBoosters
    weight: float
    fights: int

    def correction_for(self, differences: Floats, sides: NDArray[np.int8]) -> Floats:
        """Return the terms to add to the market's logit, (n,).

        Reversing the sign of both arguments reverses the sign of the terms exactly.

        Parameters
        ----------
        differences
            Those of `side_differences`, (n, k), NaN if missing.
        sides
            Corner of the first fighter, (n,): +1 red, -1 blue, 0 unknown.
        """
        if isinstance(self.correction, LinearCorrection):
            return np.asarray(self.weight * self.correction(differences, sides))
        return np.asarray(self.weight * _trees_correction(self.correction, differences))


def side_differences(values: Floats, columns: Sequence[str]) -> Floats:
    """Return the inputs of the correction for rows `values` (n, columns): (n, k), negated if the two sides are swapped.

    These are the `diff_` columns or, if there are none, red minus blue of every pair of columns; k = 0 without pairs.
    """
    diff_columns = [position for position, name in enumerate(columns) if name.startswith("diff_")]
    if diff_columns:
        return values[:, diff_columns]
    index = {name: position for position, name in enumerate(columns)}
    red = [name for name in columns if name.startswith("red_")]
    blue = [index["blue_" + name.removeprefix("red_")] for name in red]
    return np.asarray(values[:, [index[name] for name in red]] - values[:, blue])


def market_logit_from_probability(probability: Floats) -> Floats:
    """Return the logit of the market's probability of the first fighter, (n,), NaN if it is unknown.

    The logit of 1 - p is exactly the negative of that of p: 1 - p is rounded, 1 - (1 - p) is not.
    """
    return margin_to_logit(0.5 - (1.0 - probability))


def band_half_width(level: float) -> float:
    """Return the half-width of the band on the logit scale, at a level in (0, 1)."""
    return MARKET_ERROR * float(ndtri(0.5 + level / 2.0))


def fit_market_model(matrix: TrainingMatrix, market: Floats) -> MarketModel | None:
    """Train on the fights whose market logit is known.

    The fit draws nothing at random, so the same data give the same model.

    Parameters
    ----------
    matrix
        The training fights, n.
    market
        The market's logit, float64 (n,), NaN if unknown.

    Returns
    -------
    MarketModel or None
        None if fewer than MIN_PRICED_FIGHTS fights are priced, or no feature is a difference between the fighters.
    """
    rows = np.flatnonzero(np.isfinite(market))
    priced, base = matrix.take(rows), market[rows]
    differences = side_differences(priced.X.to_numpy(np.float64), list(matrix.X.columns))
    if len(rows) < MIN_PRICED_FIGHTS or not differences.shape[1]:
        return None
    sides = priced.corner_known.astype(np.int8)

    def fitted(past: NDArray[np.bool_]) -> LinearCorrection:
        return LinearCorrection.fit(differences[past], sides[past], base[past], priced.won[past])

    blocks = event_blocks(priced, _BLOCKS)
    scored = blocks >= _FIRST_SCORED
    corrections = np.zeros(len(rows))
    with one_blas_thread():  # the last bits depend on the number of threads
        for block in np.unique(blocks[scored]):
            now = blocks == block
            corrections[now] = fitted(blocks < block)(differences[now], sides[now])
        final = fitted(np.ones(len(rows), dtype=np.bool_))
    weight = _fit_weight(corrections[scored], base[scored], priced.won[scored])
    return MarketModel(final, weight, len(rows))


def _scaled(differences: Floats, scales: Floats) -> Floats:
    """Return differences in units of their scale, limited; a missing one counts as none."""
    return np.asarray(np.clip(np.nan_to_num(differences / scales), -_MAX_SCALED, _MAX_SCALED))


def _trees_correction(trees: FlatBoosters, differences: Floats) -> Floats:
    """Return the correction of boosted trees, averaged with its mirror image, (n,)."""
    forward, mirrored = trees.predict_replicas(np.concatenate([differences, -differences]))[0].reshape(
        2, len(differences)
    )
    return margin_to_logit(mirror_averaged_margin(forward, mirrored))


def _fit_weight(corrections: Floats, market: Floats, won: NDArray[np.int8]) -> float:
    """Return the posterior mode of the correction's weight, in [0, 1], given results and the normal prior."""
    from scipy.optimize import minimize_scalar  # not loaded for predicting

    sign = np.where(won == 1, -1.0, 1.0)

    def negative_log_posterior(weight: float) -> float:
        log_loss = np.logaddexp(0.0, sign * (market + weight * corrections)).sum()
        return float(log_loss) + 0.5 * ((weight - _PRIOR_MEAN) / _PRIOR_SD) ** 2

    return float(
        minimize_scalar(negative_log_posterior, bounds=(0.0, 1.0), method="bounded", options={"xatol": 1e-6}).x
    )
