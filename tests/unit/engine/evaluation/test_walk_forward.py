from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest

from engine.data.feature_matrix import TrainingMatrix
from engine.errors import TrainingTimeoutError, ValidationError
from engine.evaluation.backtest import BacktestConfig, backtest_data_from_log, forecast_fights
from engine.evaluation.baseline import rating_forecast
from engine.evaluation.walk_forward import (
    RATING_FORECASTS,
    FightSet,
    Period,
    bound_column,
    refit_periods,
    walk_forward,
)
from engine.simulation.league import League
from engine.statistics.calibration import Calibration
from engine.statistics.complements import logit_to_probability
from engine.training.train import TrainingConfig

START = date(2025, 9, 1)


@pytest.fixture(scope="module")
def fight_set(league: League) -> FightSet:
    return backtest_data_from_log(league.log)


@pytest.fixture(scope="module")
def config(small_training: TrainingConfig) -> BacktestConfig:
    return BacktestConfig(first_day=START, refit_months=12, training=replace(small_training, bootstrap_samples=0))


@pytest.fixture(scope="module")
def forecasts(fight_set: FightSet, config: BacktestConfig) -> pd.DataFrame:
    return forecast_fights(fight_set, config)


@pytest.mark.parametrize(
    ("start", "end", "months", "starts"),
    [
        (date(2016, 1, 1), date(2018, 1, 1), 12, [date(2016, 1, 1), date(2017, 1, 1)]),
        (date(2016, 7, 1), date(2017, 2, 1), 3, [date(2016, 7, 1), date(2016, 10, 1), date(2017, 1, 1)]),
        (date(2023, 7, 1), date(2024, 12, 15), 24, [date(2023, 7, 1)]),
        (date(2020, 12, 28), date(2021, 1, 29), 1, [date(2020, 12, 28), date(2021, 1, 28)]),
    ],
)
def test_periods_follow_each_other_without_a_gap(start: date, end: date, months: int, starts: list[date]) -> None:
    periods = list(refit_periods(start, end, months))
    assert [period.start for period in periods] == starts
    assert [period.end for period in periods] == [*starts[1:], end]


@pytest.mark.parametrize(
    ("start", "end", "months", "message"),
    [
        (date(2016, 1, 1), date(2016, 1, 1), 12, "first day before its end"),
        (date(2016, 1, 1), date(2017, 1, 1), 0, "at least 1"),
        (date(2016, 1, 31), date(2017, 1, 1), 1, "at most a 28th"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(start: date, end: date, months: int, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        list(refit_periods(start, end, months))


@pytest.mark.slow
def test_a_model_never_sees_a_day_that_it_is_scored_on(fight_set: FightSet) -> None:
    seen: list[tuple[TrainingMatrix, TrainingMatrix]] = []

    def spy(past: TrainingMatrix, later: FightSet) -> pd.DataFrame:
        seen.append((past, later.fights))
        return pd.DataFrame({"spied": np.zeros(len(later.fights))})

    first, last = date(2025, 4, 1), fight_set.fights.date[-1].astype(date)
    table = walk_forward(fight_set, refit_periods(first, date(2026, 1, 1), 2), spy)
    assert len(seen) == 5
    for past, later in seen:
        assert past.date.max() < later.date.min()
        assert not set(past.event) & set(later.event)
    scored = fight_set.during(Period(first, date(2026, 1, 1))).fights
    assert np.array_equal(table["date"].to_numpy().astype("datetime64[D]"), scored.date)
    assert np.array_equal(table["won"], scored.won)
    assert table["date"].max() == pd.Timestamp(last)
    assert (table["trained_before"] <= table["date"]).all()


def test_no_fights_in_the_days_is_said(fight_set: FightSet) -> None:
    with pytest.raises(ValidationError, match="no decided fight"):
        walk_forward(fight_set, [Period(date(1990, 1, 1), date(1991, 1, 1))], lambda past, later: pd.DataFrame())


@pytest.mark.slow
def test_results_of_the_scored_fights_change_no_forecast(
    fight_set: FightSet, config: BacktestConfig, forecasts: pd.DataFrame
) -> None:
    late = fight_set.fights.date >= np.datetime64(START)
    won = np.where(late, 1 - fight_set.fights.won, fight_set.fights.won).astype(np.int8)
    again = forecast_fights(replace(fight_set, fights=replace(fight_set.fights, won=won)), config)
    pd.testing.assert_frame_equal(again.drop(columns="won"), forecasts.drop(columns="won"), check_exact=True)
    assert (again["won"] != forecasts["won"]).all()


@pytest.mark.slow
def test_later_fights_change_no_forecast(league: League, config: BacktestConfig, forecasts: pd.DataFrame) -> None:
    last = date(2025, 11, 1)
    earlier = forecast_fights(backtest_data_from_log(league.log.before(last)), config)
    same = forecasts[forecasts["date"] < pd.Timestamp(last)]
    assert len(earlier) == len(same) > 0
    pd.testing.assert_frame_equal(earlier, same, check_exact=True)


@pytest.mark.slow
def test_closing_odds_move_the_market_aware_forecast_alone(
    fight_set: FightSet, config: BacktestConfig, forecasts: pd.DataFrame
) -> None:
    late = fight_set.fights.date >= np.datetime64(START)
    red = np.where(late, fight_set.fights.blue_odds, fight_set.fights.red_odds)
    blue = np.where(late, fight_set.fights.red_odds, fight_set.fights.blue_odds)
    again = forecast_fights(replace(fight_set, fights=replace(fight_set.fights, red_odds=red, blue_odds=blue)), config)
    moved = [
        name
        for name in forecasts
        if not name.startswith("reanchored")  # which follows the odds of earlier events
        and not again[name].equals(forecasts[name])
    ]
    expected = {"red_odds", "blue_odds", "market", "recalibrated_market", "market_aware"}
    expected |= {
        bound_column("market_aware", side, level) for side in ("lower", "upper") for level in (0.68, 0.8, 0.95)
    }
    re_anchored = {name for name in forecasts if name.startswith("reanchored_")}
    assert set(moved) - re_anchored == expected
    # Intervals that follow the closes of a period know none on its first day.
    first_day = forecasts["date"] == forecasts["date"].min()
    for name in re_anchored:
        pd.testing.assert_series_equal(again.loc[first_day, name], forecasts.loc[first_day, name])


@pytest.mark.slow
def test_every_forecast_is_a_probability_inside_its_bounds(forecasts: pd.DataFrame) -> None:
    for name in ("statistics_only", "cornerless", "market_aware", "early_market_aware"):
        p = forecasts[name].dropna()
        assert len(p) > 50
        ends = [bound_column(name, side, level) for level, side in ((0.95, "lower"), (0.8, "lower"), (0.68, "lower"))]
        ends += [name, *(bound_column(name, "upper", level) for level in (0.68, 0.8, 0.95))]
        assert (forecasts[ends].dropna().diff(axis=1).iloc[:, 1:] > 0).all(axis=None)
        assert ((p > 0) & (p < 1)).all()
    assert forecasts["ridge"].between(0, 1).all()


def test_the_default_days_start_with_the_median_fight_s_year(fight_set: FightSet, config: BacktestConfig) -> None:
    before = len(fight_set.fights.before(date(2025, 1, 1)))
    with pytest.raises(ValidationError, match=f"^{before} decided fights are too few"):
        forecast_fights(fight_set, replace(config, first_day=None))


@pytest.mark.slow
def test_progress_counts_the_refits_of_all_models_and_time_is_kept(fight_set: FightSet, config: BacktestConfig) -> None:
    seen: list[tuple[str, int, int]] = []
    forecast_fights(fight_set, replace(config, refit_months=2), lambda *step: seen.append(step))
    assert [done for _, done, _ in seen] == list(range(1, 11))
    assert {total for _, _, total in seen} == {10}
    assert seen[0][0] == "model 1 of 2, on fights before 2025-09-01"
    with pytest.raises(TrainingTimeoutError):
        forecast_fights(fight_set, replace(config, training=replace(config.training, max_training_time_s=0.0)))


@pytest.mark.slow
def test_a_rating_alone_is_calibrated_on_its_earlier_forecasts(fight_set: FightSet, forecasts: pd.DataFrame) -> None:
    past, later = fight_set.fights.before(START), fight_set.during(Period(START, date(2100, 1, 1)))
    assert fight_set.ratings is not None
    assert later.ratings is not None
    for column, name in enumerate(RATING_FORECASTS):
        calibration = Calibration.fit(fight_set.ratings[: len(past), column], past.won, past.corner_known)
        logit = calibration(later.ratings[:, column], later.fights.corner_known.astype(np.int8))
        assert np.array_equal(forecasts[name], logit_to_probability(logit))
    assert not forecasts["rating"].equals(forecasts["results_rating"])


def test_a_rating_that_says_nothing_has_no_forecast(fight_set: FightSet) -> None:
    past = fight_set.fights.before(START)
    p = rating_forecast(np.zeros(len(past)), past, np.ones(len(past)), past)
    assert np.isnan(p).all()
