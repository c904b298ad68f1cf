from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.data.feature_matrix import TrainingMatrix
from engine.data.features import MODEL_COLUMNS, build_matrix
from engine.data.fight_log import FightLog
from engine.data.fighter_snapshot import FighterSnapshot
from engine.errors import MemoryLimitError, TrainingTimeoutError, ValidationError
from engine.intervals.half_widths import FLOOR_FACTOR
from engine.members.xgboost_fit import TrainingLimits
from engine.model.bundle import Bundle
from engine.model.trained_ensemble import save_ensemble
from engine.simulation.league import League
from engine.training.refits import Trainer, refit_batches
from engine.training.soft_labels import market_logit
from engine.training.train import TrainingConfig, assemble_bundle, train_bundle, train_ensemble

pytestmark = pytest.mark.slow


def test_one_thread_or_two_train_the_same_bundle(
    league: League, league_matrix: TrainingMatrix, small_training: TrainingConfig, bundle: Bundle, tmp_path: Path
) -> None:
    again = train_ensemble(league_matrix, replace(small_training, n_jobs=1), FighterSnapshot.from_log(league.log))
    assert save_ensemble(again, tmp_path).digest == bundle.digest


def test_replicas_that_wait_on_disk_give_the_same_bundle(
    league: League, league_matrix: TrainingMatrix, small_training: TrainingConfig, bundle: Bundle, tmp_path: Path
) -> None:
    written = train_bundle(tmp_path, league_matrix, small_training, FighterSnapshot.from_log(league.log))
    assert written.digest == bundle.digest
    assert [path.name for path in tmp_path.iterdir()] == [bundle.digest]


@pytest.mark.parametrize("size", [1, 5, 7])
def test_parts_of_any_size_in_any_order_give_the_same_bundle(
    league: League,
    league_matrix: TrainingMatrix,
    small_training: TrainingConfig,
    bundle: Bundle,
    tmp_path: Path,
    size: int,
) -> None:
    limits = TrainingLimits(3600.0, 4096.0)
    results = {}
    for part in reversed(refit_batches(small_training, size)):
        trainer = Trainer(league_matrix, small_training)  # one that has run nothing else
        results[part] = trainer.run(part, limits)
    snapshot = FighterSnapshot.from_log(league.log)
    assert assemble_bundle(tmp_path, league_matrix, small_training, snapshot, results).digest == bundle.digest


def test_another_seed_is_another_model(
    league_matrix: TrainingMatrix, small_training: TrainingConfig, bundle: Bundle, tmp_path: Path
) -> None:
    other = train_ensemble(league_matrix, replace(small_training, seed=4))
    assert save_ensemble(other, tmp_path).digest != bundle.digest


def test_the_model_learns_and_says_what_it_was_made_of(bundle: Bundle, league_matrix: TrainingMatrix) -> None:
    manifest = bundle.manifest
    assert manifest["metrics"]["log_loss"] < np.log(2)
    assert manifest["metrics"]["market_log_loss"] < manifest["metrics"]["log_loss_priced"]
    assert manifest["data"]["fights"] == len(league_matrix)
    assert manifest["interval_method"] == "anchored"
    assert manifest["market_aware"]["fights"] == manifest["metrics"]["priced_fights"]
    assert not {"n_jobs", "max_training_time_s", "max_memory_mb"} & manifest["config"].keys()


def test_progress_counts_every_refit(league_matrix: TrainingMatrix, small_training: TrainingConfig) -> None:
    seen: list[tuple[str, int, int]] = []
    config = replace(small_training, bootstrap_samples=10)
    train_ensemble(league_matrix, config, on_progress=lambda *step: seen.append(step))
    assert [done for _, done, _ in seen] == list(range(1, 16))
    assert {total for _, _, total in seen} == {15}
    assert [stage for stage, _, _ in seen] == ["folds"] * 3 + ["fits"] * 2 + ["replicas"] * 10


def test_time_and_memory_limits_are_kept(league_matrix: TrainingMatrix, small_training: TrainingConfig) -> None:
    with pytest.raises(TrainingTimeoutError, match=r"max_training_time_s is 0.01"):
        train_ensemble(league_matrix, replace(small_training, max_training_time_s=0.01))
    with pytest.raises(MemoryLimitError, match="max_memory_mb is 5"):
        train_ensemble(league_matrix, replace(small_training, max_memory_mb=5.0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bootstrap_samples": 5}, r"must be 0 .* or at least 10, not 5"),
        ({"folds": 2}, "folds at least 3"),
        ({"model_weights": {"random_forest": 0.5, "xgboost": 0.25, "neural_network": 0.15}}, "must sum to 1, not 0.9"),
    ],
)
def test_a_bad_configuration_is_refused(
    league_matrix: TrainingMatrix, small_training: TrainingConfig, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        train_ensemble(league_matrix, replace(small_training, **changes))  # type: ignore[arg-type]


def test_too_few_fights_and_a_single_winner_class_are_refused(
    league_matrix: TrainingMatrix, small_training: TrainingConfig
) -> None:
    with pytest.raises(ValidationError, match="50 decided fights are too few"):
        train_ensemble(league_matrix.take(np.arange(50)), small_training)
    with pytest.raises(ValidationError, match="won by the red side"):
        train_ensemble(replace(league_matrix, won=np.ones_like(league_matrix.won)), small_training)


def test_the_market_s_logit_is_missing_where_odds_are(league_matrix: TrainingMatrix) -> None:
    odds = league_matrix.red_odds.copy()
    odds[3] = np.nan
    logit = market_logit(replace(league_matrix, red_odds=odds))
    assert np.isnan(logit[3])
    assert np.isfinite(logit).sum() == np.isfinite(market_logit(league_matrix)).sum() - np.isfinite(
        league_matrix.red_odds[3]
    )


def test_a_model_without_odds_allows_for_the_error_of_the_rating_that_its_replicas_share(
    league: League, small_training: TrainingConfig
) -> None:
    odds = {f"{side}_{kind}decimal_odds": np.nan for side in ("red", "blue") for kind in ("", "early_")}
    log = FightLog(league.log.fights.assign(**odds), league.log.stat_lines, league.log.fighters)
    matrix, snapshot = build_matrix(log).select(MODEL_COLUMNS), FighterSnapshot.from_log(log)
    trained = train_ensemble(matrix, small_training, snapshot)
    assert trained.half_widths.method == "model_based"
    shared = trained.calibration.slope * trained.offset.slope * np.sqrt(snapshot.ratings[0].forecast_variance)
    assert trained.half_widths.spread is not None
    assert trained.half_widths.spread * FLOOR_FACTOR > shared > 0.2
    # Without a snapshot nobody knows the error of the rating, and no interval is better than a false one.
    assert not train_ensemble(matrix, small_training).half_widths.is_measured
