from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

from engine.data import rated_log
from engine.data.features import MODEL_COLUMNS, build_matrix
from engine.data.fight_log import read_fight_log, write_fight_log
from engine.data.fighter_snapshot import FighterSnapshot
from engine.simulation.league import League
from ledger.contracts.jobs import TrainEnsemble
from workers.handlers.training.train_ensemble import read_training_data
from workers.handlers.training.training_data import training_config, with_memory_limit


@pytest.mark.parametrize(
    ("asked", "limit", "granted"), [(4096.0, 3584, 3584.0), (512.0, 3584, 512.0), (512.0, 0, 512.0)]
)
def test_a_job_gets_no_more_memory_than_its_child(asked: float, limit: float, granted: float) -> None:
    assert with_memory_limit(TrainEnsemble(data="d", max_memory_mb=asked), limit).max_memory_mb == granted


def test_a_job_is_trained_on_as_many_threads_as_it_is_given() -> None:
    plan = TrainEnsemble(data="d")
    assert training_config(plan, 60.0).n_jobs == -1
    assert training_config(plan, 60.0, 1).n_jobs == 1


def test_rows_and_fighters_come_from_one_replay_with_the_bits_of_two(league: League, tmp_path: Path) -> None:
    write_fight_log(league.log, tmp_path)
    with patch.object(rated_log, "run_rating_filter", wraps=rated_log.run_rating_filter) as run_rating_filter:
        matrix, snapshot = read_training_data(TrainEnsemble(data=str(tmp_path)))
    assert run_rating_filter.call_count == len(rated_log.RATING_COLUMNS)
    log = read_fight_log(tmp_path)
    np.testing.assert_array_equal(matrix.X, build_matrix(log).X[list(MODEL_COLUMNS)])
    assert snapshot is not None
    for name, array in FighterSnapshot.from_log(log).to_arrays().items():
        np.testing.assert_array_equal(snapshot.to_arrays()[name], array)
