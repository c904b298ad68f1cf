"""Imported estimators say what the originals say, in a bundle like any other, and nothing that they do not know."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost as xgb
from scipy.special import expit, logit
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from engine.data.feature_matrix import mirror
from engine.ensemble import ProductionEnsembleManager, create_production_ensemble_config
from engine.errors import TrainingError, ValidationError
from engine.importing.external_estimators import common_columns, unwrap
from engine.importing.import_ensemble import ImportedModel, import_ensemble
from engine.model.trained_ensemble import load_ensemble, save_ensemble
from tests.support.foreign_estimators import (
    COLUMNS,
    SHORT,
    WEIGHTS,
    boosted,
    fights,
    forest,
    later_fights,
    original,
    other_systems,
    plain_system,
)

pytestmark = [pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"), pytest.mark.slow]

UNTIL = datetime.date(2024, 1, 1)
SOURCES = {name: {"sha256": name} for name in WEIGHTS}
SYSTEMS = [
    "plain",
    "scaled forest",
    "scaler before imputer",
    "forest alone",
    "grown out forest",
    "ranged network",
    "network without imputer",
    "not stopped early",
    "a booster",
    "bare arrays",
]


@pytest.fixture(scope="module")
def systems() -> dict[str, dict[str, Any]]:
    fitted = {"plain": plain_system(), **{name: fit() for name, fit in other_systems().items()}}
    assert list(fitted) == SYSTEMS
    return fitted


def imported(system: dict[str, Any], columns: list[str] | None = None, **options: Any) -> ImportedModel:
    parts = {SHORT[name]: unwrap(SHORT[name], estimator) for name, estimator in system.items()}
    names = common_columns(list(parts.values()), columns)
    return import_ensemble(parts, names, WEIGHTS, **({"trained_until": UNTIL, "sources": SOURCES} | options))


def manager_of(model: ImportedModel) -> ProductionEnsembleManager:
    config = create_production_ensemble_config(bootstrap_samples=0)
    return ProductionEnsembleManager.from_ensemble(model.ensemble, config)


@pytest.mark.parametrize("name", SYSTEMS)
def test_it_says_what_the_originals_say(name: str, systems: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    system = systems[name]
    model = imported(system, COLUMNS)
    assert model.max_difference <= 1e-6
    takes_missing = name != "network without imputer"
    assert model.ensemble.accepts_missing == takes_missing
    X, _ = fights(300, seed=7, missing=takes_missing)
    loaded = ProductionEnsembleManager(create_production_ensemble_config(bootstrap_samples=0))
    loaded.load_models(save_ensemble(model.ensemble, tmp_path).folder)
    answers = loaded.predict_fights(X, [("red", "blue")] * len(X), corners=["red"] * len(X))
    assert np.abs(np.array([one.probability for one in answers]) - original(system, X)).max() < 1e-6
    assert loaded.check_reference_predictions() == 0.0


def test_the_order_of_the_fighters_never_matters(systems: dict[str, dict[str, Any]]) -> None:
    manager = manager_of(imported(systems["plain"]))
    X, _ = fights(100, seed=8)
    pairs, back = [("a", "b")] * 100, [("b", "a")] * 100
    for corner, other in (("red", "blue"), ("blue", "red"), ("unknown", "unknown")):
        first = manager.predict_fights(X, pairs, corners=[corner] * 100)  # type: ignore[list-item]
        second = manager.predict_fights(mirror(X), back, corners=[other] * 100)  # type: ignore[list-item]
        assert all(one.probability == 1.0 - two.probability for one, two in zip(first, second, strict=True))


def test_it_has_no_width_that_nobody_measured(systems: dict[str, dict[str, Any]]) -> None:
    X, _ = fights(3, seed=9)
    for answer in manager_of(imported(systems["plain"])).predict_fights(X, [("a", "b")] * 3, levels=(0.8, 0.95)):
        assert answer.intervals == {}
        assert (answer.interval_method, answer.uncertainty, answer.sampling_interval) == (None, None, None)


def test_missing_values_are_refused_where_the_original_refuses_them(systems: dict[str, dict[str, Any]]) -> None:
    manager = manager_of(imported(systems["network without imputer"]))
    X, _ = fights(3, seed=9, missing=False)
    X.loc[1, "red_age"] = np.nan
    with pytest.raises(ValidationError, match=r"\['red_age'\], and the imported neural_network accepts none"):
        manager.predict_fights(X, [("a", "b")] * 3)


def test_later_fights_with_odds_give_it_intervals(systems: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    unseen = later_fights(systems["plain"])
    model = imported(systems["plain"], unseen=unseen)
    assert model.ensemble.half_widths.method == "anchored"
    assert model.ensemble.manifest["metrics"]["priced_fights"] == 600
    assert load_ensemble(save_ensemble(model.ensemble, tmp_path)).half_widths.is_measured
    answers = manager_of(model).predict_fights(unseen.X, [("a", "b")] * 600, corners=["red"] * 600, levels=(0.8, 0.95))
    market = expit(logit(1.0 / unseen.red_odds / (1.0 / unseen.red_odds + 1.0 / unseen.blue_odds)))
    for level in (0.8, 0.95):
        inside = [a.intervals[level][0] <= m <= a.intervals[level][1] for a, m in zip(answers, market, strict=True)]
        assert level - 0.06 < np.mean(inside) <= 1.0


def test_intervals_are_not_measured_on_fights_that_it_has_seen(systems: dict[str, dict[str, Any]]) -> None:
    plain = systems["plain"]
    with pytest.raises(ValidationError, match="trained on fights up to 2024-01-01"):
        imported(plain, unseen=later_fights(plain, "2023-12-31"))
    with pytest.raises(TrainingError, match="no interval can be made"):
        imported(plain, unseen=later_fights(plain, odds=False))
    unseen = later_fights(plain)
    X, won = fights()  # those that it was trained on, under a false date
    seen = replace(unseen, X=X[:600].reset_index(drop=True), won=won[:600].astype(np.int8))
    with pytest.raises(ValidationError, match="it was trained on them"):
        imported(plain, unseen=seen)


@pytest.mark.parametrize(
    ("member", "make", "said"),
    [
        ("random_forest", lambda X, y: LogisticRegression().fit(X.fillna(0), y), "must be a RandomForestClassifier"),
        ("random_forest", lambda X, y: CalibratedClassifierCV(RandomForestClassifier(5)).fit(X, y), "CalibratedClass"),
        ("random_forest", lambda X, y: RandomForestClassifier(5).fit(X, np.where(y, "red", "blue")), "classes 0 and 1"),
        ("random_forest", lambda X, y: make_pipeline(PolynomialFeatures(), forest()).fit(X.fillna(0), y), "Polynom"),
        ("neural_network", lambda X, y: MLPClassifier((4,), activation="tanh", max_iter=5).fit(X.fillna(0), y), "ReLU"),
        ("xgboost", lambda X, y: xgb.XGBClassifier(n_estimators=3, booster="gblinear").fit(X, y), "gbtree"),
        ("xgboost", lambda X, y: xgb.XGBClassifier(n_estimators=3, missing=-1.0).fit(X.fillna(-1), y), "uses -1.0"),
        ("xgboost", lambda X, y: boosted(X.drop(columns="rounds"), y), "columns"),
        ("xgboost", lambda X, y: boosted(X[X.columns[::-1]], y), "first that differs is number 1"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_converted_exactly_is_refused(
    member: str, make: Any, said: str, systems: dict[str, dict[str, Any]]
) -> None:
    short = {name: key for key, name in SHORT.items()}[member]
    X, won = fights(400)
    with pytest.raises(ValidationError, match=said):
        imported(systems["plain"] | {short: make(X, won)}, COLUMNS)


def test_columns_get_other_names(systems: dict[str, dict[str, Any]]) -> None:
    theirs = {"red": "a", "blue": "b", "rounds": "rounds"}
    X, won = fights(300)
    old = X.rename(columns={name: "_".join([theirs[name.split("_")[0]], *name.split("_")[1:]]) for name in X})
    system = systems["plain"] | {"rf": forest().fit(old, won)}
    with pytest.raises(ValidationError, match="not the 7 expected ones"):
        imported(system, [f"{name}={new}" for name, new in zip(old, COLUMNS, strict=True)])
    system |= {"xgb": boosted(old, won), "nn": systems["bare arrays"]["nn"]}
    assert imported(
        system, [f"{name} = {new}" for name, new in zip(old, COLUMNS, strict=True)]
    ).ensemble.columns == tuple(COLUMNS)


def test_columns_must_be_known_and_say_their_side(systems: dict[str, dict[str, Any]]) -> None:
    with pytest.raises(ValidationError, match="--columns FILE"):
        imported(systems["bare arrays"])
    with pytest.raises(ValidationError, match="named red_, blue_ or diff_"):
        imported(systems["bare arrays"], [f"column{k}" for k in range(7)])
    with pytest.raises(ValidationError, match="has no counterpart"):
        imported(systems["bare arrays"], ["red_x", *COLUMNS[1:]])
