"""What fights are learnt from: results, and closing odds where there are some."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import xgboost as xgb
from scipy.special import expit
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from engine.data.feature_matrix import TrainingMatrix
from engine.members.feature_bins import BinEdges
from engine.members.member_fit import MemberParams
from engine.members.network_fit import NetworkParams, fit_network
from engine.members.random_forest import ForestParams, grow_forest
from engine.members.xgboost_fit import SharedRows, TrainingLimits, ValidationSet, boost
from engine.resources.blas_threads import one_blas_thread
from engine.training.refits import LOGIT, RefitBatch, RefitPurpose, Trainer
from engine.training.soft_labels import market_logit, soft_labels
from engine.training.train import TrainingConfig

_FIGHTS = 3000
_ONCE = np.ones(_FIGHTS, dtype=np.int64)


def _market(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Results, the logit of a market that exaggerates them by a quarter, and the truth's."""
    rng = np.random.default_rng(seed)
    truth = 0.8 * rng.normal(size=_FIGHTS)
    return (rng.random(_FIGHTS) < expit(truth)).astype(np.int8), 1.25 * truth, truth


def test_labels_lie_between_the_result_and_the_recalibrated_market() -> None:
    won, market, truth = _market()
    np.testing.assert_array_equal(soft_labels(won, market, _ONCE, 0.0), won)
    taught = soft_labels(won, market, _ONCE, 1.0)
    assert np.mean(np.abs(taught - expit(truth))) < 0.01 < np.mean(np.abs(expit(market) - expit(truth)))
    np.testing.assert_allclose(soft_labels(won, market, _ONCE, 0.4), 0.6 * won + 0.4 * taught, atol=1e-15)


def test_without_odds_labels_are_results() -> None:
    won, market, _ = _market()
    priced = np.arange(_FIGHTS) % 2 == 0
    labels = soft_labels(won, np.where(priced, market, np.nan), _ONCE, 0.5)
    np.testing.assert_array_equal(labels[~priced], won[~priced])
    assert np.all((labels[priced] > 0.0) & (labels[priced] < 1.0))
    few = np.where(np.arange(_FIGHTS) < 199, market, np.nan)
    np.testing.assert_array_equal(soft_labels(won, few, _ONCE, 0.5), won)
    left_out = np.where(priced, 0, 1)
    np.testing.assert_array_equal(soft_labels(won, np.where(priced, market, np.nan), left_out, 0.5), won)


@pytest.mark.parametrize("seed", range(3))
def test_a_market_that_says_nothing_teaches_an_even_chance(seed: int) -> None:
    won, market, _ = _market()
    shuffled = np.random.default_rng(seed).permutation(won)
    assert np.max(np.abs(soft_labels(shuffled, market, _ONCE, 1.0) - 0.5)) < 0.1
    np.testing.assert_array_equal(soft_labels(won, -market, _ONCE, 1.0), 0.5)  # nor does one that favours losers


def test_results_that_a_refit_has_not_seen_change_no_label_of_others() -> None:
    won, market, _ = _market()
    weight = np.where(np.arange(_FIGHTS) < 1000, 0, 1 + np.arange(_FIGHTS) % 2)
    seen = weight > 0
    labels = soft_labels(won, market, weight, 0.5)
    others = soft_labels(np.where(seen, won, 1 - won).astype(np.int8), market, weight, 0.5)
    np.testing.assert_array_equal(labels[seen], others[seen])
    assert np.any(labels != soft_labels(np.where(seen, 1 - won, won).astype(np.int8), market, weight, 0.5))
    twice = np.repeat(np.arange(_FIGHTS), weight)
    np.testing.assert_allclose(
        labels[twice], soft_labels(won[twice], market[twice], np.ones(len(twice), dtype=np.int64), 0.5), atol=1e-12
    )


def _fold(matrix: TrainingMatrix, config: TrainingConfig, index: int = 1) -> np.ndarray:
    part = RefitBatch(RefitPurpose.FOLD, index, index + 1)
    return Trainer(matrix, config).run(part, TrainingLimits(100, 1e6))[LOGIT]


def test_a_fold_s_results_and_odds_change_nothing_of_its_own_logits(
    league_matrix: TrainingMatrix, small_training: TrainingConfig
) -> None:
    expected = _fold(league_matrix, small_training)
    fold = np.isfinite(expected)

    def changed(rows: np.ndarray) -> np.ndarray:
        red, blue = league_matrix.red_odds, league_matrix.blue_odds
        odds = (np.where(rows, blue, red), np.where(rows, red, blue))
        won = np.where(rows, 1 - league_matrix.won, league_matrix.won).astype(np.int8)
        return _fold(replace(league_matrix, won=won, red_odds=odds[0], blue_odds=odds[1]), small_training)

    np.testing.assert_array_equal(changed(fold), expected)
    assert np.any(changed(~fold)[fold] != expected[fold])


def test_odds_teach_where_there_are_some(league_matrix: TrainingMatrix, small_training: TrainingConfig) -> None:
    """A model that learns from prices comes closer to those of fights it has not seen."""
    none = np.full(len(league_matrix), np.nan)
    blind = replace(league_matrix, red_odds=none, blue_odds=none)
    by_results = _fold(league_matrix, replace(small_training, teaching=0.0))
    np.testing.assert_array_equal(_fold(blind, small_training), by_results)
    taught, market = _fold(league_matrix, small_training), market_logit(league_matrix)
    scored = np.isfinite(taught) & np.isfinite(market)
    assert np.corrcoef(taught[scored], market[scored])[0, 1] > np.corrcoef(by_results[scored], market[scored])[0, 1]


def _table() -> tuple[np.ndarray, np.ndarray]:
    """Rows, and labels of which the first feature decides: 0.35 or 0.65."""
    X = np.random.default_rng(0).normal(size=(600, 4))
    return X, np.where(X[:, 0] > 0.0, 0.65, 0.35)


def _by_forest(X: np.ndarray, won: np.ndarray) -> np.ndarray:
    cuts = BinEdges.from_matrix(SharedRows.from_values(X, MemberParams().xgboost).cuts)
    ones, params = np.ones(len(X), dtype=np.int64), ForestParams(trees=30)
    forest = grow_forest(cuts, cuts.encode_for_training(X), won, ones, params, np.arange(30, dtype=np.uint64))
    return forest.predict_replicas(X)[0]


def _by_xgboost(X: np.ndarray, won: np.ndarray) -> np.ndarray:
    config, stop = MemberParams().xgboost, np.arange(len(X)) % 5 == 0
    rows = SharedRows.from_values(X, config)
    held_out: ValidationSet = rows.validation_set(won, stop)
    boosted = boost(rows.training_matrix(won, ~stop, config), held_out, config, TrainingLimits(100, 1e6))
    margin = boosted.booster[: boosted.best_iteration + 1].predict(xgb.DMatrix(held_out.values), output_margin=True)
    loss = -np.mean(won[stop] * np.log(expit(margin)) + (1 - won[stop]) * np.log(expit(-margin)))
    assert boosted.log_losses[boosted.best_iteration] == pytest.approx(loss, abs=1e-6)
    return np.asarray(boosted.booster.inplace_predict(X))


def _by_network(X: np.ndarray, won: np.ndarray) -> np.ndarray:
    return fit_network(X, won, None, NetworkParams(epochs=40), 0).predict_replicas(X)[0]


@pytest.mark.parametrize("learn", [_by_forest, _by_xgboost, _by_network])
def test_every_member_learns_shares_of_a_win(learn: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> None:
    X, won = _table()
    assert np.mean(np.abs(learn(X, won) - won)) < 0.06  # rounded to results, labels would be 0.35 away


def test_a_network_learns_results_as_scikit_learn_s_own_does() -> None:
    X, won = _table()
    results = (won > 0.5).astype(np.int8)
    network = fit_network(X, results, None, NetworkParams(epochs=3), seed=1)
    own = MLPClassifier((64, 32), alpha=1e-2, batch_size=200, learning_rate_init=1e-3, random_state=1)
    with one_blas_thread():
        rows = StandardScaler().fit_transform(X, sample_weight=np.ones(len(X)))
        for _ in range(3):
            own.partial_fit(rows, results, sample_weight=np.ones(len(X)), classes=[0, 1])
    for ours, theirs in zip((*network.weights, *network.biases), (*own.coefs_, *own.intercepts_), strict=True):
        np.testing.assert_array_equal(ours[0].reshape(theirs.shape), theirs)


def test_a_forest_takes_a_share_for_so_many_rows_of_either_result() -> None:
    """A leaf's value and its splits are those of rows that were won and lost in the label's proportion."""
    X, _ = _table()
    won = np.random.default_rng(1).integers(0, 5, len(X)) / 4.0
    cuts = BinEdges.from_matrix(SharedRows.from_values(X, MemberParams().xgboost).cuts)
    params, seeds = ForestParams(trees=1, max_depth=1, max_features=1.0), np.arange(1, dtype=np.uint64)
    ones = np.ones(len(X), dtype=np.int64)
    drawn = grow_forest(cuts, cuts.encode_for_training(X), won, ones, params, seeds).predict_replicas(X)[0]
    assert len(np.unique(drawn)) == 2
    assert won.min() < drawn.min() < won.mean() < drawn.max() < won.max()
