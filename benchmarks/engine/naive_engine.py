"""Naive ensemble, as a competent user of scikit-learn, XGBoost and joblib writes it after reading their documentation.

Every replica is three estimators fitted on its own copy of resampled events, each fight from both sides, in joblib's
processes. The estimators are stored in joblib files and called one after the other with `predict_proba`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier

from engine.data.feature_matrix import TrainingMatrix, mirror

WEIGHTS = {"random_forest": 0.40, "xgboost": 0.35, "neural_network": 0.25}

Floats = NDArray[np.float64]
Replica = dict[str, Any]
"""Fitted estimators by member name."""


def both_sides(matrix: TrainingMatrix) -> tuple[Floats, NDArray[np.int8], NDArray[np.str_]]:
    """Return each fight from both sides: X float64 (2n, f), won (2n,), event (2n,)."""
    X = np.concatenate([matrix.X.to_numpy(np.float64), mirror(matrix.X).to_numpy(np.float64)])
    return X, np.concatenate([matrix.won, 1 - matrix.won]), np.concatenate([matrix.event, matrix.event])


def fit_replica(X: Floats, won: NDArray[np.int8], event: NDArray[np.str_], seed: int) -> Replica:
    """Fit the three members on one resample of events; XGBoost stops early on the events not drawn."""
    names, member = np.unique(event, return_inverse=True)
    drawn = np.random.default_rng(seed).integers(0, len(names), len(names))
    rows = np.concatenate([np.flatnonzero(member == number) for number in drawn])
    rest = ~np.isin(member, drawn)
    forest = RandomForestClassifier(n_estimators=200, max_depth=10, min_samples_leaf=10, random_state=seed)
    booster = XGBClassifier(
        n_estimators=300,
        max_depth=6,
        learning_rate=0.05,
        early_stopping_rounds=20,
        tree_method="hist",
        random_state=seed,
        n_jobs=1,
    )
    network = make_pipeline(
        SimpleImputer(strategy="median"),
        StandardScaler(),
        MLPClassifier((64, 32), early_stopping=True, random_state=seed),
    )
    return {
        "random_forest": forest.fit(X[rows], won[rows]),
        "xgboost": booster.fit(X[rows], won[rows], eval_set=[(X[rest], won[rest])], verbose=False),
        "neural_network": network.fit(X[rows], won[rows]),
    }


def train(matrix: TrainingMatrix, replicas: int, jobs: int) -> list[Replica]:
    """Fit all replicas, in joblib's processes."""
    X, won, event = both_sides(matrix)
    fitted: list[Replica] = joblib.Parallel(n_jobs=jobs)(
        joblib.delayed(fit_replica)(X, won, event, seed) for seed in range(replicas)
    )
    return fitted


def save(replicas: Sequence[Replica], folder: Path) -> list[Path]:
    """Write a joblib file for each member of each replica; return the files."""
    files = []
    for number, replica in enumerate(replicas):
        for name, model in replica.items():
            files.append(folder / f"{name}_{number}.joblib")
            joblib.dump(model, files[-1])
    return files


def load(folder: Path, trained: int, replicas: int) -> list[Replica]:
    """Load `replicas` replicas from the files of the `trained` ones, repeatedly if needed."""
    return [
        {name: joblib.load(folder / f"{name}_{number % trained}.joblib") for name in WEIGHTS}
        for number in range(replicas)
    ]


def predict(replicas: Sequence[Replica], X: Floats) -> Floats:
    """Return the weighted probability of each replica for each row, (replicas, n)."""
    return np.array(
        [sum(weight * replica[name].predict_proba(X)[:, 1] for name, weight in WEIGHTS.items()) for replica in replicas]
    )
