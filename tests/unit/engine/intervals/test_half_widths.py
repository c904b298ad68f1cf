from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest

from engine.arrays import Floats
from engine.errors import TrainingError, ValidationError
from engine.intervals.half_widths import (
    MAX_CACHED_LEVELS,
    MIN_CLASS_FIGHTS,
    HalfWidths,
    WeightedDistances,
    experience_class,
    fit_half_widths,
    interval_distance,
    outward_factor,
    years_before_end,
)
from engine.intervals.percentile import percentile_error, percentile_interval
from engine.statistics.calibration import fit_logistic


def _fit(n: int = 4000, noise: float = 0.5, spread: float | None = 0.1, priced: float = 1.0) -> HalfWidths:
    rng = np.random.default_rng(5)
    truth = rng.normal(size=n)
    own = truth + noise * rng.normal(size=n)
    own *= np.cov(own, truth)[0, 1] / np.var(own)  # a calibrated prediction shrinks by the reliability
    market = np.where(rng.random(n) < priced, truth, np.nan)
    won = (rng.random(n) < 1 / (1 + np.exp(-truth))).astype(np.int8)
    experience = rng.integers(0, 10, size=n)
    return fit_half_widths(own, own, market, won, np.ones(n, dtype=np.bool_), experience, spread)


def test_the_half_width_covers_the_stated_share_of_the_market() -> None:
    widths = _fit()
    pooled = widths.distances[0][-1]
    assert widths.method == "anchored"
    for level in (0.8, 0.95):
        h = widths.at_level(level, np.array([False]), np.array([-1]))[0] / widths.scale[0]
        assert np.mean(pooled <= h) == pytest.approx(level, abs=0.01)


def test_a_higher_level_is_never_narrower() -> None:
    widths = _fit()
    h = [widths.at_level(level, np.array([True]), np.array([2]))[0] for level in (0.5, 0.8, 0.95, 0.99)]
    assert h == sorted(h)


def test_nothing_of_a_model_is_kept_when_it_is_gone() -> None:
    widths = _fit()
    fight = (np.array([True]), np.array([2]))
    before = widths.at_level(0.8, *fight)
    for level in np.linspace(0.01, 0.99, 3 * MAX_CACHED_LEVELS):
        widths.at_level(float(level), *fight)
        assert len(widths._tables) <= MAX_CACHED_LEVELS
    assert widths.at_level(0.8, *fight) == before
    distances = weakref.ref(widths.distances[0][-1])
    del widths
    gc.collect()
    assert distances() is None


def test_the_bootstrap_is_a_floor() -> None:
    calm, wild = _fit(spread=0.01), _fit(spread=3.0)
    fight = (np.array([False]), np.array([4]))
    assert wild.at_level(0.95, *fight)[0] == pytest.approx(1.959964 * 3.0)
    assert calm.at_level(0.95, *fight)[0] < wild.at_level(0.95, *fight)[0]


def test_a_class_with_few_fights_takes_the_pooled_half_width() -> None:
    groups = tuple(np.linspace(0, top, MIN_CLASS_FIGHTS - 1) for top in (9, 8, 7, 6))
    pooled = np.linspace(0, 1, 1000)
    widths = HalfWidths(((*groups, pooled), (*groups, pooled)), (1.0, 1.0), None)
    assert widths.at_level(0.5, np.zeros(5, dtype=np.bool_), np.array([0, 1, 3, 6, -1])).tolist() == [pooled[500]] * 5


def _measured_on(*sizes: int) -> HalfWidths:
    """Return half-widths from the distances 1, 2, ... of classes of these sizes, the pooled one last."""
    groups = tuple(np.arange(1.0, size + 1.0) for size in sizes)
    return HalfWidths((groups, groups), (1.0, 1.0), None)


@pytest.mark.parametrize(("fights", "level", "nth"), [(199, 0.95, 190), (200, 0.95, 191), (999, 0.999, 999)])
def test_a_half_width_is_a_distance_of_a_finite_sample(fights: int, level: float, nth: int) -> None:
    widths = _measured_on(0, 0, 0, 0, fights)
    assert widths.at_level(level, np.array([False]), np.array([2])).tolist() == [float(nth)]


def test_a_new_fight_lies_inside_as_often_as_the_level_says_however_few_the_fights() -> None:
    rng = np.random.default_rng(4)
    inside = 0
    for _ in range(4000):
        *past, new = np.abs(rng.standard_t(3, size=25))
        widths = HalfWidths(((*[np.empty(0)] * 4, np.sort(past)),) * 2, (1.0, 1.0), None)
        inside += new <= widths.at_level(0.95, np.array([True]), np.array([-1]))[0]
    assert 0.94 < inside / 4000 < 0.98  # a rank of 24 of 25: 96%


@pytest.mark.parametrize("level", [0.9951, 0.999, 0.99999])
def test_a_level_that_the_fights_cannot_tell_is_refused_with_the_one_that_they_reach(level: float) -> None:
    widths = _measured_on(1000, 1000, 1000, 200, 3200)
    fight = (np.array([True]), np.array([0]))
    assert widths.at_level(0.995, *fight).tolist() == [996.0]
    with pytest.raises(
        ValidationError, match=r"needs [\d,]+ past fights .* has 200, which reach level 0\.995: request"
    ):
        widths.at_level(level, *fight)


def test_a_model_without_odds_gives_any_level_for_it_measures_none() -> None:
    assert _fit(priced=0.0).at_level(0.9999, np.array([False]), np.array([0]))[0] > 0.0


def test_without_odds_the_width_is_model_based() -> None:
    widths = _fit(priced=0.0)
    assert widths.method == "model_based"
    assert widths.at_level(0.95, np.array([False]), np.array([0]))[0] == pytest.approx(2.0 * 1.959964 * 0.1)


def test_without_odds_and_replicas_there_is_no_interval() -> None:
    with pytest.raises(TrainingError, match="no interval can be made: 0 fights have closing odds"):
        _fit(priced=0.0, spread=None)


def test_beta_widens_where_the_market_falls_short() -> None:
    rng = np.random.default_rng(6)
    own = rng.normal(size=20_000)
    v = 0.4 * rng.normal(size=20_000)
    won = (rng.random(20_000) < 1 / (1 + np.exp(-(own + 2.0 * v)))).astype(np.int8)
    beta = fit_logistic(v[:, None], won, own)[0]
    none = np.zeros(20_000, dtype=np.bool_)
    widths = fit_half_widths(own, own, own + v, won, none, np.full(20_000, -1), None)
    assert beta > 1.5
    assert widths.scale[0] == pytest.approx(beta, rel=0.2)


def test_a_scale_is_what_results_prove_and_grows_with_the_number_of_fights() -> None:
    rng = np.random.default_rng(13)
    scales = []
    for n in (1000, 100_000):
        own = 0.5 * rng.normal(size=n)
        v = 0.5 * rng.normal(size=n)
        won = (rng.random(n) < 1 / (1 + np.exp(-(own + 1.4 * v)))).astype(np.int8)
        none = np.zeros(n, dtype=np.bool_)
        scales.append(fit_half_widths(own, own, own + v, won, none, np.full(n, -1), None).scale[0])
    assert scales[0] < scales[1] - 0.02


def test_results_never_narrow_an_interval() -> None:
    rng = np.random.default_rng(11)
    n = 20_000
    own = rng.normal(size=n)
    won = (rng.random(n) < 1 / (1 + np.exp(-own))).astype(np.int8)  # nothing that v sees is in the results
    market = own + 0.4 * rng.normal(size=n)
    widths = fit_half_widths(own, own, market, won, np.zeros(n, dtype=np.bool_), np.full(n, -1), None)
    assert widths.scale == (1.0, 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_with_many_fights_the_scale_is_that_of_the_truth(noise: float) -> None:
    rng = np.random.default_rng(10)
    n = 400_000
    own = 0.4 * rng.normal(size=n)
    truth = own + 0.8 * rng.normal(size=n)
    won = (rng.random(n) < 1 / (1 + np.exp(-truth))).astype(np.int8)
    market = truth + noise * rng.normal(size=n)
    widths = fit_half_widths(own, own, market, won, np.zeros(n, dtype=np.bool_), np.full(n, -1), None)
    assert widths.market_slope is not None
    spread = np.sqrt(np.mean((widths.market_slope * market - own) ** 2))
    assert widths.scale[0] * spread == pytest.approx(0.8, rel=0.03)


def test_a_noisy_market_widens_where_fights_are_few() -> None:
    rng = np.random.default_rng(12)
    own = 0.4 * rng.normal(size=2000)
    truth = own + 0.8 * rng.normal(size=2000)
    won = (rng.random(2000) < 1 / (1 + np.exp(-truth))).astype(np.int8)
    fights = (won, np.zeros(2000, dtype=np.bool_), np.full(2000, -1), None)
    assert fit_half_widths(own, own, truth + 0.8 * rng.normal(size=2000), *fights).scale[0] > 1.05
    with pytest.raises(TrainingError, match="point the wrong way"):
        fit_half_widths(own, own, -truth, *fights)


def _interval(widths: HalfWidths, logit: Floats) -> tuple[Floats, Floats]:
    return widths.bounds(logit, 0.8, np.ones(len(logit), dtype=np.bool_), np.full(len(logit), 4))


def test_swapping_the_fighters_swaps_and_negates_the_ends_to_the_bit() -> None:
    logit = np.random.default_rng(1).normal(size=200)
    low, high = _interval(_fit(), logit)
    mirrored_low, mirrored_high = _interval(_fit(), -logit)
    assert np.array_equal(mirrored_low, -high)
    assert np.array_equal(mirrored_high, -low)


def test_an_interval_reaches_further_away_from_even_odds_than_towards_them() -> None:
    logit = np.array([-3.0, -0.5, 0.0, 0.5, 1.5, 3.0])
    low, high = _interval(_fit(), logit)
    inner, outer = np.where(logit < 0, high - logit, logit - low), np.where(logit < 0, logit - low, high - logit)
    np.testing.assert_allclose(outer / inner, [1.75, 1.25, 1.0, 1.25, 1.75, 1.75])


def test_a_distance_is_the_least_half_width_that_contains_the_market() -> None:
    rng = np.random.default_rng(2)
    logit, market = rng.normal(size=(2, 500))
    distance = interval_distance(logit, market, 0.5)
    for factor, inside in ((1.0 + 1e-9, True), (1.0 - 1e-9, False)):
        inner = factor * distance
        outer = inner * outward_factor(logit, 0.5)
        low, high = logit - np.where(logit < 0, outer, inner), logit + np.where(logit > 0, outer, inner)
        assert np.all(((low <= market) & (market <= high)) == inside)


def _aged(age_years: Floats | None) -> HalfWidths:
    """Return the half-widths of fights of which the first half are closer to the market."""
    n = 4000
    rng = np.random.default_rng(3)
    market = rng.normal(size=n)
    own = market + np.where(np.arange(n) < n // 2, 0.2, 0.8) * rng.normal(size=n)
    won = (rng.random(n) < 1 / (1 + np.exp(-market))).astype(np.int8)
    return fit_half_widths(own, own, market, won, np.zeros(n, dtype=np.bool_), np.full(n, -1), None, age_years)


def test_later_fights_count_more() -> None:
    fight = (np.array([False]), np.array([-1]))
    even = _aged(None).at_level(0.8, *fight)[0]
    recent = _aged(np.linspace(20.0, 0.0, 4000)).at_level(0.8, *fight)[0]
    reverse = _aged(np.linspace(0.0, 20.0, 4000)).at_level(0.8, *fight)[0]
    assert reverse < 0.9 * even < even < 0.95 * recent


def test_fights_of_one_day_give_the_quantile_of_equal_weights() -> None:
    fight = (np.array([False]), np.array([-1]))
    for level in (0.5, 0.8, 0.95, 0.99):
        assert _aged(np.zeros(4000)).at_level(level, *fight) == _aged(None).at_level(level, *fight)


def test_a_new_fight_lies_inside_as_often_as_the_level_says_whatever_the_weights() -> None:
    rng = np.random.default_rng(4)
    weights = 0.5 ** np.linspace(0.0, 3.0, 150)
    inside = 0
    for _ in range(4000):
        *past, new = np.abs(rng.standard_t(3, size=151))
        order = np.argsort(past)
        inside += new <= WeightedDistances(np.array(past)[order], weights[order]).quantile(0.95)
    assert 0.945 < inside / 4000 < 0.975


def test_a_level_is_refused_by_what_the_weighted_fights_are_worth() -> None:
    fight = (np.array([False]), np.array([-1]))
    assert _aged(np.zeros(4000)).at_level(0.999, *fight)[0] > 0.0
    with pytest.raises(ValidationError, match=r"has 433, which reach level 0\.9976"):
        _aged(np.linspace(0.0, 40.0, 4000)).at_level(0.9995, *fight)


def test_moved_levels_move_the_quantile_and_keep_the_order_of_levels() -> None:
    fight = (np.array([True]), np.array([4]))
    widths = _fit()
    moved = replace(widths, moved_levels=((0.8, 0.95), (0.7, 0.97)))
    assert moved.at_level(0.8, *fight) == widths.at_level(0.7, *fight)
    assert moved.at_level(0.95, *fight) == widths.at_level(0.97, *fight)
    h = [float(moved.at_level(level, *fight)[0]) for level in np.linspace(0.1, 0.99, 90)]
    assert h == sorted(h)
    unknown = (np.array([False]), np.array([4]))
    assert moved.at_level(0.8, *unknown) == widths.at_level(0.8, *unknown)


def _shares(widths: HalfWidths) -> tuple[float, float, float]:
    shares = widths.width_shares(0.8, np.array([True]), np.array([4]))
    assert shares is not None
    assert sum(part[0] for part in shares) == pytest.approx(1.0)
    return float(shares.market_noise[0]), float(shares.not_learnt[0]), float(shares.allowance[0])


def test_a_width_is_made_of_noise_of_what_is_not_learnt_and_of_an_allowance() -> None:
    rng = np.random.default_rng(14)
    n = 40_000
    own, signal, noise = 0.5 * rng.normal(size=n), 0.4 * rng.normal(size=n), 0.3 * rng.normal(size=n)
    won = (rng.random(n) < 1 / (1 + np.exp(-(own + signal)))).astype(np.int8)
    none = np.zeros(n, dtype=np.bool_)
    for added in (0.0, 1.0):
        widths = fit_half_widths(own, own, own + signal + added * noise, won, none, np.full(n, -1), None)
        expected = added * 0.3**2 / (0.4**2 + added * 0.3**2)
        market_noise, not_learnt, _ = _shares(replace(widths, scale=(1.0, 1.0), market_slope=1.0))
        assert market_noise == pytest.approx(expected, abs=0.12)
        assert not_learnt == pytest.approx(1.0 - market_noise)


def test_what_scale_and_bootstrap_add_is_the_allowance() -> None:
    widths = _fit(spread=None)
    assert _shares(replace(widths, scale=(1.0, 1.0)))[2] == 0.0
    assert _shares(replace(widths, scale=(1.0, 2.0)))[2] == pytest.approx(0.75)
    assert _shares(_fit(spread=3.0))[2] > 0.9
    assert _fit(priced=0.0).width_shares(0.8, np.array([True]), np.array([4])) is None


def test_years_before_the_end() -> None:
    days = np.array(["2020-01-01", "2022-01-01", "2021-01-01"], dtype="datetime64[D]")
    assert years_before_end(days).tolist() == pytest.approx([731 / 365.25, 0.0, 365 / 365.25])


def test_experience_classes() -> None:
    assert experience_class(np.array([0, 1, 2, 3, 5, 6, 40, -1])).tolist() == [0, 1, 1, 2, 2, 3, 3, 4]


def test_percentiles_agree_with_numpy_and_are_exactly_odd() -> None:
    values = np.random.default_rng(7).normal(size=(101, 20))
    low, high = percentile_interval(values, 0.95)
    np.testing.assert_allclose(low, np.quantile(values, 0.025, axis=0), atol=1e-12)
    np.testing.assert_allclose(high, np.quantile(values, 0.975, axis=0), atol=1e-12)
    mirrored_low, mirrored_high = percentile_interval(-values, 0.95)
    assert np.array_equal(mirrored_low, -high)
    assert np.array_equal(mirrored_high, -low)


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [20, 100, 1000])
def test_the_monte_carlo_error_is_that_of_drawing_the_replicas_again(replicas: int) -> None:
    values = np.random.default_rng(8).normal(size=(replicas, 1500))  # 1500 draws of as many replicas
    actual = np.mean([end.std() for end in percentile_interval(values, 0.95)])
    assert np.mean(percentile_error(values, 0.95)) == pytest.approx(actual, rel=0.2)


def test_the_monte_carlo_error_is_that_of_the_mirror_and_of_each_alone() -> None:
    values = np.random.default_rng(9).normal(size=(100, 20))
    error = percentile_error(values, 0.95)
    assert np.array_equal(percentile_error(-values, 0.95), error)
    assert [percentile_error(values[:, [row]], 0.95)[0] for row in range(20)] == error.tolist()
    assert percentile_error(np.ones((10, 3)), 0.95).tolist() == pytest.approx([0.0] * 3, abs=1e-12)
