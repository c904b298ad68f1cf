from __future__ import annotations

import numpy as np
import pytest

from engine.errors import TrainingError, ValidationError
from engine.statistics.scores import (
    Estimate,
    calibration_line,
    clustered_mean,
    clustered_share,
    log_losses,
    reliability_bins,
    wilson_interval,
)


def test_surprise_is_minus_the_logarithm_of_what_was_said_of_the_winner() -> None:
    found = log_losses(np.array([0.8, 0.8, 0.5]), np.array([1, 0, 1], dtype=np.int8))
    assert found == pytest.approx([0.22314355, 1.60943791, 0.69314718])


def test_a_clustered_mean_by_hand() -> None:
    # Ten events of two fights, nine of them at 0 and one at 10: mean 1, and the residuals of an event add up to -2 or
    # 18. So the error is sqrt(10/9 * (9 * 4 + 324)) / 20 = 1, and Student's t on 9 degrees of freedom is 2.262.
    found = clustered_mean(np.repeat([0.0] * 9 + [10.0], 2), np.repeat(np.arange(10).astype(str), 2))
    assert found.value == 1.0
    assert found.lower == pytest.approx(1.0 - 2.26216, abs=1e-4)
    assert found.upper == pytest.approx(1.0 + 2.26216, abs=1e-4)


def test_few_events_have_a_mean_and_no_interval() -> None:
    assert clustered_mean(np.arange(9.0), np.arange(9).astype(str)) == Estimate(4.0, None, None)
    with pytest.raises(ValidationError, match="nothing to score"):
        clustered_mean(np.empty(0), np.empty(0, dtype=np.str_))


def test_a_share_stays_between_0_and_1() -> None:
    found = clustered_share(np.arange(12) > 0, np.arange(12).astype(str))
    assert found.value == pytest.approx(11 / 12)
    assert found.lower is not None
    assert 0.5 < found.lower < found.value
    assert found.upper == 1.0


def test_clustered_intervals_hold_the_truth_where_independent_ones_do_not() -> None:
    rng = np.random.default_rng(5)
    events, size, leagues = 40, 12, 500
    event = np.repeat(np.arange(events).astype(str), size)
    alone = np.arange(events * size).astype(str)
    inside = {"clustered": 0, "independent": 0}
    for _ in range(leagues):
        values = np.repeat(rng.normal(0.0, 0.5, events), size) + rng.normal(0.0, 1.0, events * size)
        for name, groups in (("clustered", event), ("independent", alone)):
            found = clustered_mean(values, groups)
            assert found.lower is not None
            assert found.upper is not None
            inside[name] += found.lower <= 0.0 <= found.upper
    assert 0.92 <= inside["clustered"] / leagues <= 0.98
    assert inside["independent"] / leagues < 0.80


def test_the_calibration_line_of_frequencies_that_are_right() -> None:
    # Of four fights at 3/4, three are won, and of four at 1/4, one: slope 1, intercept 0.
    p = np.repeat([0.75, 0.25], 4)
    won = np.array([1, 1, 1, 0, 1, 0, 0, 0], dtype=np.int8)
    line = calibration_line(p, won, np.arange(8).astype(str))
    assert line.slope == pytest.approx(1.0)
    assert line.intercept == pytest.approx(0.0, abs=1e-9)
    # Fisher's information of the slope is 8 * 3/16 * ln(3)^2; the sandwich with 8 events adds 8/7.
    assert line.slope_error == pytest.approx(np.sqrt(8 / 7 / (1.5 * np.log(3) ** 2)))
    assert line.intercept_error == pytest.approx(np.sqrt(8 / 7 / 1.5))


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (0.7, 0.2), (1.3, -0.2)])
def test_the_calibration_line_finds_what_was_bent(slope: float, intercept: float) -> None:
    rng = np.random.default_rng(8)
    logit = rng.normal(0.0, 1.0, 20_000)
    truth = 1.0 / (1.0 + np.exp(-(slope * logit + intercept)))
    won = (rng.random(20_000) < truth).astype(np.int8)
    line = calibration_line(1.0 / (1.0 + np.exp(-logit)), won, np.repeat(np.arange(2000), 10).astype(str))
    assert abs(line.slope - slope) < 4 * line.slope_error < 0.12
    assert abs(line.intercept - intercept) < 4 * line.intercept_error < 0.12


def test_reliability_speaks_of_the_likelier_fighter() -> None:
    p = np.array([0.62, 0.38, 0.61, 0.97, 0.5])
    won = np.array([1, 0, 0, 1, 0], dtype=np.int8)
    even, middle, sure = reliability_bins(p, won)
    assert (middle.fights, middle.won.value) == (3, pytest.approx(2 / 3))
    assert middle.forecast == pytest.approx((0.62 + 0.62 + 0.61) / 3)
    assert (middle.from_probability, middle.to_probability) == (pytest.approx(0.6), pytest.approx(0.65))
    assert (even.fights, even.won.value) == (1, 0.0)
    assert (sure.fights, sure.to_probability) == (1, 1.0)


@pytest.mark.parametrize(
    ("successes", "trials", "lower", "upper"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662)],
)
def test_wilson_s_interval(successes: int, trials: int, lower: float, upper: float) -> None:
    found = wilson_interval(successes, trials)
    assert found.lower == pytest.approx(lower, abs=1e-4)
    assert found.upper == pytest.approx(upper, abs=1e-4)


def test_forecasts_that_separate_all_results_but_a_tie_have_no_calibration_line() -> None:
    p = np.array([0.2, 0.3, 0.45, 0.5, 0.5, 0.6, 0.8])
    won = np.array([0, 0, 0, 0, 1, 1, 1], dtype=np.int8)
    with pytest.raises(TrainingError, match="separate the results"):
        calibration_line(p, won, np.arange(7).astype(str))
