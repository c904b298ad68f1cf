"""Logistic regression on an offset, with coefficients shrunk by a normal prior whose width the data determine.

The logit is offset + columns @ b, without an intercept, with b normal around 0, independent, with standard deviation
tau. b is the posterior mode. tau is the one of a fixed grid with the largest evidence, the likelihood with b integrated
out, by Laplace's approximation:

    log p(y | b) - |b|^2 / (2 tau^2) - k log tau - log det(H) / 2,    H = X' W X + I / tau^2,    W = diag(p (1 - p))

So nothing is tuned by hand or by a validation set. Nothing is drawn at random; the last bits depend on the number of
threads of the linear algebra library, which callers fix.

References
----------
MacKay (1992), "The evidence framework applied to classification networks", Neural Computation 4.
Spiegelhalter and Lauritzen (1990), "Sequential updating of conditional probabilities on directed graphical structures".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.arrays import Floats
from engine.errors import TrainingError

PRIOR_SDS = (0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5)
"""The standard deviations of the prior that are compared, for columns with a root mean square of 1."""

_MAX_STEPS = 50
_SMALL_STEP = 1e-10
_ROUNDING = 1e-12  # relative error of a log posterior; a smaller decrease is no overshoot


def fit_shrunk_logistic(columns: Floats, won: NDArray[np.int8], offset: Floats) -> tuple[Floats, float]:
    """Return the coefficients, float64 (k,), and the standard deviation of their prior.

    Parameters
    ----------
    columns
        Regressors of similar scale, float64 (n, k), none missing.
    won
        Results, 0 or 1, (n,).
    offset
        Known part of the logit, (n,).

    Raises
    ------
    TrainingError
        If Newton's steps do not become small.
    """
    fits = [(_posterior_mode(columns, won, offset, sd), sd) for sd in PRIOR_SDS]
    evidence = [_log_evidence(columns, won, offset, *fit) for fit in fits]
    return fits[int(np.argmax(evidence))]


def _posterior_mode(columns: Floats, won: NDArray[np.int8], offset: Floats, prior_sd: float) -> Floats:
    """Maximise the log posterior, which is strictly concave, by Newton's method; a step that overshoots is halved."""
    coefficients = np.zeros(columns.shape[1])
    value = _log_posterior(columns, won, offset, coefficients, prior_sd)
    for _ in range(_MAX_STEPS):
        p = _expit(offset + columns @ coefficients)
        gradient = columns.T @ (won - p) - coefficients / prior_sd**2
        step = np.linalg.solve(_hessian(columns, p, prior_sd), gradient)
        least = value - _ROUNDING * abs(value)
        while (value := _log_posterior(columns, won, offset, coefficients + step, prior_sd)) < least:
            step = step / 2.0
        coefficients = coefficients + step
        if np.max(np.abs(step), initial=0.0) < _SMALL_STEP:
            return np.asarray(coefficients, dtype=np.float64)
    raise TrainingError("a shrunk logistic regression did not converge: scale its columns to a root mean square of 1")


def _log_evidence(
    columns: Floats, won: NDArray[np.int8], offset: Floats, coefficients: Floats, prior_sd: float
) -> float:
    p = _expit(offset + columns @ coefficients)
    _, log_determinant = np.linalg.slogdet(_hessian(columns, p, prior_sd))
    log_posterior = _log_posterior(columns, won, offset, coefficients, prior_sd)
    return float(log_posterior - len(coefficients) * np.log(prior_sd) - 0.5 * log_determinant)


def _log_posterior(
    columns: Floats, won: NDArray[np.int8], offset: Floats, coefficients: Floats, prior_sd: float
) -> float:
    logit = offset + columns @ coefficients
    log_likelihood = -np.logaddexp(0.0, np.where(won == 1, -logit, logit)).sum()
    return float(log_likelihood - 0.5 * np.sum((coefficients / prior_sd) ** 2))


def _hessian(columns: Floats, p: Floats, prior_sd: float) -> Floats:
    information = (columns * (p * (1.0 - p))[:, None]).T @ columns
    return np.asarray(information + np.eye(columns.shape[1]) / prior_sd**2, dtype=np.float64)


def _expit(logit: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-logit)), dtype=np.float64)
