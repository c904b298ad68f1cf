"""On real fights: ratings before a fight know neither its own outcome and odds nor those of any later fight."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from engine.data.feature_matrix import TrainingMatrix
from engine.data.features import CONTEXT_FEATURES, build_matrix
from engine.data.fight_log import FightLog
from engine.data.fighter_snapshot import FighterSnapshot
from engine.statistics.calibration import log_loss
from engine.statistics.complements import logit_to_probability
from engine.training.soft_labels import market_logit
from tests.support.real_fights import needs_real_fights, real_log, real_replay

DAY = pd.Timestamp(2019, 6, 8)
ODDS = ["red_decimal_odds", "blue_decimal_odds"]

pytestmark = [pytest.mark.data, needs_real_fights]


@pytest.fixture(scope="module")
def log() -> FightLog:
    return real_log()


@pytest.fixture(scope="module")
def matrix(log: FightLog) -> TrainingMatrix:
    return build_matrix(log, rated=real_replay())


def test_outcomes_and_odds_from_a_day_on_move_later_rows_alone(log: FightLog, matrix: TrainingMatrix) -> None:
    fights = log.fights.copy()
    late = fights["date"] >= DAY
    assert (fights["date"] == DAY).any()
    winners = ["winner", "announced_winner"]
    fights.loc[late, winners] = fights.loc[late, winners].replace({"red": "blue", "blue": "red"})
    fights.loc[late, ODDS] = fights.loc[late, ODDS[::-1]].to_numpy()
    turned = build_matrix(FightLog(fights, log.stat_lines, log.fighters))
    known = matrix.date <= np.datetime64(DAY.date())
    pd.testing.assert_frame_equal(turned.X[known], matrix.X[known], check_exact=True)
    assert (turned.X["diff_rating"] != matrix.X["diff_rating"])[~known].mean() > 0.9


def test_ratings_of_shuffled_results_and_odds_know_nothing(log: FightLog) -> None:
    fights = log.fights.copy()
    outcome = ["winner", "announced_winner", "method", *ODDS]
    fights[outcome] = fights[outcome].sample(frac=1.0, random_state=1).to_numpy()
    shuffled = build_matrix(FightLog(fights, log.stat_lines, log.fighters))
    market, rating = market_logit(shuffled), shuffled.X["diff_rating"].to_numpy()
    priced = np.isfinite(market)
    assert abs(np.corrcoef(rating[priced], market[priced])[0, 1]) < 0.05
    assert log_loss(logit_to_probability(rating[priced]), shuffled.won[priced]) > np.log(2.0)


def test_a_served_row_is_the_scored_one_to_the_bit(log: FightLog, matrix: TrainingMatrix) -> None:
    rows = matrix.date == np.datetime64(DAY.date())
    ids = log.fights.loc[log.is_label, ["red_id", "blue_id"]].to_numpy(dtype=np.str_)[rows]
    context = matrix.X.loc[rows, list(CONTEXT_FEATURES)].to_numpy(np.float64)
    X, experience = FighterSnapshot.from_log(log.before(DAY.date())).fight_rows(ids, matrix.date[rows], context)
    pd.testing.assert_frame_equal(X, matrix.X[rows].reset_index(drop=True), check_exact=True)
    assert np.array_equal(experience, matrix.experience[rows])
