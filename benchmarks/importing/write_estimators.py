"""Writer of fitted estimators as joblib files, with their own probabilities: `foreign_writer.py FOLDER`.

Runs in the environment whose files are tested, and needs only scikit-learn, XGBoost, joblib and numpy, in any version.
Each estimator becomes `NAME.joblib`, where NAME begins with its member. `probabilities.npz` holds `rows` (with missing
values), `whole_rows` (without) and P(class 1) by name, NaN for rows that the estimator does not accept.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import platform
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import sklearn
import xgboost
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

FEATURES = 7
NETWORK = {"hidden_layer_sizes": (8, 4), "max_iter": 30, "random_state": 0}


def main(folder: Path) -> None:
    """Fit every estimator, and write it with its probabilities."""
    folder.mkdir(parents=True, exist_ok=True)
    X, won = _fights(300, seed=1)
    whole = np.where(np.isnan(X), 0.0, X)
    rows = _fights(100, seed=2)[0]
    answers = {"rows": rows, "whole_rows": np.where(np.isnan(rows), 0.5, rows)}
    for name, estimator in {**_forests(X, whole, won), **_boosters(X, won), **_networks(X, whole, won)}.items():
        joblib.dump(estimator, folder / f"{name}.joblib", compress=3)
        for which in ("rows", "whole_rows"):
            answers[f"{name}/{which}"] = _probability(estimator, answers[which])
    np.savez_compressed(folder / "probabilities.npz", **answers)
    versions = {"scikit-learn": sklearn.__version__, "xgboost": xgboost.__version__, "numpy": np.__version__}
    (folder / "versions.json").write_text(json.dumps({"python": platform.python_version(), **versions}))


def _fights(rows: int, seed: int) -> tuple[Any, Any]:
    rng = np.random.RandomState(seed)
    X = rng.normal(size=(rows, FEATURES)) * [3, 1, 5, 3, 1, 5, 1]
    chance = 1 / (1 + np.exp(-(X[:, 0] - X[:, 3]) / 2 - X[:, 1] + X[:, 4]))
    won = (rng.uniform(size=rows) < chance).astype(int)
    X[rng.uniform(size=X.shape) < 0.1] = np.nan
    return X, won


def _forest(trees: int = 12, **options: Any) -> RandomForestClassifier:
    return RandomForestClassifier(trees, random_state=0, **options)


def _forests(X: Any, whole: Any, won: Any) -> dict[str, Any]:
    fitted = {
        "random_forest-grown_out": _forest().fit(whole, won),
        "random_forest-depth_5": _forest(max_depth=5).fit(whole, won),
        "random_forest-few_rows": _forest().fit(whole[:40], won[:40]),
        "random_forest-balanced": _forest(max_depth=5, class_weight="balanced").fit(whole, won),
        "random_forest-weighted": _forest(max_depth=5).fit(whole, won, sample_weight=np.linspace(0.1, 2.0, len(won))),
        "random_forest-imputer": make_pipeline(SimpleImputer(strategy="median"), _forest(max_depth=5)).fit(X, won),
        "random_forest-scaler_imputer": make_pipeline(StandardScaler(), SimpleImputer(), _forest()).fit(X, won),
        "random_forest-trees_set_later": _forest(max_depth=5).fit(whole, won).set_params(n_estimators=3),
    }
    warm = _forest(6, max_depth=5, warm_start=True).fit(whole, won)
    fitted["random_forest-warm_start"] = warm.set_params(n_estimators=15).fit(whole, won)
    with contextlib.suppress(ValueError):  # before scikit-learn 1.4
        fitted["random_forest-missing"] = _forest(max_depth=5).fit(X, won)
    return fitted


def _boosters(X: Any, won: Any) -> dict[str, Any]:
    def classifier(**options: Any) -> Any:
        return xgboost.XGBClassifier(
            **{"n_estimators": 25, "max_depth": 3, "learning_rate": 0.2, "n_jobs": 1, **options}
        )

    pair, rest = [(X[200:], won[200:])], (X[:200], won[:200])
    fitted = {
        "xgboost-plain": classifier().fit(X, won),
        "xgboost-base_score": classifier(base_score=0.3).fit(X, won),
        "xgboost-scale_pos_weight": classifier(scale_pos_weight=3.0).fit(X, won),
        "xgboost-imputer": make_pipeline(SimpleImputer(), classifier()).fit(X, won),
        "xgboost-trees_set_later": classifier().fit(X, won).set_params(n_estimators=3),
        "xgboost-parallel_trees": classifier(n_estimators=6, num_parallel_tree=3, subsample=0.7).fit(X, won),
        "xgboost-booster": classifier().fit(X, won).get_booster(),
    }
    fitted["xgboost-continued"] = classifier().fit(X, won, xgb_model=fitted["xgboost-plain"].get_booster())
    stopping = {"n_estimators": 200, "learning_rate": 0.5}
    if "early_stopping_rounds" in inspect.signature(xgboost.XGBClassifier.fit).parameters:
        stopped = classifier(**stopping).fit(*rest, eval_set=pair, early_stopping_rounds=5, verbose=False)
        fitted["xgboost-stopped_by_fit"] = stopped
    if "early_stopping_rounds" in inspect.signature(xgboost.XGBModel.__init__).parameters:
        stopped = classifier(early_stopping_rounds=5, **stopping).fit(*rest, eval_set=pair, verbose=False)
        fitted["xgboost-stopped"] = stopped
        later = classifier(early_stopping_rounds=5, **stopping).fit(*rest, eval_set=pair, verbose=False)
        fitted["xgboost-stopping_unset_later"] = later.set_params(early_stopping_rounds=None)
    if "callbacks" in inspect.signature(xgboost.XGBModel.__init__).parameters:
        callbacks = [xgboost.callback.EarlyStopping(rounds=5)]
        called = classifier(callbacks=callbacks, **stopping).fit(*rest, eval_set=pair, verbose=False)
        fitted["xgboost-stopped_by_callback"] = called
    data, watched = xgboost.DMatrix(rest[0], rest[1]), xgboost.DMatrix(*pair[0])
    fitted["xgboost-stopped_booster"] = xgboost.train(
        {"objective": "binary:logistic", "eta": 0.5, "max_depth": 3},
        data,
        200,
        evals=[(watched, "later")],
        early_stopping_rounds=5,
        verbose_eval=False,
    )
    return fitted


def _networks(X: Any, whole: Any, won: Any) -> dict[str, Any]:
    def network(**options: Any) -> MLPClassifier:
        return MLPClassifier(**{**NETWORK, **options})

    return {
        "neural_network-alone": network().fit(whole, won),
        "neural_network-imputer": make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), network()).fit(
            X, won
        ),
        "neural_network-robust": make_pipeline(SimpleImputer(), RobustScaler(), network()).fit(X, won),
        "neural_network-ranged": make_pipeline(SimpleImputer(), MinMaxScaler(), network()).fit(X, won),
        "neural_network-stopped": make_pipeline(
            SimpleImputer(), StandardScaler(), network(early_stopping=True, max_iter=200)
        ).fit(X, won),
        "neural_network-warm_start": network(warm_start=True).fit(whole, won).fit(whole, won),
        "neural_network-lbfgs": make_pipeline(StandardScaler(), network(solver="lbfgs")).fit(whole, won),
    }


def _probability(estimator: Any, rows: Any) -> Any:
    try:
        if isinstance(estimator, xgboost.Booster):
            return np.asarray(estimator.predict(xgboost.DMatrix(rows)), dtype=float)
        return np.asarray(estimator.predict_proba(rows)[:, 1], dtype=float)
    except ValueError:  # missing values that it does not take
        return np.full(len(rows), np.nan)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
