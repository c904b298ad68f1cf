from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.bundle import Bundle
from engine.ensemble import FightPrediction, ProductionEnsembleManager, create_production_ensemble_config
from engine.errors import BootstrapError, BundleCorruptError, BundleNotFoundError, MemoryLimitError, ValidationError
from engine.matrix import TrainingMatrix, mirror


def _manager(folder: Path, **options: object) -> ProductionEnsembleManager:
    config = create_production_ensemble_config(**{"bootstrap_samples": 12} | options)  # type: ignore[arg-type]
    manager = ProductionEnsembleManager(config)
    manager.load_models(folder)
    return manager


@pytest.fixture(scope="module")
def manager(bundle_folder: Path) -> ProductionEnsembleManager:
    return _manager(bundle_folder)


@pytest.fixture
def X(league_matrix: TrainingMatrix) -> pd.DataFrame:
    return league_matrix.X.tail(30).reset_index(drop=True)


def _pairs(n: int) -> list[tuple[str, str]]:
    return [(f"A{row}", f"B{row}") for row in range(n)]


def _numbers(prediction: FightPrediction) -> tuple[object, ...]:
    return (prediction.probability, prediction.intervals, prediction.sampling_interval, prediction.members)


def test_the_guide_s_usage_works_as_written(bundle_folder: Path, X: pd.DataFrame) -> None:
    config = create_production_ensemble_config(
        model_weights={"random_forest": 0.4, "xgboost": 0.35, "neural_network": 0.25},
        bootstrap_samples=12,
        max_memory_mb=4096,
    )
    manager = ProductionEnsembleManager(config)
    manager.load_models({name: bundle_folder / name for name in ("random_forest", "xgboost", "neural_network")})
    results = manager.predict_fights(X, _pairs(len(X)))
    assert [result.fighter_a for result in results] == [pair[0] for pair in _pairs(len(X))]
    for result in results:
        low, high = result.intervals[0.95]
        assert 0.0 < low < result.probability < high < 1.0
        assert result.uncertainty is not None
        assert 0.0 < result.uncertainty < 1.0
        assert result.interval_method == "anchored"


@pytest.mark.parametrize("jobs", [1, 2, 4])
def test_threads_never_change_a_bit(
    bundle_folder: Path, manager: ProductionEnsembleManager, X: pd.DataFrame, jobs: int
) -> None:
    expected = manager.predict_fights(X, _pairs(len(X)))
    assert _manager(bundle_folder, n_jobs=jobs).predict_fights(X, _pairs(len(X))) == expected


def test_one_row_or_many_and_any_order_never_change_a_bit(manager: ProductionEnsembleManager, X: pd.DataFrame) -> None:
    together = manager.predict_fights(X, _pairs(len(X)))
    alone = [manager.predict_fights(X.iloc[[row]], [pair])[0] for row, pair in enumerate(_pairs(len(X)))]
    assert alone == together
    backwards = manager.predict_fights(X.iloc[::-1], _pairs(len(X))[::-1])
    assert backwards[::-1] == together


def test_swapping_fighters_and_corner_gives_exactly_the_complement(
    manager: ProductionEnsembleManager, X: pd.DataFrame
) -> None:
    corners = [("red", "blue", "unknown")[row % 3] for row in range(len(X))]
    swapped = [{"red": "blue", "blue": "red", "unknown": "unknown"}[corner] for corner in corners]
    forward = manager.predict_fights(X, _pairs(len(X)), corners=corners)  # type: ignore[arg-type]
    reverse = manager.predict_fights(
        mirror(X),
        [(b, a) for a, b in _pairs(len(X))],
        corners=swapped,  # type: ignore[arg-type]
    )
    for one, other in zip(forward, reverse, strict=True):
        assert other.probability == 1.0 - one.probability
        assert one.probability == 1.0 - other.probability
        for level, (low, high) in one.intervals.items():
            assert other.intervals[level] == (1.0 - high, 1.0 - low)
        assert one.sampling_interval is not None
        assert other.sampling_interval == (1.0 - one.sampling_interval[1], 1.0 - one.sampling_interval[0])
        assert other.members == {name: 1.0 - p for name, p in one.members.items()}


def test_the_corner_is_information(manager: ProductionEnsembleManager, X: pd.DataFrame) -> None:
    by_corner = [
        manager.predict_fights(X, _pairs(len(X)), corners=[corner] * len(X))[0].probability  # type: ignore[list-item]
        for corner in ("blue", "red")
    ]
    assert by_corner[0] < by_corner[1]


def test_without_bootstrap_the_sampling_interval_is_absent_with_a_reason(
    bundle_folder: Path, manager: ProductionEnsembleManager, X: pd.DataFrame
) -> None:
    result = _manager(bundle_folder, bootstrap_samples=0).predict_fights(X, _pairs(len(X)))[0]
    assert (result.sampling_interval, result.sampling_reason, result.uncertainty) == (None, "bootstrap_off", None)
    assert result.intervals == manager.predict_fights(X, _pairs(len(X)))[0].intervals


def test_more_replicas_than_there_are_is_an_error(bundle_folder: Path) -> None:
    with pytest.raises(BootstrapError, match="has 12 replicas, bootstrap_samples asks for 100"):
        _manager(bundle_folder, bootstrap_samples=100)


def test_missing_values_are_allowed(manager: ProductionEnsembleManager, X: pd.DataFrame) -> None:
    result = manager.predict_fights(X.assign(diff_age=np.nan), _pairs(len(X)))
    assert all(np.isfinite(one.probability) for one in result)


def test_thresholds_can_warn(bundle_folder: Path, X: pd.DataFrame) -> None:
    strict = _manager(bundle_folder, min_prediction_confidence=1.0, max_uncertainty_threshold=0.0)
    assert strict.predict_fights(X, _pairs(len(X)))[0].warnings == ("low_confidence", "high_uncertainty")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, X: m.predict_fights(X.iloc[:0], []), "X is empty"),
        (lambda m, X: m.predict_fights(X.drop(columns="diff_elo"), _pairs(30)), r"missing \['diff_elo'\]"),
        (lambda m, X: m.predict_fights(X.assign(diff_elo=np.inf), _pairs(30)), r"infinite values in \['diff_elo'\]"),
        (lambda m, X: m.predict_fights(X.assign(diff_elo="high"), _pairs(30)), r"must be numbers: \['diff_elo'\]"),
        (lambda m, X: m.predict_fights(X, _pairs(29)), "30 rows but there are 29 fighter pairs"),
        (lambda m, X: m.predict_fights(X, [("A", "A")] * 30), "'A' cannot fight against oneself"),
        (lambda m, X: m.predict_fights(X, _pairs(30), corners=["red"]), "give one for each row"),
        (lambda m, X: m.predict_fights(X, _pairs(30), levels=[1.5]), "between 0 and 1, not 1.5"),
        (lambda m, X: m.predict_fights(X, _pairs(30), corners=["left"] * 30), "'left' is not a corner"),
    ],
)
def test_bad_input_is_named(manager: ProductionEnsembleManager, X: pd.DataFrame, call: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        call(manager, X)  # type: ignore[operator]


def test_nothing_is_answered_before_a_model_is_loaded(X: pd.DataFrame) -> None:
    with pytest.raises(ValidationError, match="call load_models"):
        ProductionEnsembleManager(create_production_ensemble_config()).predict_fights(X, _pairs(len(X)))


def test_weights_other_than_the_model_s_are_refused(bundle_folder: Path) -> None:
    with pytest.raises(ValidationError, match="was calibrated with weights"):
        _manager(bundle_folder, model_weights={"random_forest": 0.5, "xgboost": 0.25, "neural_network": 0.25})


def test_a_mapping_that_is_not_one_bundle_is_refused(bundle_folder: Path) -> None:
    with pytest.raises(ValidationError, match="folders of one bundle"):
        _manager(dict.fromkeys(("random_forest", "xgboost", "neural_network"), bundle_folder))  # type: ignore[arg-type]
    with pytest.raises(BundleNotFoundError):
        _manager(bundle_folder.parent / ("0" * 64))


def test_a_memory_limit_below_what_is_in_use_is_an_error(bundle_folder: Path) -> None:
    with pytest.raises(MemoryLimitError, match="max_memory_mb is 10"):
        _manager(bundle_folder, max_memory_mb=10)


def test_a_flipped_byte_is_a_corrupt_model(bundle: Bundle, bundle_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / bundle_folder.name
    for source in bundle_folder.rglob("*"):
        if source.is_file():
            target = copy / source.relative_to(bundle_folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    _manager(copy)
    damaged = copy / "xgboost" / "replicas" / "replica_003.ubj"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(BundleCorruptError, match=r"replica_003\.ubj"):
        _manager(copy)


def test_the_canary_gives_the_bits_that_were_kept(manager: ProductionEnsembleManager) -> None:
    assert manager.check_canary() == 0.0
