from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from engine.errors import BootstrapError, ValidationError
from engine.members.feature_bins import BinEdges
from engine.members.flat_trees import NODE_LAYOUTS, FlatTrees, _widen
from engine.members.random_forest import FlatForests, ForestParams, grow_forest

_PARAMS = ForestParams(trees=7, max_depth=6, min_samples_leaf=3)


def _rows(n: int, seed: int = 0, missing: float = 0.15) -> np.ndarray:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 6))
    X[:, 3:] = np.round(X[:, 3:])  # ties
    X[:, 5] = np.where(rng.random(n) < 0.5, np.nan, 0.0)  # splits on nothing but being missing
    X[:, :5][rng.random((n, 5)) < missing] = np.nan
    return X


@pytest.fixture(scope="module")
def models() -> list[RandomForestClassifier]:
    X = _rows(600)
    rng = np.random.default_rng(1)
    won = (np.nan_to_num(X[:, 0]) + np.isnan(X[:, 5]) + rng.normal(size=600) > 0.5).astype(np.int8)
    weights = [rng.multinomial(600, np.ones(600) / 600).astype(float) for _ in range(4)]
    return [
        RandomForestClassifier(7, max_depth=6, min_samples_leaf=3, random_state=seed).fit(X, won, sample_weight=weight)
        for seed, weight in enumerate(weights)
    ]


def _grown(n: int = 600, seed: int = 1, params: ForestParams = _PARAMS) -> FlatForests:
    X = _rows(n)
    cuts = _cuts(X)
    won = (np.nan_to_num(X[:, 0]) + np.isnan(X[:, 5]) > 0.5).astype(float)
    seeds = np.random.SeedSequence(seed).generate_state(params.trees, np.uint64)
    return grow_forest(cuts, cuts.encode_for_training(X), won, np.ones(n, dtype=np.int64), params, seeds)


def _cuts(X: np.ndarray) -> BinEdges:
    quantiles = np.nanquantile(X, np.linspace(0, 1, 40), axis=0)
    column = np.tile(np.arange(X.shape[1]), (40, 1))
    return BinEdges.from_thresholds(column.ravel(), quantiles.ravel().astype(np.float32), X.shape[1])


@pytest.fixture(scope="module")
def forests() -> FlatForests:
    return FlatForests.concatenate([_grown(seed=seed) for seed in range(4)])


@pytest.mark.parametrize("missing", [0.0, 0.15, 0.9])
def test_predictions_are_those_of_scikit_learn(models: list[RandomForestClassifier], missing: float) -> None:
    X = _rows(700, seed=2, missing=missing)
    for model in models:
        flat = FlatForests.from_forest(model).predict_replicas(X)[0]
        np.testing.assert_allclose(flat, model.predict_proba(X)[:, 1], rtol=2e-7, atol=1e-40)


def test_large_trees_of_scikit_learn_take_wide_nodes_and_say_the_same() -> None:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(9000, 5))
    X[rng.random(X.shape) < 0.1] = np.nan
    won = rng.random(9000) < 0.5
    model = RandomForestClassifier(2, max_features=None, bootstrap=False, random_state=0).fit(X, won.astype(int))
    flat = FlatForests.from_forest(model)
    assert flat.trees.nodes.dtype == np.uint64
    assert flat.trees.cuts.dtype == np.uint16
    np.testing.assert_allclose(flat.predict_replicas(X)[0], model.predict_proba(X)[:, 1], rtol=2e-7, atol=1e-40)


@pytest.mark.slow
@pytest.mark.parametrize("leaves", [2, 8, 40, None])
@pytest.mark.parametrize("kind", [np.uint32, np.uint64])
def test_rows_that_are_swept_together_get_the_bits_of_rows_that_walk_alone(
    leaves: int | None, kind: type[np.unsignedinteger[Any]]
) -> None:
    """Blocks of 16 to 256 rows; trees of one split, of three levels, lopsided ones, and trees with more than a byte."""
    X = _rows(700)
    model = RandomForestClassifier(
        3, max_leaf_nodes=leaves, max_depth=3 if leaves == 8 else None, min_samples_leaf=1, random_state=0
    )
    grown = FlatForests.from_forest(model.fit(X, np.nan_to_num(X[:, 0]) * X[:, 1] > 0)).trees
    trees = replace(grown, nodes=_widen(grown.nodes, np.dtype(kind)))
    assert trees.nodes.dtype == kind
    expected = _walk_alone(trees, X)
    for rows in (1, 12, 16, 17, 24, 32, 33, 64, 65, 128, 129, 256, 257, 700):
        np.testing.assert_array_equal(trees.leaf_sums(X[:rows], 0, None), expected[:, :rows])


def _walk_alone(trees: FlatTrees, X: np.ndarray) -> np.ndarray:
    """Return the sums of leaf values, node by node in Python."""
    codes, nodes = trees.cuts.encode(X).tolist(), trees.nodes.tolist()
    cut_mask, column_shift, column_mask, offset_shift = (int(part) for part in trees.layout)
    sums = np.zeros((1, len(X)))
    for row, code in enumerate(codes):
        for node in trees.starts.tolist():
            while not (word := nodes[node]) & 1:
                right = code[word >> column_shift & column_mask] > (word >> 1 & cut_mask)
                node += (word >> offset_shift) + right
            sums[0, row] += trees.leaf_values[node]
    return sums


@pytest.mark.slow
def test_narrow_nodes_say_the_same_after_joining_wide_ones() -> None:
    few = _grown()
    wide = replace(few.trees, nodes=np.empty(0, np.uint64), starts=few.trees.starts[:0], first=np.array([0]))
    joined = type(few.trees).concatenate([few.trees, wide])
    assert [few.trees.nodes.dtype, joined.nodes.dtype] == list(NODE_LAYOUTS)
    X = _rows(50)
    np.testing.assert_array_equal(FlatForests(joined).predict_replicas(X), few.predict_replicas(X))


@pytest.mark.slow
def test_forests_are_as_good_as_those_of_scikit_learn() -> None:
    """On coded rows, mean log loss of ten forests each; a forest's own varies by about 0.003 over seeds."""
    X = _rows(3000, missing=0.05)
    chance = 1 / (1 + np.exp(-1.5 * np.nan_to_num(X[:, 0] + X[:, 1] * X[:, 2]) - np.isnan(X[:, 5])))
    won = (np.random.default_rng(4).random(3000) < chance).astype(float)
    cuts = _cuts(X)
    codes = cuts.encode_for_training(X)
    known = np.asfortranarray(codes[:2000])  # as in a training
    coded = np.where(codes == cuts.missing_code, np.nan, codes.astype(float))
    past, rest = slice(0, 2000), slice(2000, None)
    params = ForestParams(trees=30, min_samples_leaf=5)

    def loss(p: np.ndarray) -> float:
        return float(-np.mean(np.log(np.where(won[rest] == 1, p, 1 - p))))

    ours, theirs = [], []
    for seed in range(10):
        seeds = np.random.SeedSequence(seed).generate_state(params.trees, np.uint64)
        forest = grow_forest(cuts, known, won[past], np.ones(2000, dtype=np.int64), params, seeds)
        ours.append(loss(forest.predict_replicas(X[rest])[0]))
        model = RandomForestClassifier(params.trees, max_depth=10, min_samples_leaf=5, random_state=seed)
        theirs.append(loss(model.fit(coded[past], won[past]).predict_proba(coded[rest])[:, 1]))
    assert abs(np.mean(ours) - np.mean(theirs)) < 0.01
    assert np.mean(ours) < 0.66 < loss(np.full(1000, won[past].mean()))


def test_leaves_keep_their_size_and_trees_their_depth() -> None:
    forest = _grown(params=ForestParams(trees=5, max_depth=3, min_samples_leaf=40)).trees
    assert forest.depths.max() <= 3
    assert len(forest.nodes) <= 5 * 15


def test_a_weight_counts_as_so_many_rows_and_none_as_no_row() -> None:
    X = _rows(400)
    cuts = _cuts(X)
    codes, won = cuts.encode_for_training(X), (X[:, 3] > 0).astype(float)
    seeds = np.arange(3, dtype=np.uint64)
    weight = np.arange(400) % 3
    some = grow_forest(cuts, codes, won, weight, _PARAMS, seeds)
    kept = weight > 0
    others = np.asfortranarray(codes[kept])
    np.testing.assert_array_equal(
        some.trees.nodes, grow_forest(cuts, others, won[kept], weight[kept], _PARAMS, seeds).trees.nodes
    )
    with pytest.raises(ValidationError, match="all weights are 0"):
        grow_forest(cuts, codes, won, np.zeros(400, dtype=np.int64), _PARAMS, seeds)


def test_rows_on_a_threshold_go_where_scikit_learn_sends_them(models: list[RandomForestClassifier]) -> None:
    trees = [estimator.tree_ for estimator in models[0].estimators_]
    thresholds = np.concatenate([tree.threshold[tree.feature == 0] for tree in trees])
    near = np.unique(thresholds.astype(np.float32))
    near = np.concatenate([near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))])
    X = np.zeros((len(near), 6))
    X[:, 0] = near
    flat = FlatForests.from_forest(models[0]).predict_replicas(X)[0]
    np.testing.assert_allclose(flat, models[0].predict_proba(X)[:, 1], rtol=2e-7, atol=1e-40)


def test_a_forest_depends_on_its_seeds_and_not_on_threads() -> None:
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda _: _grown(seed=5).trees.nodes, range(8)))
    assert all(np.array_equal(nodes, again[0]) for nodes in again)
    assert not np.array_equal(again[0], _grown(seed=6).trees.nodes)


def test_arrays_survive_a_read_only_memory_map(forests: FlatForests, tmp_path: Path) -> None:
    for name, array in forests.to_arrays().items():
        np.save(tmp_path / f"{name}.npy", array)
    arrays = {path.stem: np.load(path, mmap_mode="r") for path in tmp_path.iterdir()}
    mapped = FlatForests.from_arrays(forests.trees.cuts, arrays)
    X = _rows(20)
    np.testing.assert_array_equal(mapped.predict_replicas(X), forests.predict_replicas(X))


def test_no_rows_give_no_predictions(forests: FlatForests) -> None:
    assert forests.predict_replicas(np.empty((0, 6))).shape == (4, 0)


def test_rows_that_do_not_fit_are_refused(forests: FlatForests) -> None:
    with pytest.raises(ValidationError, match=r"6 features.*5"):
        forests.predict_replicas(np.zeros((3, 5)))
    with pytest.raises(ValidationError, match=r"infinite.*\[2\]"):
        forests.predict_replicas(np.array([[0, 0, np.inf, 0, 0, 0]]))
    with pytest.raises(BootstrapError, match="there are 4"):
        forests.predict_replicas(np.zeros((3, 6)), 2, 5)


def test_forests_that_do_not_fit_together_are_refused(models: list[RandomForestClassifier]) -> None:
    X = _rows(100)
    with pytest.raises(ValidationError, match=r"classes 0 and 1"):
        FlatForests.from_forest(RandomForestClassifier(2).fit(X, np.ones(100)))
    with pytest.raises(ValidationError, match="same cuts"):
        FlatForests.concatenate([FlatForests.from_forest(model) for model in models[:2]])


@pytest.mark.parametrize(
    "wrong", [{"trees": 0}, {"max_depth": 0}, {"max_depth": 99}, {"max_features": "log2"}, {"max_features": 0.0}]
)
def test_parameters_that_make_no_forest_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong)) if "max_features" in wrong else "forest"):
        ForestParams(**wrong)
