"""Leakage through the reach, which the source of the real fights fills in for fighters who stay."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.accuracy.feature_leaks import (
    COLUMNS,
    WITHOUT_REACH,
    known_sides,
    mean_forecast_of_known,
    out_of_fold,
    won_by_known,
)
from engine.data.feature_matrix import TrainingMatrix
from engine.data.features import build_matrix
from engine.data.fight_log import FightLog
from tests.support.real_fights import needs_real_fights, real_log, real_replay

pytestmark = [pytest.mark.data, needs_real_fights]


@pytest.fixture(scope="module")
def log() -> FightLog:
    return real_log()


@pytest.fixture(scope="module")
def matrix(log: FightLog) -> TrainingMatrix:
    return build_matrix(log, rated=real_replay()).select(COLUMNS)


def test_a_known_reach_or_stance_tells_who_will_win_and_a_history_does_not(
    log: FightLog, matrix: TrainingMatrix
) -> None:
    reach, stance = (won_by_known(known_sides(log, name), matrix, (2010, 2015)) for name in ("reach_cm", "southpaw"))
    assert reach[0] > 300
    assert reach[1] > 0.9
    assert stance[1] > 0.75
    # A debutant has no history: this was known before the fight, so its effect is no leak.
    assert 0.5 < won_by_known(known_sides(log, "slpm"), matrix, (2010, 2015))[1] < 0.65


def test_a_model_says_no_more_of_a_fighter_whose_reach_is_known_than_without_the_reach(
    log: FightLog, matrix: TrainingMatrix
) -> None:
    rows = (matrix.date >= np.datetime64("2010-01-01")) & (matrix.date < np.datetime64("2019-01-01"))
    known = known_sides(log, "reach_cm")[rows]
    gaps = build_matrix(log, keep_gaps=True, rated=real_replay()).select(COLUMNS)
    found = [
        mean_forecast_of_known(
            out_of_fold(fights.take(rows), folds=3, trees=40), known, np.ones(len(known), dtype=np.bool_)
        )
        for fights in (matrix.select(WITHOUT_REACH), matrix, gaps)
    ]
    blind, filled, with_gaps = found
    assert abs(filled - blind) < 0.0015, found
    assert with_gaps > blind + 0.002, found
