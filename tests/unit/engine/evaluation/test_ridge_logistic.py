from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from engine.evaluation.ridge_logistic import fit_ridge_logistic
from engine.resources.blas_threads import one_blas_thread


@pytest.mark.parametrize(
    ("rows", "columns", "scale", "inverse_penalty"),
    [(60, 3, 1.0, 0.005), (2_000, 71, 1.0, 0.005), (12_000, 71, 3.0, 0.005), (500, 8, 60.0, 1e4), (40, 60, 1.0, 1.0)],
)
def test_coefficients_and_forecasts_have_the_bits_of_scikit_learn_s(
    rows: int, columns: int, scale: float, inverse_penalty: float
) -> None:
    rng = np.random.default_rng(rows)
    X = rng.normal(size=(rows, columns)) * scale
    X[rng.random(X.shape) < 0.1] = 0.0
    won = (X[:, 0] + rng.normal(size=rows) > 0.0).astype(np.float64)
    later = rng.normal(size=(rows // 3, columns)) * scale
    with one_blas_thread():
        model = LogisticRegression(C=inverse_penalty, fit_intercept=False, max_iter=1000).fit(X, won)
        coefficients = fit_ridge_logistic(X, won, inverse_penalty)
        assert coefficients.tobytes() == model.coef_.tobytes()
        assert (later @ coefficients).tobytes() == model.decision_function(later).tobytes()


def test_margins_of_any_size_have_the_bits_of_scikit_learn_s() -> None:
    """A nearly absent penalty on separable rows drives the margins through all cases of the loss."""
    X = np.linspace(-1.0, 1.0, 400)[:, None] ** 3
    won = (X[:, 0] > 0.0).astype(np.float64)
    model = LogisticRegression(C=1e12, fit_intercept=False, max_iter=1000).fit(X, won)
    coefficients = fit_ridge_logistic(X, won, 1e12)
    margins = X @ coefficients
    assert margins.min() < -37.0
    assert margins.max() > 18.0
    assert coefficients.tobytes() == model.coef_.tobytes()
