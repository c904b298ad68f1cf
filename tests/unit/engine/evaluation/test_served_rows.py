"""What is scored is what is served: the same features and, to the bit, the same answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest

from engine.data.features import CONTEXT_FEATURES, MODEL_COLUMNS
from engine.data.fight_log import FightLog
from engine.data.fighter_snapshot import FighterRequest, FighterSnapshot, FightRequest
from engine.ensemble import Corner, ProductionEnsembleManager, create_production_ensemble_config
from engine.errors import ValidationError
from engine.evaluation.backtest import BacktestConfig, backtest_data_with_lagging_rows
from engine.evaluation.served_rows import snapshot_before, with_rows_of_model
from engine.evaluation.walk_forward import FightSet, Period, ensemble_forecasts
from engine.model.trained_ensemble import Ensemble
from engine.simulation.league import League
from engine.training.train import TrainingConfig, train_ensemble
from tests.support.small_models import SMALL

START, END = date(2025, 9, 1), date(2026, 1, 1)


@pytest.fixture(scope="module")
def fight_set(league: League) -> FightSet:
    return backtest_data_with_lagging_rows(league.log, BacktestConfig(first_day=START))


@pytest.fixture(scope="module")
def ensemble(fight_set: FightSet) -> Ensemble:
    config = TrainingConfig(bootstrap_samples=0, fits=1, folds=3, members=SMALL)
    return train_ensemble(fight_set.fights.before(START), config)


def _served(
    ensemble: Ensemble, snapshot: FighterSnapshot, fights: pd.DataFrame, corner: Corner
) -> dict[str, list[float]]:
    """Return the answers to requests that name the fighters, and declare those whom the snapshot does not know."""
    names = set(snapshot.names.tolist())

    def fighter(name: str) -> FighterRequest:
        return FighterRequest(name=name, debut=name not in names)

    rows = snapshot.features(
        [
            FightRequest(
                first=fighter(fight.red_name),
                second=fighter(fight.blue_name),
                date=fight.date.date(),
                weight_class=fight.weight_class,
                scheduled_rounds=fight.scheduled_rounds,
                title_bout=fight.title_bout,
            )
            for fight in fights.itertuples()
        ]
    )
    assert rows.errors == (None,) * len(fights)
    manager = ProductionEnsembleManager.from_ensemble(ensemble, create_production_ensemble_config(bootstrap_samples=0))
    answers = manager.predict_fights(
        rows.X[list(ensemble.columns)],
        [(str(row), "other") for row in range(len(fights))],
        corners=[corner] * len(fights),
        experience=rows.experience.tolist(),
        levels=(0.8,),
    )
    return {
        "probability": [answer.probability for answer in answers],
        "lower": [answer.intervals[0.8][0] for answer in answers],
        "upper": [answer.intervals[0.8][1] for answer in answers],
    }


def _scored(table: pd.DataFrame, name: str) -> dict[str, list[float]]:
    columns = {"probability": name, "lower": f"{name}_lower_80", "upper": f"{name}_upper_80"}
    return {part: table[column].tolist() for part, column in columns.items()}


def _decided(log: FightLog, first: date, end: date) -> pd.DataFrame:
    fights = log.fights[log.announced_winners.isin(["red", "blue"])]
    fights = fights[(fights["date"] >= pd.Timestamp(first)) & (fights["date"] < pd.Timestamp(end))]
    name = log.fighters.set_index("fighter_id")["name"]
    return fights.assign(red_name=fights["red_id"].map(name), blue_name=fights["blue_id"].map(name))


@pytest.mark.slow
def test_a_fresh_forecast_is_the_answer_from_the_states_of_the_day_before(
    league: League, fight_set: FightSet, ensemble: Ensemble
) -> None:
    fights = _decided(league.log, START, END)
    days = fights["date"].drop_duplicates()
    assert len(days) > 5
    for day in days.iloc[[0, len(days) // 2, -1]]:
        table = ensemble_forecasts(ensemble, fight_set.during(Period(day.date(), (day + pd.Timedelta(days=1)).date())))
        snapshot, card = FighterSnapshot.from_log(league.log.before(day.date())), fights[fights["date"] == day]
        assert card["corner_reliable"].all()
        assert _scored(table, "statistics_only") == _served(ensemble, snapshot, card, "red")
        assert _scored(table, "cornerless") == _served(ensemble, snapshot, card, "unknown")


@pytest.mark.slow
def test_a_lagging_forecast_is_the_answer_from_the_states_of_the_last_refit(
    league: League, fight_set: FightSet, ensemble: Ensemble
) -> None:
    fights = _decided(league.log, START, END)
    snapshot = snapshot_before(league.log, START)
    unknown = ~fights[["red_name", "blue_name"]].isin(snapshot.names).all(axis=1)
    assert 0 < unknown.sum() < len(fights)
    table = ensemble_forecasts(ensemble, fight_set.during(Period(START, END)))
    assert _scored(table, "lagging") == _served(ensemble, snapshot, fights, "red")
    assert _scored(table, "lagging_cornerless") == _served(ensemble, snapshot, fights, "unknown")
    assert (table["lagging"] != table["statistics_only"]).any()


def test_nothing_after_the_refit_reaches_a_lagging_row(league: League, fight_set: FightSet) -> None:
    late = league.log.fights["date"] >= pd.Timestamp(START)
    fights = league.log.fights.copy()
    fights.loc[late, "winner"] = fights.loc[late, "winner"].replace({"red": "blue", "blue": "red"})
    turned = FightLog(fights, league.log.stat_lines, league.log.fighters)
    again = backtest_data_with_lagging_rows(turned, BacktestConfig(first_day=START))
    assert again.lagging is not None
    assert fight_set.lagging is not None
    pd.testing.assert_frame_equal(again.lagging.X, fight_set.lagging.X, check_exact=True)
    assert not again.fights.X.equals(fight_set.fights.X)


def test_a_fighter_whom_the_state_does_not_know_is_a_debutant_of_whom_nothing_is_declared(
    league: League, fight_set: FightSet
) -> None:
    later = fight_set.during(Period(START, END))
    assert later.lagging is not None
    snapshot = snapshot_before(league.log, START)
    fought = {*league.log.before(START).fights["red_id"], *league.log.before(START).fights["blue_id"]}
    assert set(snapshot.fighter_ids.tolist()) == fought
    ids = _decided(league.log, START, END)[["red_id", "blue_id"]].isin(fought)
    new = ~ids.all(axis=1).to_numpy()
    assert np.array_equal(later.lagging.experience == 0, new)
    assert (later.lagging.X.loc[new, "diff_age"] == 0.0).all()  # an unknown age is taken from the opponent
    assert (later.lagging.state_days >= 1.0).all()
    first = np.datetime64(START) - np.datetime64(snapshot.data_cutoff)
    assert later.lagging.state_days.min() >= first.astype(float)


def test_a_fight_that_a_snapshot_covers_is_refused(league: League) -> None:
    snapshot = FighterSnapshot.from_log(league.log)
    day = np.array([snapshot.data_cutoff], dtype="datetime64[D]")
    with pytest.raises(ValidationError, match=f"already reaches {snapshot.data_cutoff}"):
        snapshot.fight_rows(np.array([["a", "b"]]), day, np.zeros((1, len(CONTEXT_FEATURES))))


@pytest.mark.slow
def test_rows_of_a_model_are_of_its_training_even_if_its_snapshot_was_updated(
    league: League, fight_set: FightSet, ensemble: Ensemble
) -> None:
    bare = replace(fight_set, lagging=None)
    assert with_rows_of_model(bare, league.log, ensemble, START).lagging is None  # it has no snapshot
    expected = fight_set.during(Period(START, END)).lagging
    assert expected is not None
    for snapshot in (snapshot_before(league.log, START), FighterSnapshot.from_log(league.log)):
        own = with_rows_of_model(bare, league.log, replace(ensemble, snapshot=snapshot), START)
        later = own.during(Period(START, END)).lagging
        assert later is not None
        pd.testing.assert_frame_equal(later.X, expected.X, check_exact=True)
        assert own.lagging is not None
        assert own.lagging.X[: len(fight_set.fights.before(START))].isna().all(axis=None)


def test_the_same_fights_with_fewer_features(fight_set: FightSet) -> None:
    fewer = fight_set.select(MODEL_COLUMNS[:3])
    assert fewer.lagging is not None
    assert list(fewer.fights.X) == list(fewer.lagging.X) == list(MODEL_COLUMNS[:3])


def test_history_only_fights_move_states_and_have_no_row(league: League, fight_set: FightSet) -> None:
    marked = np.arange(len(league.log.fights)) % 5 == 0
    log = FightLog(league.log.fights.assign(history_only=marked), league.log.stat_lines, league.log.fighters)
    some = backtest_data_with_lagging_rows(log, BacktestConfig(first_day=START))
    kept = ~marked[league.log.is_label.to_numpy()]
    assert fight_set.lagging is not None
    assert some.lagging is not None
    for here, there in ((some.fights.X, fight_set.fights.X), (some.lagging.X, fight_set.lagging.X)):
        pd.testing.assert_frame_equal(here, there[kept].reset_index(drop=True), check_exact=True)
