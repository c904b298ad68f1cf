from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.arrays import Floats
from engine.resources.blas_threads import one_blas_thread
from engine.statistics.shrunk_logistic import PRIOR_SDS, fit_shrunk_logistic


def _drawn(coefficients: Floats, n: int, seed: int = 0) -> tuple[Floats, NDArray[np.int8], Floats]:
    rng = np.random.default_rng(seed)
    columns, offset = rng.normal(size=(n, len(coefficients))), rng.normal(size=n)
    truth = offset + columns @ coefficients
    return columns, (rng.random(n) < 1.0 / (1.0 + np.exp(-truth))).astype(np.int8), offset


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_blas_thread():
        yield


@pytest.mark.slow
def test_the_width_of_the_prior_follows_the_size_of_the_effects() -> None:
    rng = np.random.default_rng(1)
    found = [fit_shrunk_logistic(*_drawn(sd * rng.normal(size=40), 8000))[1] for sd in (0.0, 0.05, 0.3)]
    assert found[0] < 0.02 < found[1] < 0.15 < found[2]


def test_strong_effects_are_found_and_absent_ones_are_not() -> None:
    effects = np.array([0.5, -0.5, 0.0, 0.0])
    coefficients, _ = fit_shrunk_logistic(*_drawn(effects, 20_000))
    assert coefficients == pytest.approx(effects, abs=0.06)
    nothing, _ = fit_shrunk_logistic(*_drawn(np.zeros(40), 4000))
    assert np.max(np.abs(nothing)) < 0.01


def test_it_is_the_mode_of_the_posterior() -> None:
    columns, won, offset = _drawn(np.array([0.2, -0.1, 0.05]), 3000)
    coefficients, prior_sd = fit_shrunk_logistic(columns, won, offset)
    p = 1.0 / (1.0 + np.exp(-(offset + columns @ coefficients)))
    assert columns.T @ (won - p) == pytest.approx(coefficients / prior_sd**2, abs=1e-6)
    assert prior_sd in PRIOR_SDS


@pytest.mark.parametrize("size", [(40, 30), (200, 5)])
def test_prices_that_were_all_wrong_still_have_a_fit(size: tuple[int, int]) -> None:
    """Full steps of Newton's method do not converge here."""
    rng = np.random.default_rng(0)
    columns = np.clip(rng.normal(size=size), -3.0, 3.0)
    won = (columns[:, 0] + rng.normal(size=size[0]) > 0).astype(np.int8)
    coefficients, _ = fit_shrunk_logistic(columns, won, np.where(won == 1, -5.0, 5.0))
    assert np.isfinite(coefficients).all()
    assert coefficients[0] > 0.0


def test_listing_fights_from_the_other_side_changes_nothing() -> None:
    columns, won, offset = _drawn(np.array([0.2, -0.1]), 2000)
    turn = np.where(np.arange(2000) % 2, 1.0, -1.0)
    turned = fit_shrunk_logistic(
        columns * turn[:, None], np.where(turn > 0, won, 1 - won).astype(np.int8), offset * turn
    )
    assert turned[0] == pytest.approx(fit_shrunk_logistic(columns, won, offset)[0], abs=1e-12)
