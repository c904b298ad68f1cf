"""Fitted estimators as another system would have saved them, and the fights that they learnt from."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import xgboost as xgb
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from engine.data.feature_matrix import TrainingMatrix

COLUMNS = [f"{side}_{name}" for side in ("red", "blue") for name in ("reach", "age", "elo")] + ["rounds"]
WEIGHTS = {"random_forest": 0.40, "xgboost": 0.35, "neural_network": 0.25}
SHORT = {"rf": "random_forest", "xgb": "xgboost", "nn": "neural_network"}


def fights(rows: int = 900, seed: int = 1, *, missing: bool = True) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Rows with uneven scales, a tenth of the values missing, and who won."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, len(COLUMNS))) * [7, 4, 90, 7, 4, 90, 1] + [180, 30, 1500, 180, 30, 1500, 3]
    logit = (X[:, 0] - X[:, 3]) / 10 + (X[:, 2] - X[:, 5]) / 150 + 0.3
    won = (rng.random(rows) < expit(logit)).astype(np.int64)
    if missing:
        X[rng.random(X.shape) < 0.1] = np.nan
    return pd.DataFrame(X, columns=COLUMNS), won


def forest(**options: Any) -> RandomForestClassifier:
    return RandomForestClassifier(n_estimators=30, max_depth=8, random_state=0, **options)


def network(**options: Any) -> MLPClassifier:
    return MLPClassifier((16, 8), max_iter=20, early_stopping=True, random_state=0, **options)


def boosted(X: pd.DataFrame, won: NDArray[np.int64], *, stop: bool = True) -> xgb.XGBClassifier:
    """As the migration guide's step 3 trains it."""
    model = xgb.XGBClassifier(
        n_estimators=300, max_depth=6, learning_rate=0.05, early_stopping_rounds=20 if stop else None, n_jobs=1
    )
    return model.fit(X[:-200], won[:-200], eval_set=[(X[-200:], won[-200:])], verbose=False)


def plain_system() -> dict[str, Any]:
    """The three estimators by their short names. They are fitted once, and each call returns others."""
    return dict(pickle.loads(_plain_system()))  # noqa: S301 - our own


@cache
def _plain_system() -> bytes:
    X, won = fights()
    return pickle.dumps(
        {
            "rf": make_pipeline(SimpleImputer(strategy="median"), forest()).fit(X, won),
            "xgb": boosted(X, won),
            "nn": make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), network()).fit(X, won),
        }
    )


def other_systems() -> dict[str, Callable[[], dict[str, Any]]]:
    """What fits others: whatever stands before the classifiers, and what takes no missing values."""
    X, won = fights()
    whole, its = fights(missing=False)
    plain = plain_system()
    return {
        "scaled forest": lambda: plain | {"rf": make_pipeline(SimpleImputer(), RobustScaler(), forest()).fit(X, won)},
        "scaler before imputer": lambda: (
            plain | {"rf": make_pipeline(StandardScaler(), SimpleImputer(), forest()).fit(X, won)}
        ),
        "forest alone": lambda: plain | {"rf": forest().fit(X, won)},
        "grown out forest": lambda: plain | {"rf": RandomForestClassifier(10, random_state=1).fit(X, won)},
        "ranged network": lambda: plain | {"nn": make_pipeline(SimpleImputer(), MinMaxScaler(), network()).fit(X, won)},
        "network without imputer": lambda: plain | {"nn": make_pipeline(StandardScaler(), network()).fit(whole, its)},
        "not stopped early": lambda: plain | {"xgb": boosted(X, won, stop=False)},
        "a booster": lambda: plain | {"xgb": boosted(X, won, stop=False).get_booster()},
        "bare arrays": lambda: {
            "rf": forest().fit(X.to_numpy(), won),
            "xgb": xgb.XGBClassifier(n_estimators=20).fit(X.to_numpy(), won),
            "nn": make_pipeline(SimpleImputer(), StandardScaler(), network()).fit(X.to_numpy(), won),
        },
    }


def save(system: dict[str, Any], folder: Path, compress: Any = 3) -> dict[str, Path]:
    """Write them as joblib does; their files by short name."""
    for name, estimator in system.items():
        joblib.dump(estimator, folder / f"{name}.joblib", compress=compress)
    return {name: folder / f"{name}.joblib" for name in system}


def original(system: dict[str, Any], X: pd.DataFrame) -> NDArray[np.float64]:
    """P(red wins) as the system itself says."""

    def p(estimator: Any) -> Any:
        if isinstance(estimator, xgb.Booster):
            return estimator.predict(xgb.DMatrix(X)).astype(float)
        named = getattr(estimator, "feature_names_in_", None)
        return estimator.predict_proba(X if named is not None else X.to_numpy())[:, 1]

    return sum(WEIGHTS[SHORT[name]] * p(estimator) for name, estimator in system.items())  # type: ignore[return-value]


def later_fights(system: dict[str, Any], first: str = "2024-06-01", *, odds: bool = True) -> TrainingMatrix:
    """Fights after its training, whose closing odds are near the truth, which is near what it says."""
    X, _ = fights(600, seed=10)
    rng = np.random.default_rng(11)
    truth = logit(original(system, X).clip(0.02, 0.98)) + rng.normal(0.0, 0.4, 600)
    won = (rng.random(600) < expit(truth)).astype(np.int8)
    price = 1.0 / (1.04 * np.column_stack([expit(truth), expit(-truth)]))
    return TrainingMatrix(
        X=X,
        won=won,
        event=(np.arange(600) // 10).astype(str),
        date=np.datetime64(first) + np.arange(600) // 10,
        red_odds=price[:, 0] if odds else np.full(600, np.nan),
        blue_odds=price[:, 1] if odds else np.full(600, np.nan),
        corner_known=np.zeros(600, dtype=np.bool_),
        experience=np.full(600, -1),
    )
