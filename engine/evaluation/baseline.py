"""The baselines: a ridge logistic regression on the features of the ensemble, and the rating filters alone.

The regression is trained on both sides of every fight, as the ensemble is, so that a swap of a row's sides negates its
log-odds. The red corner is a term of its own, 0 if the corner is unknown. A missing value is replaced by the column's
mean. A rating needs no training: each of its forecasts is made before its fight. Only its slope and the term of the
corner are fitted, on its earlier forecasts.

References
----------
Hoerl and Kennard (1970), "Ridge regression" (the penalty, here on the logistic likelihood).
"""

from __future__ import annotations

import numpy as np

from engine.arrays import Floats
from engine.data.feature_matrix import MirrorPlan, TrainingMatrix, check_features
from engine.errors import TrainingError
from engine.evaluation.ridge_logistic import fit_ridge_logistic
from engine.resources.blas_threads import one_blas_thread
from engine.statistics.calibration import Calibration
from engine.statistics.complements import logit_to_probability

INVERSE_PENALTY = 0.005  # each fight stands there twice, so a coefficient's prior standard deviation is 0.1


def ridge_forecast(past: TrainingMatrix, later: TrainingMatrix) -> Floats:
    """Fit on `past` and return P(first-listed wins) for the fights of `later`, float64 (n,), in (0, 1).

    Raises
    ------
    ValidationError
        If the columns differ or hold no usable numbers.
    """
    columns = list(past.X.columns)
    plan = MirrorPlan.from_columns(columns)
    values = check_features(past.X)
    both = np.concatenate([values, plan(values)])
    known = np.isfinite(both)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, both, 0.0).sum(axis=0) / count
    spread = np.sqrt(np.where(known, (both - mean) ** 2, 0.0).sum(axis=0) / count)
    scale = np.where(spread > 0.0, spread, 1.0)

    def design(rows: Floats, corner: Floats) -> Floats:
        return np.column_stack([np.where(np.isfinite(rows), (rows - mean) / scale, 0.0), corner])

    corner = past.corner_known.astype(np.float64)
    won = np.concatenate([past.won, 1 - past.won]).astype(np.float64)
    coefficients = fit_ridge_logistic(design(both, np.concatenate([corner, -corner])), won, INVERSE_PENALTY)
    later_values, sides = check_features(later.X, columns), later.corner_known.astype(np.float64)
    with one_blas_thread():
        forward = design(later_values, sides) @ coefficients
        mirrored = design(plan(later_values), -sides) @ coefficients
    return logit_to_probability((forward - mirrored) / 2.0)


def rating_forecast(past_logit: Floats, past: TrainingMatrix, logit: Floats, later: TrainingMatrix) -> Floats:
    """Calibrate a rating on its earlier forecasts and return P(first-listed wins), float64 (n,), in (0, 1).

    All NaN if the earlier forecasts cannot be calibrated: they are too few, or carry no information.

    Parameters
    ----------
    past_logit
        One-step forecasts of the fights of `past`, float64 (m,).
    past
        Earlier fights, m.
    logit
        Forecasts of the fights of `later`, float64 (n,).
    later
        The fights, n.
    """
    try:
        calibration = Calibration.fit(past_logit, past.won, past.corner_known)
    except TrainingError:
        return np.full(len(later), np.nan)
    return logit_to_probability(calibration(logit, later.corner_known.astype(np.int8)))
