"""Estimators that other versions have saved answer as those versions did, or are refused with both versions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost as xgb
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree._tree import Tree

from engine.errors import ValidationError
from engine.importing.external_estimators import unwrap
from engine.importing.joblib_files import JoblibFile
from tests.support.foreign_estimators import COLUMNS, SHORT, boosted, fights, forest, plain_system
from tests.unit.engine.importing.test_import_ensemble import imported

pytestmark = [pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"), pytest.mark.slow]

# Written by scikit-learn 1.3.2 and XGBoost 1.7.6 with `benchmarks/importing/write_estimators.py`, their answers beside
# them.
FILES = Path(__file__).with_name("foreign_files")
SAVED_BY = {"scikit-learn": "1.3.2", "xgboost": "1.7.6"}


def test_a_file_names_its_versions() -> None:
    assert JoblibFile.from_path(FILES / "xgboost-stopped_by_fit.joblib").versions["xgboost"] == "1.7.6"
    assert JoblibFile.from_path(FILES / "neural_network-imputer.joblib").versions == {"scikit-learn": "1.3.2"}


def counts(model: RandomForestClassifier) -> RandomForestClassifier:
    """As scikit-learn before 1.4 kept it: counts in the leaves."""
    for tree in model.estimators_:
        tree.tree_.value[:] *= tree.tree_.weighted_n_node_samples[:, None, None]
    return model


def test_leaves_with_counts_become_shares() -> None:
    X, won = fights(missing=False)
    model = forest().fit(X, won)
    before = model.predict_proba(X)[:, 1]
    part = unwrap("random_forest", counts(model))
    assert np.abs(part.predict(X.to_numpy()) - before).max() < 1e-12


def test_what_is_no_probability_is_no_original(monkeypatch: pytest.MonkeyPatch) -> None:
    system = plain_system()
    parts = {SHORT[name]: unwrap(SHORT[name], estimator, SAVED_BY) for name, estimator in system.items()}
    monkeypatch.setattr(RandomForestClassifier, "predict_proba", lambda self, X: np.full((len(X), 2), 18.0))
    with pytest.raises(
        ValidationError, match=r"random_forest predicts 18, which is no probability; .* scikit-learn 1\.3\.2"
    ):
        parts["random_forest"].predict(fights(10)[0].to_numpy())


@pytest.mark.parametrize(
    ("change", "trees"),
    [
        (lambda model: model.set_params(early_stopping_rounds=None), "best"),
        (lambda model: model.set_params(n_estimators=3), "best"),
        (lambda model: model.get_booster().set_attr(best_iteration=None), "all"),
        (lambda model: model.get_booster().set_attr(best_iteration="4"), 5),
    ],
)
def test_the_number_of_trees_is_that_of_its_own_answer(change: Callable[[Any], None], trees: Any) -> None:
    X, won = fights()
    model = boosted(X, won)
    wanted = {"best": model.best_iteration + 1, "all": model.get_booster().num_boosted_rounds()}.get(trees, trees)
    change(model)
    made = imported({**plain_system(), "xgb": model}, COLUMNS)
    assert made.max_difference <= 1e-6
    assert len(made.ensemble.point.xgboost.trees.first) - 1 == 1
    assert int(np.diff(made.ensemble.point.xgboost.trees.first)[0]) == wanted


def test_trees_of_a_callback_and_of_a_warm_start_count_as_the_original_counts_them() -> None:
    X, won = fights()
    stopped = xgb.XGBClassifier(n_estimators=200, learning_rate=0.5, callbacks=[xgb.callback.EarlyStopping(rounds=3)])
    stopped.fit(X[:-200], won[:-200], eval_set=[(X[-200:], won[-200:])], verbose=False)
    warm = RandomForestClassifier(4, max_depth=4, warm_start=True, random_state=0).fit(X, won)
    warm.set_params(n_estimators=9).fit(X, won).set_params(n_estimators=2)
    made = imported({**plain_system(), "xgb": stopped, "rf": warm}, COLUMNS)
    assert made.max_difference <= 1e-6
    assert int(np.diff(made.ensemble.point.random_forest.trees.first)[0]) == 9
    assert int(np.diff(made.ensemble.point.xgboost.trees.first)[0]) == stopped.best_iteration + 1


def removed(name: str, step: int | None = None) -> Callable[[Any], None]:
    return lambda estimator: delattr(estimator if step is None else estimator.steps[step][1], name)


def replaced(name: str, value: Any, step: int | None = None) -> Callable[[Any], None]:
    return lambda estimator: setattr(estimator if step is None else estimator.steps[step][1], name, value)


@pytest.mark.parametrize(
    ("short", "change"),
    [
        ("rf", removed("steps")),
        ("rf", removed("statistics_", 0)),
        ("rf", replaced("statistics_", "x", 0)),
        ("rf", removed("estimators_", 1)),
        ("rf", replaced("estimators_", [None], 1)),
        ("rf", replaced("estimators_", [], 1)),
        ("rf", removed("n_features_in_", 1)),
        ("rf", replaced("classes_", None, 1)),
        ("nn", removed("coefs_", 2)),
        ("nn", removed("intercepts_", 2)),
        ("nn", removed("out_activation_", 2)),
        ("nn", replaced("n_layers_", 9, 2)),
        ("nn", replaced("coefs_", [np.zeros((3, 2))], 2)),
        ("nn", removed("scale_", 1)),
        ("nn", replaced("scale_", np.ones(3), 1)),
        ("xgb", removed("_Booster")),
        ("xgb", replaced("_Booster", None)),
        ("xgb", replaced("missing", "none")),
        ("xgb", lambda model: model.get_booster().set_attr(best_iteration="many")),
        ("xgb", lambda model: model.get_booster().set_attr(best_iteration="100000")),
        ("xgb", lambda model: model.get_booster().set_attr(best_iteration="-7")),
    ],
)
def test_nothing_inside_an_object_escapes(short: str, change: Callable[[Any], None]) -> None:
    system = plain_system()
    change(system[short])
    with pytest.raises(ValidationError):
        imported(system, COLUMNS)


def changed_tree(model: RandomForestClassifier, column: str, value: int) -> None:
    tree = model.estimators_[0].tree_
    state = tree.__getstate__()
    nodes = state["nodes"].copy()
    nodes[column][0] = value
    other = Tree(tree.n_features, np.array([2]), 1)
    other.__setstate__({**state, "nodes": nodes})
    model.estimators_[0].tree_ = other


@pytest.mark.parametrize(
    ("column", "value"),
    [("left_child", 0), ("right_child", 10**6), ("left_child", -9), ("feature", 99), ("feature", -2)],
)
def test_a_tree_that_would_lead_astray_is_refused_before_it_predicts(column: str, value: int) -> None:
    X, won = fights(missing=False)
    model = forest().fit(X, won)
    changed_tree(model, column, value)
    with pytest.raises(ValidationError, match="random_forest has nodes that do not form a tree"):
        unwrap("random_forest", model)
