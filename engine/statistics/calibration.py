"""Platt calibration of out-of-fold logits, with a term for the official corner.

Fitted by maximum likelihood with Newton's method, without Platt's intercept: the mirror-averaged logit of a fight is
odd, so an intercept would break the symmetry. Red corners are favourites; if the official corner is known, it is
information and enters as a term of its own. If it is unknown, a slope fitted without that term is used.

References
----------
Platt (1999), "Probabilistic outputs for support vector machines and comparisons to regularized likelihood methods".
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from engine.arrays import Floats
from engine.errors import TrainingError

MIN_CORNER_FIGHTS = 200  # with fewer known corners two parameters are mostly noise
_MAX_STEPS = 100
_ROUNDED_LOGIT = 30.0  # beyond it 1 - p has fewer than five digits
_LP_TOLERANCE = 1e-6  # of the optimum of a linear program, per row


def fit_logistic(columns: Floats, won: NDArray[np.int8], offset: Floats | None = None) -> Floats:
    """Return the coefficients of a logistic regression without intercept, float64 (k,).

    Maximises the log likelihood with Newton's method.

    Parameters
    ----------
    columns
        Regressors, float64 (n, k).
    won
        Results, 0 or 1, (n,).
    offset
        Known part of the logit, (n,); none by default.

    Raises
    ------
    TrainingError
        If the likelihood has no finite maximum (the columns separate the results, perfectly or except for ties, or
        carry no information), or if the steps do not become small.
    """
    if np.linalg.matrix_rank(columns) < columns.shape[1]:
        raise TrainingError("calibration failed: the columns carry no information, or the same information twice")
    known = np.zeros(len(won)) if offset is None else offset
    beta = np.zeros(columns.shape[1])
    step: Floats = np.ones_like(beta)
    singular = False
    for _ in range(_MAX_STEPS):
        p = 1.0 / (1.0 + np.exp(-(known + columns @ beta)))
        gradient = columns.T @ (won - p)
        hessian = (columns * (p * (1.0 - p))[:, None]).T @ columns
        try:
            step = np.asarray(np.linalg.solve(hessian, gradient), dtype=np.float64)
        except np.linalg.LinAlgError:
            singular = True
            break
        beta = beta + step
        if np.max(np.abs(step)) < 1e-12:
            break
    logit = known + columns @ beta
    # Nearly equal columns leave steps of the size of their rounding error; steps towards infinity are about 1.
    converged = not singular and bool(np.max(np.abs(step)) < 1e-4 * max(1.0, np.max(np.abs(beta))))
    # Once a probability is rounded to 0 or 1, small steps no longer mean a maximum.
    if converged and np.max(np.abs(logit), initial=0.0) < _ROUNDED_LOGIT and not np.all((logit > 0) == (won == 1)):
        return beta
    if _separates(columns, won) or (not singular and np.all((logit > 0) == (won == 1))):
        raise TrainingError(
            "calibration failed: the predictions separate the results perfectly, or except for ties, so the slope "
            "has no finite value; look for a leak, or use more fights"
        )
    if not converged:
        raise TrainingError(f"calibration failed: no maximum of the likelihood was found in {_MAX_STEPS} steps")
    return beta


def _separates(columns: Floats, won: NDArray[np.int8]) -> bool:
    """Return True if some coefficients put no result on the wrong side of 0 and at least one on the right side.

    Exactly then the likelihood grows without bound in that direction (Albert and Anderson 1984). Decided by a linear
    program (Konis 2007, "Linear programming algorithms for detecting separated data in binary logistic regression").
    """
    right_side = columns * np.where(won == 1, 1.0, -1.0)[:, None]
    scale = np.abs(right_side).max(axis=0)
    right_side = right_side / np.where(scale > 0.0, scale, 1.0)
    from scipy.optimize import linprog  # not loaded for predicting

    found = linprog(-right_side.sum(axis=0), A_ub=-right_side, b_ub=np.zeros(len(won)), bounds=(-1.0, 1.0))
    return (found.fun or 0.0) < -_LP_TOLERANCE * len(won)


@dataclass(frozen=True, slots=True)
class Calibration:
    """A map from the ensemble's logit to a calibrated logit.

    Attributes
    ----------
    slope
        Slope for fights whose corner is unknown.
    corner_slope
        Slope for fights whose corner is known; equal to `slope` if the training data have fewer than
        MIN_CORNER_FIGHTS such fights.
    corner_term
        What the red corner adds on the logit scale; 0 if the training data have too few known corners.
    """

    slope: float
    corner_slope: float
    corner_term: float

    @classmethod
    def fit(cls, logit: Floats, won: NDArray[np.int8], corner_known: NDArray[np.bool_]) -> Calibration:
        """Fit on out-of-fold logits.

        Parameters
        ----------
        logit
            Logits of the first fighter, float64 (n,).
        won
            1 if the first fighter won, 0 otherwise, (n,).
        corner_known
            True if the first fighter had the official red corner, False if the corner is unknown, (n,).
        """
        slope = float(fit_logistic(logit[:, None], won)[0])
        _check_slope(slope)
        if corner_known.sum() < MIN_CORNER_FIGHTS:
            return cls(slope, slope, 0.0)
        columns = np.column_stack([logit[corner_known], np.ones(int(corner_known.sum()))])
        corner_slope, corner_term = fit_logistic(columns, won[corner_known])
        _check_slope(float(corner_slope))
        return cls(slope, float(corner_slope), float(corner_term))

    def __call__(self, logit: Floats, corner: NDArray[np.int8]) -> Floats:
        """Return calibrated logits, (n,).

        Parameters
        ----------
        logit
            Logits of the first fighter, (n,).
        corner
            Corner of the first fighter, int8 (n,): +1 red, -1 blue, 0 unknown.
        """
        known = np.where(corner == 0, self.slope * logit, self.corner_slope * logit)
        return np.asarray(known + self.corner_term * corner)

    def scaled(self, factor: float) -> Calibration:
        """Return the map whose calibrated logits are `factor` times those of this one."""
        return Calibration(**{name: factor * value for name, value in asdict(self).items()})


def _check_slope(slope: float) -> None:
    if slope <= 0:
        raise TrainingError(
            f"the out-of-fold predictions point the wrong way (calibration slope {slope:.3f}): "
            "the features carry no information about the winner"
        )


def log_loss(probability: Floats, won: NDArray[np.int8]) -> float:
    """Return the mean negative log likelihood, in nats."""
    chosen = np.where(won == 1, probability, 1.0 - probability)
    return float(-np.mean(np.log(chosen)))


def brier_score(probability: Floats, won: NDArray[np.int8]) -> float:
    """Return the mean squared error of the probabilities."""
    return float(np.mean((probability - won) ** 2))
