"""Estimators of a usual size, fitted on real fights, imported with intervals that are held against later odds."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pytest
import xgboost as xgb
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from engine.data.features import build_matrix
from engine.ensemble import ProductionEnsembleManager, create_production_ensemble_config
from engine.importing.external_estimators import unwrap
from engine.importing.import_ensemble import import_ensemble
from engine.training.soft_labels import market_logit
from tests.support.real_fights import needs_real_fights, real_log, real_replay

WEIGHTS = {"random_forest": 0.40, "xgboost": 0.35, "neural_network": 0.25}


@pytest.mark.data
@needs_real_fights
@pytest.mark.filterwarnings("ignore")
def test_intervals_measured_on_two_years_hold_in_the_next() -> None:
    matrix = build_matrix(real_log(), rated=real_replay())
    then, later = np.datetime64("2021-01-01"), np.datetime64("2023-01-01")
    past, unseen, coming = (
        matrix.take(rows)
        for rows in (matrix.date < then, (matrix.date >= then) & (matrix.date < later), matrix.date >= later)
    )
    X, won = past.X, past.won.astype(int)

    def behind(*steps: Any) -> Any:
        return make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), *steps).fit(X, won)

    parts = {
        "random_forest": behind(RandomForestClassifier(300, random_state=0, n_jobs=2)),
        "xgboost": xgb.XGBClassifier(n_estimators=100, max_depth=6, learning_rate=0.05, n_jobs=1).fit(X, won),
        "neural_network": behind(StandardScaler(), MLPClassifier((64, 32), max_iter=20, alpha=1.0, random_state=0)),
    }
    imported = import_ensemble(
        {name: unwrap(name, estimator) for name, estimator in parts.items()},
        list(X.columns),
        WEIGHTS,
        trained_until=datetime.date(2020, 12, 31),
        sources={name: {"sha256": name} for name in parts},
        unseen=unseen,
    )
    assert imported.max_difference < 1e-6
    manager = ProductionEnsembleManager.from_ensemble(
        imported.ensemble, create_production_ensemble_config(bootstrap_samples=0)
    )
    answers = manager.predict_fights(
        coming.X, [("red", "blue")] * len(coming), corners=["red"] * len(coming), experience=coming.experience.tolist(),
        levels=(0.8, 0.95),
    )  # fmt: skip
    original = sum(WEIGHTS[name] * estimator.predict_proba(coming.X)[:, 1] for name, estimator in parts.items())
    assert np.abs(np.array([answer.probability for answer in answers]) - original).max() < 1e-6
    market = 1.0 / (1.0 + np.exp(-market_logit(coming)))
    priced = np.isfinite(market)
    assert priced.sum() > 500
    for level, least in ((0.8, 0.72), (0.95, 0.90)):
        low, high = np.array([answer.intervals[level] for answer in answers]).T
        assert least < ((low <= market) & (market <= high))[priced].mean() < level + 0.08
