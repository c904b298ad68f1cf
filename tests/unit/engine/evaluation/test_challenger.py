"""The metrics of a challenger: on which fights, against hand-made values, and never of a fight that was seen."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine.data.feature_matrix import TrainingMatrix
from engine.errors import ValidationError
from engine.evaluation.backtest import (
    BacktestConfig,
    backtest_data_from_log,
    backtest_data_from_matrix,
    forecast_fights,
)
from engine.evaluation.challenger import (
    MIN_FIGHTS,
    check_enough_fights,
    evaluate_challenger,
    first_unseen_day,
    forecast_unseen,
)
from engine.evaluation.walk_forward import FightSet
from engine.importing.external_estimators import common_columns, unwrap
from engine.importing.import_ensemble import import_ensemble
from engine.model.trained_ensemble import Ensemble
from engine.simulation.league import LeagueConfig, simulate_league
from engine.training.train import TrainingConfig, train_ensemble
from tests.support.foreign_estimators import SHORT, fights, plain_system
from tests.support.small_models import SMALL

PLAN = TrainingConfig(bootstrap_samples=0, fits=1, folds=3, members=SMALL)


@pytest.fixture(scope="module")
def fight_set() -> FightSet:
    return backtest_data_from_log(simulate_league(LeagueConfig(fights=900, seed=11)).log)


@pytest.fixture(scope="module")
def cutoff(fight_set: FightSet) -> date:
    """The first day that the model has not seen."""
    day: date = fight_set.fights.date[500].astype(date)
    return day


@pytest.fixture(scope="module")
def ensemble(fight_set: FightSet, cutoff: date) -> Ensemble:
    return train_ensemble(fight_set.fights.before(cutoff), PLAN)


def forecasts(p: list[float], won: list[int], **columns: Any) -> pd.DataFrame:
    rows = len(p)
    table = {
        "date": pd.date_range("2024-01-01", periods=rows),
        "event": [f"e{index // 2}" for index in range(rows)],
        "won": np.array(won, dtype=np.int8),
        "market": [0.6] * rows,
        "recalibrated_market": [0.6] * rows,
        "corner_known": [False] * rows,
        "cornerless": p,
        "statistics_only": p,
    }
    bounds = {
        f"{forecast}_{side}_{level}": [end] * rows
        for forecast in ("cornerless", "statistics_only")
        for side, end in (("lower", 0.4), ("upper", 0.7))
        for level in (80, 95)
    }
    return pd.DataFrame(table | bounds | columns)


def test_the_figures_are_those_of_the_formulas() -> None:
    rng = np.random.default_rng(1)
    p, other = rng.uniform(0.2, 0.8, (2, 60))
    won = (rng.uniform(size=60) < p).astype(int)
    incumbents = {
        "champion": forecasts(other.tolist(), won.tolist()),
        "anchor": forecasts(((p + other) / 2).tolist(), won.tolist()),
    }
    found = evaluate_challenger(forecasts(p.tolist(), won.tolist()), incumbents, 0.025)
    losses = {
        name: -np.mean(np.where(won == 1, np.log(q), np.log(1 - q)))
        for name, q in (
            ("challenger", p),
            ("champion", other),
            ("anchor", (p + other) / 2),
            ("market", 0.6),
            ("base_rate", 0.5),
        )
    }
    assert {each.forecast: each.log_loss.value for each in found.forecasts} == pytest.approx(losses)
    assert found.forecasts[0].brier.value == pytest.approx(np.mean((p - won) ** 2))
    assert {each.against: each.log_loss.value for each in found.paired} == pytest.approx(
        {name: losses["challenger"] - loss for name, loss in losses.items() if name != "challenger"}
    )
    for each in found.paired:
        assert each.log_loss.lower is not None
        assert each.log_loss.lower < each.log_loss.value
        assert each.most == pytest.approx(each.log_loss.upper)  # one side of 2.5% is one end of a 95% interval
    surer = evaluate_challenger(forecasts(p.tolist(), won.tolist()), incumbents, 0.001)
    assert all(a.most < b.most for a, b in zip(found.paired, surer.paired, strict=True) if a.most and b.most)
    assert (found.fights, found.priced_fights, found.events) == (60, 60, 30)
    assert (found.first_day, found.last_day) == (date(2024, 1, 1), date(2024, 2, 29))
    inside = [(each.level, each.inside and each.inside.value, each.width.value) for each in found.forecasts[0].coverage]
    assert inside == [(0.8, 1.0, pytest.approx(0.3)), (0.95, 1.0, pytest.approx(0.3))]
    assert found.forecasts[4].slope is None  # which says the same of every fight
    assert found.corner_known == ()


def test_fights_without_odds_count_only_where_none_has_any() -> None:
    p, won = [0.3, 0.7, 0.4, 0.6] * 10, [0, 1, 1, 0, 1, 1, 0, 0] * 5
    some = evaluate_challenger(forecasts(p, won, market=[0.6, np.nan] * 20), {}, 0.025)
    assert (some.fights, some.priced_fights) == (20, 20)
    none = evaluate_challenger(forecasts(p, won, market=[np.nan] * 40, recalibrated_market=[np.nan] * 40), {}, 0.025)
    assert (none.fights, none.priced_fights) == (40, 0)
    assert [each.forecast for each in none.forecasts] == ["challenger", "base_rate"]
    assert all(each.inside is None for each in none.forecasts[0].coverage)


def test_a_model_without_intervals_is_evaluated_without_them() -> None:
    p, won = [0.3, 0.7, 0.4, 0.6] * 10, [0, 1, 1, 0, 1, 1, 0, 0] * 5
    bare = forecasts(p, won)
    bare[[name for name in bare.columns if "_lower_" in name or "_upper_" in name]] = np.nan
    found = evaluate_challenger(bare, {"champion": forecasts(p, won)}, 0.025)
    assert [len(each.coverage) for each in found.forecasts[:2]] == [0, 2]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_an_imported_model_is_evaluated_on_fights_after_its_last_day() -> None:
    parts = {SHORT[name]: unwrap(SHORT[name], estimator) for name, estimator in plain_system().items()}
    names = common_columns(list(parts.values()), None)
    weights = dict.fromkeys(SHORT.values(), 1 / 3)
    until = date(2023, 12, 31)
    imported = import_ensemble(parts, names, weights, trained_until=until, sources={}).ensemble
    X, won = fights(300, seed=7)
    days = np.arange(300) // 10 * 7 + np.datetime64("2023-11-01")
    fight_set = backtest_data_from_matrix(
        TrainingMatrix(
            X=X,
            won=won.astype(np.int8),
            event=days.astype(np.str_),
            date=days,
            red_odds=np.full(300, np.nan),
            blue_odds=np.full(300, np.nan),
            corner_known=np.zeros(300, dtype=np.bool_),
            experience=np.full(300, -1),
        )
    )
    table = forecast_unseen(imported, fight_set, first_unseen_day(imported))
    found = evaluate_challenger(table, {}, 0.025)
    assert found.first_day > until
    assert (found.fights, found.forecasts[0].coverage) == (int((days > np.datetime64(until)).sum()), ())
    assert found.paired[-1].log_loss.value < 0.0


def test_forecasts_of_other_fights_are_not_compared() -> None:
    p, won = [0.3, 0.7] * 20, [0, 1] * 20
    with pytest.raises(ValidationError, match="the anchor are not of the same fights"):
        evaluate_challenger(
            forecasts(p, won), {"champion": forecasts(p, won), "anchor": forecasts(p, won[::-1])}, 0.025
        )


def test_evaluated_is_what_production_predicts_and_the_official_corner_stands_beside_it() -> None:
    rng = np.random.default_rng(2)
    without = rng.uniform(0.2, 0.8, 400)
    with_corner = without + 0.1  # red, who is listed first, wins more often than a forecast without corners says
    won = (rng.uniform(size=400) < with_corner).astype(int)
    columns: dict[str, Any] = {"statistics_only": with_corner, "corner_known": [True, True, True, False] * 100}
    found = evaluate_challenger(forecasts(without.tolist(), won.tolist(), **columns), {}, 0.025)
    challenger, known = found.forecasts[0], found.corner_known[0]
    assert challenger.log_loss.value == pytest.approx(-np.mean(np.log(np.where(won == 1, without, 1 - without))))
    assert challenger.intercept is None
    rows = np.array(columns["corner_known"])
    losses = -np.log(np.where(won == 1, with_corner, 1 - with_corner))
    assert known.log_loss.value == pytest.approx(losses[rows].mean())
    assert known.intercept is not None
    assert abs(known.intercept.value) < 0.3
    few: dict[str, Any] = {"statistics_only": with_corner, "corner_known": [True] + [False] * 399}
    assert (
        evaluate_challenger(forecasts(without.tolist(), won.tolist(), **few), {}, 0.025).corner_known == ()
    )  # no line to be drawn
    # Whoever is listed first, production answers the same, and so the figures are the same.
    turned = np.arange(400) % 2 == 0
    swapped = forecasts(np.where(turned, 1 - without, without).tolist(), np.where(turned, 1 - won, won).tolist())
    assert evaluate_challenger(swapped, {}, 0.025).forecasts[0].slope == challenger.slope


@pytest.mark.slow
def test_unseen_fights_alone_are_enough(fight_set: FightSet, ensemble: Ensemble, cutoff: date) -> None:
    first = first_unseen_day(ensemble)
    alone = backtest_data_from_matrix(fight_set.fights.take(fight_set.fights.date >= np.datetime64(cutoff)))
    found, whole = (
        evaluate_challenger(forecast_unseen(ensemble, each, first), {}, 0.025) for each in (alone, fight_set)
    )
    assert found.forecasts[0].log_loss == whole.forecasts[0].log_loss
    # There is nothing to recalibrate the closing odds on, so they stand as they are, and the report says so.
    assert (found.recalibrated, whole.recalibrated) == (False, True)
    for each in found.forecasts[0].coverage:
        assert each.inside is not None


def test_a_period_without_any_past_says_so(fight_set: FightSet) -> None:
    config = BacktestConfig(first_day=fight_set.fights.date[0].astype(date), training=PLAN)
    with pytest.raises(ValidationError, match=r"no decided fight before .* to train on"):
        forecast_fights(fight_set, config)


@pytest.mark.slow
def test_a_model_answers_every_fight_after_the_last_that_it_has_seen(
    fight_set: FightSet, ensemble: Ensemble, cutoff: date
) -> None:
    first = first_unseen_day(ensemble)
    assert ensemble.data_cutoff < first <= cutoff
    table = forecast_unseen(ensemble, fight_set, first)
    assert (table["date"] >= pd.Timestamp(cutoff)).all()
    assert len(table) == (fight_set.fights.date >= np.datetime64(cutoff)).sum()
    with pytest.raises(ValidationError, match="trained on fights up to"):
        forecast_unseen(ensemble, fight_set, ensemble.data_cutoff)
    younger = train_ensemble(fight_set.fights.before(cutoff + timedelta(days=60)), PLAN)
    assert first_unseen_day(ensemble, younger) == first_unseen_day(younger) > first


@pytest.mark.slow
def test_the_results_of_the_evaluated_fights_change_no_forecast(fight_set: FightSet, ensemble: Ensemble) -> None:
    first = first_unseen_day(ensemble)
    later = fight_set.fights.date >= np.datetime64(first)
    turned = replace(
        fight_set.fights, won=np.where(later, 1 - fight_set.fights.won, fight_set.fights.won).astype(np.int8)
    )
    columns = [name for name in forecast_unseen(ensemble, fight_set, first).columns if name != "won"]
    before = forecast_unseen(ensemble, fight_set, first)[columns]
    pd.testing.assert_frame_equal(
        before, forecast_unseen(ensemble, FightSet(turned, fight_set.early_odds), first)[columns], check_exact=True
    )


def test_the_answers_of_the_served_states_are_compared() -> None:
    rng = np.random.default_rng(4)
    fresh, lagging, other = rng.uniform(0.2, 0.8, (3, 400))
    won = (rng.uniform(size=400) < fresh).astype(int).tolist()
    levels = ("lower_80", "upper_80", "lower_95", "upper_95")
    bounds = {f"lagging_cornerless_{level}": 0.1 if level.startswith("lower") else 0.9 for level in levels}
    own = forecasts(fresh.tolist(), won, lagging=lagging, lagging_cornerless=lagging, **bounds)
    without = forecasts(other.tolist(), won)  # a model without a snapshot
    found = evaluate_challenger(own, {"champion": without}, 0.025, "lagging")
    p = {"challenger": lagging, "champion": other}
    losses = {name: -np.mean(np.log(np.where(np.array(won) == 1, q, 1 - q))) for name, q in p.items()}
    assert {each.forecast: each.log_loss.value for each in found.forecasts[:2]} == pytest.approx(losses)
    assert [each.coverage[0].width.value for each in found.forecasts[:2]] == pytest.approx([0.8, 0.3])
    assert found.paired[0].log_loss.value == pytest.approx(losses["challenger"] - losses["champion"])
    served = {(each.forecast, each.state, each.corner): each.log_loss.value for each in found.served}
    assert len(served) == 6
    assert served["challenger", "lagging", "known"] == pytest.approx(losses["challenger"])
    assert served["challenger", "fresh", "unknown"] == evaluate_challenger(own, {}, 0.025).forecasts[0].log_loss.value


def test_a_model_predicts_with_its_own_columns(fight_set: FightSet, ensemble: Ensemble) -> None:
    first = first_unseen_day(ensemble)
    more = replace(fight_set.fights, X=fight_set.fights.X.assign(novel=1.0))
    said = forecast_unseen(ensemble, FightSet(more, fight_set.early_odds), first)["statistics_only"]
    assert said.equals(forecast_unseen(ensemble, fight_set, first)["statistics_only"])
    fewer = replace(fight_set.fights, X=fight_set.fights.X.drop(columns="diff_age"))
    with pytest.raises(ValidationError, match="diff_age"):
        forecast_unseen(ensemble, FightSet(fewer, fight_set.early_odds), first)


def test_too_few_fights_or_events_are_refused(fight_set: FightSet) -> None:
    check_enough_fights(fight_set, date(1900, 1, 1))
    dates = fight_set.fights.date
    late = dates[-MIN_FIGHTS // 2].astype(date)
    with pytest.raises(ValidationError, match=f"at least {MIN_FIGHTS}"):
        check_enough_fights(fight_set, late)
    one_night = replace(fight_set.fights, event=np.full(len(fight_set.fights), "night"))
    with pytest.raises(ValidationError, match="of 1 events"):
        check_enough_fights(FightSet(one_night, fight_set.early_odds), date(1900, 1, 1))
