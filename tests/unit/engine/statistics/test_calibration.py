from __future__ import annotations

import numpy as np
import pytest

from engine.errors import TrainingError
from engine.statistics.calibration import Calibration, brier_score, fit_logistic, log_loss


def _league(seed: int, n: int = 40_000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logit = rng.normal(size=n)
    known = rng.random(n) < 0.5
    truth = 1.3 * logit + np.where(known, 0.4, 0.0)
    won = (rng.random(n) < 1 / (1 + np.exp(-truth))).astype(np.int8)
    return logit, won, known


def test_slope_and_corner_term_are_recovered() -> None:
    calibration = Calibration.fit(*_league(1))
    assert calibration.corner_slope == pytest.approx(1.3, abs=0.05)
    assert calibration.corner_term == pytest.approx(0.4, abs=0.05)


def test_the_fit_is_the_maximum_of_the_likelihood() -> None:
    logit, won, _ = _league(2, 500)
    slope = fit_logistic(logit[:, None], won)[0]

    def loss(s: float) -> float:
        return float(np.mean(np.log1p(np.exp(-np.where(won == 1, 1, -1) * s * logit))))

    assert loss(slope) < min(loss(slope - 1e-3), loss(slope + 1e-3))


def test_an_offset_is_part_of_the_logit() -> None:
    rng = np.random.default_rng(3)
    offset, v = rng.normal(size=(2, 40_000))
    won = (rng.random(40_000) < 1 / (1 + np.exp(-(offset + 0.7 * v)))).astype(np.int8)
    assert fit_logistic(v[:, None], won, offset)[0] == pytest.approx(0.7, abs=0.05)


def test_corner_moves_the_logit_both_ways_and_only_where_known() -> None:
    calibration = Calibration(slope=1.0, corner_slope=1.2, corner_term=0.3)
    logit = np.array([0.5, 0.5, 0.5])
    red, unknown, blue = calibration(logit, np.array([1, 0, -1], dtype=np.int8))
    assert (red, unknown, blue) == (pytest.approx(0.9), 0.5, pytest.approx(0.3))
    assert calibration(-logit, np.array([-1, 0, 1], dtype=np.int8)).tolist() == [-red, -unknown, -blue]


def test_predictions_that_know_the_result_are_refused() -> None:
    won = np.array([0, 1] * 50, dtype=np.int8)
    with pytest.raises(TrainingError, match="separate the results perfectly"):
        fit_logistic((2.0 * won - 1.0)[:, None], won)


def test_predictions_that_point_the_wrong_way_are_refused() -> None:
    logit, won, known = _league(4, 2000)
    with pytest.raises(TrainingError, match="point the wrong way"):
        Calibration.fit(-logit, won, known)


@pytest.mark.parametrize("known", [0, 1, 2, 8, 12, 199])
def test_a_handful_of_known_corners_fits_no_corner_term(known: int) -> None:
    logit, won, _ = _league(5, 600)
    calibration = Calibration.fit(logit, won, np.arange(600) < known)
    assert (calibration.corner_slope, calibration.corner_term) == (calibration.slope, 0.0)


def test_scores_of_a_coin() -> None:
    won = np.array([0, 1], dtype=np.int8)
    half = np.array([0.5, 0.5])
    assert log_loss(half, won) == pytest.approx(np.log(2))
    assert brier_score(half, won) == 0.25


def _ordered(ties: int) -> tuple[np.ndarray, np.ndarray]:
    """Return logits that separate the results but for `ties` pairs, one won and one lost, at the same logit."""
    apart = np.linspace(0.3, 1.8, 7)
    logit = np.concatenate([-apart, apart, np.zeros(2 * ties)])
    won = np.concatenate([np.zeros(7), np.ones(7), np.arange(2 * ties) % 2]).astype(np.int8)
    return logit, won


@pytest.mark.parametrize("ties", [0, 1, 3])
@pytest.mark.parametrize("with_constant", [False, True])
@pytest.mark.parametrize("shift", [0.0, 0.4])
def test_separation_is_named_with_and_without_ties(ties: int, with_constant: bool, shift: float) -> None:
    logit, won = _ordered(ties)
    columns = np.column_stack([logit + shift, np.ones(len(logit))]) if with_constant else logit[:, None]
    offset = None if with_constant else np.full(len(logit), 0.1)
    with pytest.raises(TrainingError, match="separate the results perfectly, or except for ties"):
        fit_logistic(columns, won, offset)


def test_one_result_on_the_wrong_side_has_a_slope() -> None:
    logit, won = _ordered(2)
    logit, won = np.append(logit, 0.9), np.append(won, 0).astype(np.int8)
    slope, constant = fit_logistic(np.column_stack([logit, np.ones(len(logit))]), won)
    fitted = 1.0 / (1.0 + np.exp(-(slope * logit + constant)))
    # At the maximum of the likelihood the residuals are orthogonal to both columns.
    assert [np.sum(won - fitted), logit @ (won - fitted)] == pytest.approx([0.0, 0.0], abs=1e-9)
    assert 1.0 < slope < 10.0


def test_columns_that_say_nothing_are_not_called_separated() -> None:
    won = np.array([0, 1] * 20, dtype=np.int8)
    with pytest.raises(TrainingError, match="no information"):
        fit_logistic(np.zeros((40, 1)), won)
    with pytest.raises(TrainingError, match="no information"):
        fit_logistic(np.ones((40, 2)), won)
