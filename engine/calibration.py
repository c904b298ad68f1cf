"""Platt calibration of out-of-fold logits, with a term for the official corner.

Covers the fit (maximum likelihood, by Newton's method) and its application. Source: Platt (1999), without the intercept
that symmetry forbids: the mirror-averaged logit of a fight knows no corner. Red corners are favourites, so where the
official corner is known it is information and enters as a term of its own; where it is not, a slope fitted without
that term is used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.errors import TrainingError
from engine.member import Floats

MIN_CORNER_FIGHTS = 200  # with fewer known corners two parameters are noise, and noise here is money
_MAX_STEPS = 100


def fit_logistic(columns: Floats, won: NDArray[np.int8], offset: Floats | None = None) -> Floats:
    """Return the coefficients, float64 (k,), of a logistic regression without intercept.

    columns: float64 (n, k). won: 0 or 1, (n,). offset: known part of the logit, (n,). Newton's method on the
    log likelihood. Raises TrainingError where there is no finite maximum (perfect separation, or no signal at all).
    """
    known = np.zeros(len(won)) if offset is None else offset
    beta = np.zeros(columns.shape[1])
    for _ in range(_MAX_STEPS):
        p = 1.0 / (1.0 + np.exp(-(known + columns @ beta)))
        gradient = columns.T @ (won - p)
        hessian = (columns * (p * (1.0 - p))[:, None]).T @ columns
        try:
            step = np.linalg.solve(hessian, gradient)
        except np.linalg.LinAlgError as error:
            raise TrainingError(f"calibration failed: the columns carry no information ({error})") from error
        beta = beta + step
        if np.max(np.abs(step)) < 1e-12:
            break
    if not np.all(np.isfinite(beta)) or np.all((known + columns @ beta > 0) == (won == 1)):
        raise TrainingError("calibration failed: the predictions separate the results perfectly; look for a leak")
    return beta


@dataclass(frozen=True, slots=True)
class Calibration:
    """Turns the ensemble's logit into a calibrated one.

    slope: for fights whose corner is unknown. corner_slope and corner_term: for fights whose corner is known; the term
    is what the red corner adds, on the logit scale; 0, with the common slope, where the training data tell too few.
    """

    slope: float
    corner_slope: float
    corner_term: float

    @classmethod
    def fit(cls, logit: Floats, won: NDArray[np.int8], corner_known: NDArray[np.bool_]) -> Calibration:
        """Fit on out-of-fold logits of the first fighter, who has the red corner where `corner_known`."""
        slope = float(fit_logistic(logit[:, None], won)[0])
        _check_slope(slope)
        if corner_known.sum() < MIN_CORNER_FIGHTS:
            return cls(slope, slope, 0.0)
        columns = np.column_stack([logit[corner_known], np.ones(int(corner_known.sum()))])
        corner_slope, corner_term = fit_logistic(columns, won[corner_known])
        _check_slope(float(corner_slope))
        return cls(slope, float(corner_slope), float(corner_term))

    def __call__(self, logit: Floats, corner: NDArray[np.int8]) -> Floats:
        """Return calibrated logits. corner: +1 where the first fighter has the red corner, -1 blue, 0 unknown."""
        known = np.where(corner == 0, self.slope * logit, self.corner_slope * logit)
        return np.asarray(known + self.corner_term * corner)


def _check_slope(slope: float) -> None:
    if slope <= 0:
        raise TrainingError(
            f"the out-of-fold predictions point the wrong way (calibration slope {slope:.3f}): "
            "the features say nothing about who wins"
        )


def log_loss(probability: Floats, won: NDArray[np.int8]) -> float:
    """Return the mean negative log likelihood, in nats."""
    chosen = np.where(won == 1, probability, 1.0 - probability)
    return float(-np.mean(np.log(chosen)))


def brier_score(probability: Floats, won: NDArray[np.int8]) -> float:
    """Return the mean squared error of the probability."""
    return float(np.mean((probability - won) ** 2))
