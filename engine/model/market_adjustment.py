"""The market-aware probability: closing odds plus a learned correction from the fighters' differences.

The predicted logit is m + weight * g. m is the market's de-vigged logit. g is the correction: boosted trees that start
from m (XGBoost's `base_margin`) and see only differences between the fighters, so that they can learn only what the
market has missed; given as a plain feature, odds make a worse model. g is averaged with its mirror image and is
therefore an odd function, to the bit. The weight between market (0) and correction (1) is learned walk-forward: each of
the later blocks of events is corrected by trees grown on the blocks before it, and the weight is the posterior mode
given the results of these fights. Its prior is normal around 1/2 and decides if there are few results. A third weight
for the statistics-only probability was tried and left out: see docs/decisions.md.

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
import xgboost as xgb
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import ndtri

from engine.arrays import Floats
from engine.data.feature_matrix import TrainingMatrix, event_blocks
from engine.intervals.half_widths import MIN_PRICED_FIGHTS
from engine.members.boosted_trees import FlatBoosters
from engine.members.feature_bins import BinEdges
from engine.members.xgboost_fit import ProductionXGBoostConfig
from engine.statistics.complements import margin_to_logit, mirror_averaged_margin

MARKET_ERROR = 0.18
"""Assumed standard deviation of the closing logit's error: that of closing minus early logits, 224 fights."""

BandMethod = Literal["market_assumption"]
AbsenceReason = Literal["model_without_odds", "no_market"]

_BLOCKS = 10
_FIRST_SCORED = 5  # trees grown on less than half of the fights differ too much from the final ones to fit the weight
_PRIOR_MEAN, _PRIOR_SD = 0.5, 0.5
_TREES = ProductionXGBoostConfig(
    n_estimators=60, max_depth=2, learning_rate=0.03, max_bin=64, early_stopping_rounds=None
)


@dataclass(frozen=True, slots=True, eq=False)
class MarketModel:
    """A trained correction of the market.

    Attributes
    ----------
    correction : FlatBoosters
        The boosted trees of the correction.
    weight : float
        Weight of the correction, in [0, 1].
    fights : int
        Number of priced training fights.
    """

    correction: FlatBoosters
    weight: float
    fights: int

    def correction_for(self, differences: Floats) -> Floats:
        """Return the terms to add to the market's logit, (n,), for differences (n, k; NaN = missing).

        Reversing the sign of the differences reverses the sign of the terms exactly.
        """
        return np.asarray(self.weight * _correction(self.correction, differences))


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
    blocks = event_blocks(priced, _BLOCKS)
    scored = blocks >= _FIRST_SCORED
    corrections = np.zeros(len(rows))
    for block in np.unique(blocks[scored]):
        past, now = blocks < block, blocks == block
        corrections[now] = _correction(_fit_trees(differences[past], base[past], priced.won[past]), differences[now])
    weight = _fit_weight(corrections[scored], base[scored], priced.won[scored])
    return MarketModel(_fit_trees(differences, base, priced.won), weight, len(rows))


def _fit_trees(differences: Floats, base: Floats, won: NDArray[np.int8]) -> FlatBoosters:
    """Boost from the market's logit, with every fight from both sides."""
    rows = xgb.QuantileDMatrix(
        np.concatenate([differences, -differences]),
        np.concatenate([won, 1 - won]),
        base_margin=np.concatenate([base, -base]),
        max_bin=_TREES.max_bin,
        nthread=_TREES.n_jobs,
    )
    # The base score is stored with the trees; with 1/2 the trees alone, without a margin, predict the correction.
    params = _TREES.booster_params() | {"base_score": 0.5}
    booster = xgb.train(params, rows, num_boost_round=_TREES.n_estimators)
    return FlatBoosters.from_booster(booster, BinEdges.from_matrix(rows))


def _correction(trees: FlatBoosters, differences: Floats) -> Floats:
    forward, mirrored = trees.predict_replicas(np.concatenate([differences, -differences]))[0].reshape(
        2, len(differences)
    )
    return margin_to_logit(mirror_averaged_margin(forward, mirrored))


def _fit_weight(corrections: Floats, market: Floats, won: NDArray[np.int8]) -> float:
    """Return the posterior mode of the correction's weight, in [0, 1], given results and the normal prior."""
    sign = np.where(won == 1, -1.0, 1.0)

    def negative_log_posterior(weight: float) -> float:
        log_loss = np.logaddexp(0.0, sign * (market + weight * corrections)).sum()
        return float(log_loss) + 0.5 * ((weight - _PRIOR_MEAN) / _PRIOR_SD) ** 2

    return float(
        minimize_scalar(negative_log_posterior, bounds=(0.0, 1.0), method="bounded", options={"xatol": 1e-6}).x
    )
