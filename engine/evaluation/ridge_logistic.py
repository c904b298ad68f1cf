"""The fit of a ridge logistic regression, with the operations of scikit-learn in their order.

The coefficients have the bits of scikit-learn's `LogisticRegression`, which 66 MB of libraries would be loaded for in
each process of a backtest.
"""

from __future__ import annotations

import math

import numpy as np

from engine.arrays import Floats
from engine.compilation import kernel
from engine.resources.blas_threads import one_blas_thread

_MAX_ITERATIONS, _MAX_LINE_SEARCH_STEPS = 1000, 50
_GRADIENT_TOLERANCE, _LOSS_TOLERANCE = 1e-4, 64 * float(np.finfo(np.float64).eps)  # as in scikit-learn


def fit_ridge_logistic(X: Floats, won: Floats, inverse_penalty: float) -> Floats:
    """Return the coefficients, float64 (f,), of a regression without intercept.

    Parameters
    ----------
    X
        Rows without missing values, float64 (n, f), contiguous.
    won
        Labels, 0.0 or 1.0, float64 (n,).
    inverse_penalty
        The `C` of scikit-learn: the prior variance of a coefficient.
    """
    from scipy.optimize import minimize  # not loaded before a backtest

    penalty = 1.0 / (inverse_penalty * len(X))
    loss, slope = np.empty(len(X)), np.empty(len(X))

    def mean_loss(coefficients: Floats) -> tuple[float, Floats]:
        _losses_and_slopes(won, X @ coefficients, loss, slope)
        mean = float(loss.sum() / len(X)) + float(0.5 * penalty * (coefficients @ coefficients))
        return mean, X.T @ (slope / len(X)) + penalty * coefficients

    with one_blas_thread():
        found = minimize(
            mean_loss,
            np.zeros(X.shape[1]),
            method="L-BFGS-B",
            jac=True,
            options={
                "maxiter": _MAX_ITERATIONS,
                "maxls": _MAX_LINE_SEARCH_STEPS,
                "gtol": _GRADIENT_TOLERANCE,
                "ftol": _LOSS_TOLERANCE,
            },
        )
    return np.asarray(found.x, dtype=np.float64)


@kernel
def _losses_and_slopes(won: Floats, margin: Floats, loss: Floats, slope: Floats) -> None:
    """Write the logistic loss of each margin, and its derivative: scikit-learn's cases, each exact in its range."""
    for i in range(len(margin)):
        if margin[i] <= -2.0:
            odds = math.exp(margin[i])
            loss[i] = (odds if margin[i] <= -37.0 else math.log1p(odds)) - won[i] * margin[i]
        else:
            odds = math.exp(-margin[i])
            loss[i] = (math.log1p(odds) if margin[i] <= 18.0 else odds) + (1.0 - won[i]) * margin[i]
        if margin[i] <= -37.0:
            slope[i] = odds - won[i]
        elif margin[i] <= -2.0:
            slope[i] = ((1.0 - won[i]) * odds - won[i]) / (1.0 + odds)
        else:
            slope[i] = ((1.0 - won[i]) - won[i] * odds) / (1.0 + odds)
