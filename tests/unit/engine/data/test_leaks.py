"""Nothing that was known only later may reach a prediction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from engine.data.feature_matrix import TrainingMatrix
from engine.data.features import MODEL_COLUMNS, build_matrix
from engine.data.fight_log import FightLog
from engine.data.fighter_snapshot import FighterRequest, FighterSnapshot, FightRequest
from engine.data.fighter_state import FIELD_INDEX
from engine.data.side_features import BIOGRAPHY_FIELDS
from engine.ensemble import FightPrediction, ProductionEnsembleManager, create_production_ensemble_config
from engine.errors import TrainingError
from engine.evaluation.backtest import BacktestConfig, backtest_data_with_lagging_rows
from engine.evaluation.walk_forward import Period, ensemble_forecasts
from engine.model.inference import point_logits
from engine.model.trained_ensemble import Ensemble
from engine.simulation.league import League, UpcomingFight
from engine.training.soft_labels import market_logit
from engine.training.train import TrainingConfig, train_ensemble

pytestmark = pytest.mark.slow

ODDS = ["red_decimal_odds", "blue_decimal_odds"]
CONTEXT = np.array([[0.0, 0.0, 3.0, 170.0]])
Build = Callable[[FightLog], TrainingMatrix]


def _other_outcomes(log: FightLog, since: pd.Timestamp) -> FightLog:
    """The same fights with winners and odds exchanged, and other methods and statistics, from that day on."""
    fights, lines = log.fights.copy(), log.stat_lines.copy()
    late = fights["date"] >= since
    fights.loc[late, "winner"] = fights.loc[late, "winner"].replace({"red": "blue", "blue": "red"})
    fights.loc[late, "method"] = np.where(fights.loc[late, "method"] == "Submission", "KO/TKO", "Submission")
    fights.loc[late, ODDS] = fights.loc[late, ODDS[::-1]].to_numpy()
    counts = lines.columns.difference(["fight_id", "fighter_id", "control_seconds"])
    changed = lines["fight_id"].isin(fights.loc[late, "fight_id"])
    lines.loc[changed, counts] += 7
    lines.loc[changed, "control_seconds"] = 0.0
    return FightLog(fights, lines, log.fighters)


def _leaking_columns(build: Build, log: FightLog, days: int = 4) -> set[str]:
    """Columns whose values on a day depend on how the fights of that day or later ended, on a few days of the log."""
    leaking: set[str] = set()
    known = log.fights["date"].drop_duplicates()
    for day in known.iloc[np.linspace(1, len(known) - 1, days).astype(int)]:
        rows = [
            build(version).before((day + pd.Timedelta(days=1)).date()).X for version in (log, _other_outcomes(log, day))
        ]
        same = (rows[0] == rows[1]) | (rows[0].isna() & rows[1].isna())
        leaking |= set(same.columns[~same.all()])
    return leaking


def _with_its_own_result(log: FightLog) -> TrainingMatrix:
    """One more win for whoever wins this very fight: the slip of counting before looking."""
    matrix = build_matrix(log)
    return replace(matrix, X=matrix.X.assign(diff_ufc_wins=matrix.X["diff_ufc_wins"] + 2.0 * matrix.won - 1.0))


def _with_later_ratings(log: FightLog) -> TrainingMatrix:
    """Ratings as they stand at the end of the log: the slip of joining a table of today."""
    matrix = build_matrix(log)
    fighters = log.fighters["fighter_id"].tolist()
    elo = dict(zip(fighters, FighterSnapshot.from_log(log).state[:, FIELD_INDEX["elo"]], strict=True))
    decided = log.fights[log.fights["winner"].isin(["red", "blue"])]
    return replace(matrix, X=matrix.X.assign(red_elo=decided["red_id"].map(elo).to_numpy()))


def test_no_feature_knows_how_its_own_day_or_a_later_one_ended(league: League) -> None:
    assert _leaking_columns(build_matrix, league.log) == set()


@pytest.mark.parametrize(
    ("build", "column"), [(_with_its_own_result, "diff_ufc_wins"), (_with_later_ratings, "red_elo")]
)
def test_a_feature_that_does_is_caught_by_name(league: League, build: Build, column: str) -> None:
    assert _leaking_columns(build, league.log) == {column}


def _quick(config: TrainingConfig) -> TrainingConfig:
    return replace(config, bootstrap_samples=0, fits=1)


def _shuffled(matrix: TrainingMatrix, seed: int) -> TrainingMatrix:
    return replace(matrix, won=np.random.default_rng(seed).permutation(matrix.won))


def test_shuffled_results_give_the_base_rate_or_no_model(
    league_matrix: TrainingMatrix, small_training: TrainingConfig
) -> None:
    base_rate = league_matrix.won.mean()
    entropy = -(base_rate * np.log(base_rate) + (1.0 - base_rate) * np.log(1.0 - base_rate))
    trained: list[float] = []
    for seed in range(8):
        try:
            ensemble = train_ensemble(_shuffled(league_matrix, seed), _quick(small_training))
        except TrainingError as error:
            assert "point the wrong way" in str(error)  # noqa: PT017 - most shuffles end here, rightly so
        else:
            trained.append(ensemble.manifest["metrics"]["log_loss"])
    assert 0 < len(trained) < 8
    # Single shuffles of so few fights stray by 0.017: calibration may fit their chance.
    assert np.mean(trained) == pytest.approx(entropy, abs=0.01)


def test_a_result_among_the_features_shows_in_the_log_loss(
    league_matrix: TrainingMatrix, small_training: TrainingConfig
) -> None:
    noise = np.random.default_rng(0).normal(size=len(league_matrix))
    leaky = league_matrix.X.assign(diff_elo=league_matrix.won - 0.5 + noise)
    honest, caught = (
        train_ensemble(replace(league_matrix, X=X), _quick(small_training)).manifest["metrics"]
        for X in (league_matrix.X, leaky)
    )
    assert honest["log_loss_priced"] > honest["market_log_loss"]
    assert caught["log_loss"] < honest["log_loss"] - 0.03


def _answers(
    log: FightLog, matrix: TrainingMatrix, fights: tuple[UpcomingFight, ...], config: TrainingConfig
) -> list[FightPrediction]:
    ensemble = train_ensemble(matrix.select(MODEL_COLUMNS), config, FighterSnapshot.from_log(log))
    assert ensemble.snapshot is not None
    rows = ensemble.snapshot.features(
        [
            FightRequest(
                first=FighterRequest(name=fight.fighters[0]),
                second=FighterRequest(name=fight.fighters[1]),
                date=fight.start.date(),
            )
            for fight in fights
        ]
    )
    assert rows.errors == (None,) * len(fights)
    manager = ProductionEnsembleManager.from_ensemble(ensemble, create_production_ensemble_config(bootstrap_samples=0))
    return manager.predict_fights(
        rows.X[list(MODEL_COLUMNS)],
        [fight.fighters for fight in fights],
        experience=rows.experience.tolist(),
        market_probability=[0.6] * len(fights),
    )


def test_predictions_of_a_log_that_is_cut_do_not_change_when_later_fights_are_added(
    league: League, small_training: TrainingConfig
) -> None:
    log, fights = league.log, tuple(league.upcoming[0])
    cutoff: date = log.fights["date"].iloc[350].date()
    earlier = log.fights[log.fights["date"] < pd.Timestamp(cutoff)]
    never_saw_more = FightLog(
        earlier, log.stat_lines[log.stat_lines["fight_id"].isin(earlier["fight_id"])], log.fighters
    )
    then = _answers(never_saw_more, build_matrix(never_saw_more), fights, _quick(small_training))
    # The log that knows more, with the end of its story changed as well, cut before and cut after building rows.
    more = _other_outcomes(log, pd.Timestamp(cutoff))
    assert _answers(more.before(cutoff), build_matrix(more).before(cutoff), fights, _quick(small_training)) == then
    assert all(answer.market_aware is not None for answer in then)


def test_results_and_odds_of_a_day_move_later_answers_alone(league: League, small_training: TrainingConfig) -> None:
    log = league.log
    days = log.fights["date"].drop_duplicates()
    start, day = days.iloc[int(0.7 * len(days))], days.iloc[int(0.85 * len(days))]
    config = BacktestConfig(first_day=start.date())
    fight_set = backtest_data_with_lagging_rows(log, config)
    turned = backtest_data_with_lagging_rows(_other_outcomes(log, day), config)
    ensemble = train_ensemble(fight_set.fights.before(start.date()), _quick(small_training))
    later = Period(start.date(), date(2100, 1, 1))
    forecasts, others = (ensemble_forecasts(ensemble, fights.during(later)) for fights in (fight_set, turned))
    dates = fight_set.during(later).fights.date
    known = dates <= np.datetime64(day.date())
    assert 0 < known.sum() < len(known)
    for name in ("statistics_only", "cornerless"):
        assert forecasts.loc[known, name].equals(others.loc[known, name])
        assert (forecasts.loc[~known, name] != others.loc[~known, name]).mean() > 0.5
    assert forecasts["lagging"].equals(others["lagging"])  # of a state from before the first day


def test_a_rating_of_shuffled_results_and_odds_knows_nothing(league: League) -> None:
    fights = league.log.fights.copy()
    outcome = ["winner", "method", *ODDS]
    fights[outcome] = fights[outcome].sample(frac=1.0, random_state=1).to_numpy()
    matrix = build_matrix(FightLog(fights, league.log.stat_lines, league.log.fighters))
    correlations = []
    for found in (build_matrix(league.log), matrix):
        market = market_logit(found)
        counted = np.isfinite(market) & (np.arange(len(found)) > len(found) / 3)  # the first third has taught little
        correlations.append(np.corrcoef(found.X["diff_rating"][counted], market[counted])[0, 1])
    assert correlations[0] > 0.4
    assert abs(correlations[1]) < 0.15


@pytest.fixture(scope="module")
def ensemble(league_matrix: TrainingMatrix, small_training: TrainingConfig) -> Ensemble:
    return train_ensemble(league_matrix, _quick(small_training))


@pytest.mark.parametrize("field", BIOGRAPHY_FIELDS)
def test_a_hidden_biography_moves_an_answer_as_its_imputed_value_does(
    league: League, ensemble: Ensemble, field: str
) -> None:
    snapshot = FighterSnapshot.from_log(league.log)
    fights = league.log.fights.tail(40)
    ids = fights[["red_id", "blue_id"]].to_numpy(dtype=np.str_)
    places = [[snapshot.fighter_ids.tolist().index(fighter) for fighter in pair] for pair in ids.tolist()]
    column, height = BIOGRAPHY_FIELDS.index(field), BIOGRAPHY_FIELDS.index("height_cm")

    def logit(value: Callable[[np.ndarray, np.ndarray], float]) -> list[float]:
        """Answer each fight with another value of its first fighter, given both biographies."""
        answers = []
        for pair, (own, other) in zip(ids, places, strict=True):
            biography = snapshot.biography.copy()
            biography[own, column] = value(biography[own], biography[other])
            X, _ = replace(snapshot, biography=biography).fight_rows(
                pair[None], np.array([snapshot.data_cutoff + timedelta(days=30)], dtype="datetime64[D]"), CONTEXT
            )
            values = X[list(ensemble.columns)].to_numpy(np.float64)
            answers.append(float(point_logits(ensemble, values, np.zeros(1, dtype=np.int8))[0][0]))
        return answers

    def imputed(own: np.ndarray, other: np.ndarray) -> float:
        excess = other[column] - other[height]
        return float(own[height] + excess if field == "reach_cm" else other[column])

    assert logit(lambda own, other: np.nan) == logit(imputed)
