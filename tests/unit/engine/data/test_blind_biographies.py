"""Whose biography is unknown says nothing: sources fill biographies in later, for those who stay."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from engine.data.feature_matrix import TrainingMatrix, mirror
from engine.data.features import CONTEXT_FEATURES, MODEL_COLUMNS, build_matrix, feature_rows
from engine.data.fight_log import FightLog
from engine.data.fighter_snapshot import FighterRequest, FighterSnapshot, FightRequest
from engine.data.rated_log import RATING_COLUMNS
from engine.data.side_features import BASE_FEATURES
from engine.members.member_fit import MemberParams
from engine.members.random_forest import ForestParams
from engine.members.xgboost_fit import TrainingLimits
from engine.simulation.league import LeagueConfig, simulate_league
from engine.statistics.calibration import Calibration
from engine.training.refits import LOGIT, RefitBatch, RefitPurpose, Trainer
from engine.training.train import TrainingConfig

BIOGRAPHY = ("age", "height_cm", "reach_cm", "southpaw")


_NO_RATINGS = np.zeros((200, len(RATING_COLUMNS)))


def _sides(seed: int = 0, rows: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Return base features of both sides, in which about a third of the biographies is unknown."""
    rng = np.random.default_rng(seed)
    sides = rng.normal(size=(2, rows, len(BASE_FEATURES)))
    for name in BIOGRAPHY:
        column = BASE_FEATURES.index(name)
        sides[:, :, column] = np.where(rng.random((2, rows)) < 1 / 3, np.nan, np.round(sides[:, :, column], 1) + 180)
    sides[0, :, BASE_FEATURES.index("slpm")] = np.nan
    return sides[0], sides[1]


def test_no_biography_is_missing_and_nothing_else_is_filled() -> None:
    red, blue = _sides()
    X = feature_rows(red, blue, _NO_RATINGS, np.zeros((len(red), len(CONTEXT_FEATURES))))
    filled = [f"{side}_{name}" for side in ("red", "blue", "diff") for name in BIOGRAPHY]
    assert not X[filled].isna().any(axis=None)
    assert X["red_slpm"].isna().all()
    for name in BIOGRAPHY:
        known = ~np.isnan(red[:, BASE_FEATURES.index(name)])
        np.testing.assert_array_equal(X.loc[known, f"red_{name}"], red[known, BASE_FEATURES.index(name)])


def test_a_difference_does_not_depend_on_a_value_that_stands_alone() -> None:
    red, blue = _sides()
    context = np.zeros((len(red), len(CONTEXT_FEATURES)))
    X = feature_rows(red, blue, _NO_RATINGS, context)
    for name in ("age", "height_cm", "southpaw"):
        column = BASE_FEATURES.index(name)
        alone = np.isnan(red[:, column]) | np.isnan(blue[:, column])
        assert (X.loc[alone, f"diff_{name}"] == 0.0).all()
    reach = BASE_FEATURES.index("reach_cm")
    alone = np.isnan(red[:, reach]) | np.isnan(blue[:, reach])
    np.testing.assert_allclose(X.loc[alone, "diff_reach_cm"], X.loc[alone, "diff_height_cm"], atol=1e-9)


def test_swapping_the_fighters_mirrors_the_row_to_the_bit() -> None:
    red, blue = _sides(1)
    context = np.zeros((len(red), len(CONTEXT_FEATURES)))
    pd.testing.assert_frame_equal(
        mirror(feature_rows(red, blue, _NO_RATINGS, context)), feature_rows(blue, red, _NO_RATINGS, context)
    )


def _filled_in_for_winners(log: FightLog) -> FightLog:
    """Return the log of a source that knows the biographies of those alone who won at least half of their fights."""
    wins = {fighter: [] for fighter in log.fighters["fighter_id"]}
    for fight in log.fights.itertuples():
        wins[fight.red_id].append(fight.winner == "red")
        wins[fight.blue_id].append(fight.winner == "blue")
    stays = log.fighters["fighter_id"].map(lambda fighter: np.mean(wins[fighter] or [0.0]) >= 0.5)
    fighters = log.fighters.copy()
    fighters.loc[~stays, ["height_cm", "reach_cm"]] = np.nan
    fighters.loc[~stays, "date_of_birth"] = pd.NaT
    fighters.loc[~stays, "stance"] = ""
    return FightLog(log.fights, log.stat_lines, fighters)


def _said_of_the_known(matrix: TrainingMatrix, known: np.ndarray) -> float:
    """Return the mean out-of-fold probability of the fighter whose biography is known, where just one is."""
    members = MemberParams(forest=ForestParams(trees=30))
    config = TrainingConfig(bootstrap_samples=0, fits=1, folds=5, members=members, n_jobs=1)
    found = Trainer(matrix, config).run(
        RefitBatch(RefitPurpose.FOLD, 0, 5), TrainingLimits(600.0, 4096.0), 1, lambda: None
    )[LOGIT]
    logit = Calibration.fit(found, matrix.won, matrix.corner_known)(found, np.zeros(len(matrix), dtype=np.int8))
    p = 1.0 / (1.0 + np.exp(-logit))
    alone = known[:, 0] != known[:, 1]
    return float(np.where(known[:, 0], p, 1.0 - p)[alone].mean())


@pytest.fixture(scope="module")
def poisoned() -> FightLog:
    return _filled_in_for_winners(simulate_league(LeagueConfig(fights=1500, seed=5)).log)


@pytest.mark.slow
def test_a_model_gains_nothing_from_a_source_that_fills_in_biographies_of_winners(poisoned: FightLog) -> None:
    decided = poisoned.fights[poisoned.fights["winner"].isin(["red", "blue"])]
    knows = poisoned.fighters.set_index("fighter_id")["height_cm"].notna()
    known = np.column_stack([decided["red_id"].map(knows), decided["blue_id"].map(knows)]).astype(bool)
    matrix = build_matrix(poisoned).select(MODEL_COLUMNS)
    without = [name for name in MODEL_COLUMNS if name.removeprefix("diff_") not in BIOGRAPHY]
    blind = _said_of_the_known(matrix.select(without), known)
    said = _said_of_the_known(matrix, known)
    gaps = _said_of_the_known(build_matrix(poisoned, keep_gaps=True).select(MODEL_COLUMNS), known)
    assert abs(said - blind) < 0.01
    assert gaps > blind + 0.013  # so the test would see it


@pytest.fixture
def upcoming(poisoned: FightLog) -> list[FightRequest]:
    unknown = poisoned.fighters.loc[poisoned.fighters["height_cm"].isna(), "name"].tolist()
    known = poisoned.fighters.loc[poisoned.fighters["height_cm"].notna(), "name"].tolist()
    day = poisoned.data_cutoff.replace(year=poisoned.data_cutoff.year + 1)
    pairs = zip(known[:5], unknown[:5], strict=True)
    return [
        FightRequest(first=FighterRequest(name=one), second=FighterRequest(name=other), date=day)
        for one, other in pairs
    ]


@pytest.mark.slow
def test_rows_say_that_a_biography_was_filled(poisoned: FightLog, upcoming: list[FightRequest]) -> None:
    rows = FighterSnapshot.from_log(poisoned).features(upcoming)
    assert (rows.X[["diff_age", "diff_height_cm", "diff_reach_cm", "diff_southpaw"]] == 0.0).all(axis=None)
    assert all("features_imputed" in flags for flags in rows.flags)


def test_a_snapshot_of_an_earlier_version_keeps_its_gaps(poisoned: FightLog, upcoming: list[FightRequest]) -> None:
    kept = FighterSnapshot.from_log(poisoned, keep_gaps=True)
    assert "biography" in kept.to_arrays()  # what an earlier version wrote, and reads
    loaded = FighterSnapshot.from_arrays(kept.to_arrays())
    assert loaded.keep_gaps
    assert loaded.features(upcoming).X["diff_reach_cm"].isna().all()


def test_an_earlier_version_would_refuse_a_snapshot_whose_gaps_are_filled(poisoned: FightLog) -> None:
    arrays = FighterSnapshot.from_log(poisoned).to_arrays()
    assert "biography" not in arrays
    assert not FighterSnapshot.from_arrays(arrays).keep_gaps
