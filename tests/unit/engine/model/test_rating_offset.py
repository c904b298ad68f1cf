from __future__ import annotations

import numpy as np
from scipy.special import expit, logit

from engine.data.features import MODEL_COLUMNS, STATISTICS_COLUMNS
from engine.model.rating_offset import NO_OFFSET, RatingOffset

COLUMNS = ("diff_age", "diff_rating", "women")


def _fights(n: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(n, 3))
    return values, (rng.random(n) < expit(0.8 * values[:, 1])).astype(np.int8)


def test_the_slope_is_that_of_results_on_the_rating() -> None:
    values, won = _fights()
    offset = RatingOffset.fit(COLUMNS, values, won)
    assert offset.position == 1
    assert 0.65 < offset.slope < 0.95
    np.testing.assert_array_equal(offset.rating_logit(values), offset.slope * values[:, 1])


def test_members_that_learn_nothing_leave_the_rating_and_certain_ones_stay_finite() -> None:
    values, won = _fights()
    offset = RatingOffset.fit(COLUMNS, values, won)
    rating = offset.rating_logit(values)
    np.testing.assert_array_equal(offset.add_members(rating, np.zeros(len(values))), rating)
    assert np.isfinite(offset.add_members(rating, np.full(len(values), 0.5))).all()


def test_what_members_learn_moves_the_logit_by_the_missing_part() -> None:
    values = np.zeros((1, 3))
    offset = RatingOffset(1, 0.9)
    truth = 0.53
    margin = offset.residual_labels(np.array([truth]), values) - 0.5
    np.testing.assert_allclose(offset.add_members(offset.rating_logit(values), margin), logit(truth), atol=2e-4)


def test_labels_stay_between_0_and_1_and_a_swap_gives_the_complement() -> None:
    values, won = _fights()
    offset = RatingOffset.fit(COLUMNS, values, won)
    labels = offset.residual_labels(won.astype(float), values)
    assert ((labels > 0.0) & (labels < 1.0)).all()
    np.testing.assert_allclose(offset.residual_labels(1.0 - won, -values), 1.0 - labels, atol=1e-15)


def test_a_model_without_a_rating_has_no_offset() -> None:
    values, won = _fights()
    assert RatingOffset.fit(("diff_age", "diff_reach_cm", "women"), values, won) == NO_OFFSET
    np.testing.assert_array_equal(NO_OFFSET.residual_labels(won.astype(float), values), won)
    np.testing.assert_array_equal(NO_OFFSET.rating_logit(values), 0.0)


def test_a_rating_against_the_results_is_not_used() -> None:
    values, won = _fights()
    assert RatingOffset.fit(COLUMNS, -values, won).slope == 0.0


def test_models_of_a_log_stand_on_one_rating() -> None:
    assert "diff_results_rating" not in MODEL_COLUMNS
    assert "diff_rating" not in STATISTICS_COLUMNS
    assert len(MODEL_COLUMNS) == len(STATISTICS_COLUMNS)
