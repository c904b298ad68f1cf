from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.bootstrap import ThreadSafeBootstrapSampler, create_bootstrap_config
from engine.data.feature_matrix import TrainingMatrix, mirror
from engine.ensemble import ProductionEnsembleManager, create_production_ensemble_config
from engine.errors import BootstrapError, BundleCorruptError, BundleNotFoundError, MemoryLimitError, ValidationError
from engine.model.bundle import Bundle
from engine.model.trained_ensemble import load_ensemble, save_ensemble


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


def _market(n: int) -> list[float | None]:
    return [None if row % 5 == 4 else float(p) for row, p in enumerate(np.random.default_rng(0).random(n))]


@pytest.mark.slow
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
        assert result.sampling_interval is not None
        assert 0.0 < result.uncertainty < high - low
        assert result.interval_method == "anchored"


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2, 4])
def test_threads_never_change_a_bit(
    bundle_folder: Path, manager: ProductionEnsembleManager, X: pd.DataFrame, jobs: int
) -> None:
    request = {"fighter_pairs": _pairs(len(X)), "market_probability": _market(len(X))}
    expected = manager.predict_fights(X, **request)  # type: ignore[arg-type]
    assert _manager(bundle_folder, n_jobs=jobs).predict_fights(X, **request) == expected  # type: ignore[arg-type]


def test_one_row_or_many_and_any_order_never_change_a_bit(manager: ProductionEnsembleManager, X: pd.DataFrame) -> None:
    pairs, market = _pairs(len(X)), _market(len(X))
    together = manager.predict_fights(X, pairs, market_probability=market)
    alone = [
        manager.predict_fights(X.iloc[[row]], [pair], market_probability=[market[row]])[0]
        for row, pair in enumerate(pairs)
    ]
    assert alone == together
    backwards = manager.predict_fights(X.iloc[::-1], pairs[::-1], market_probability=market[::-1])
    assert backwards[::-1] == together


def test_swapping_fighters_and_corner_gives_exactly_the_complement(
    manager: ProductionEnsembleManager, X: pd.DataFrame
) -> None:
    corners = [("red", "blue", "unknown")[row % 3] for row in range(len(X))]
    swapped = [{"red": "blue", "blue": "red", "unknown": "unknown"}[corner] for corner in corners]
    market = _market(len(X))
    forward = manager.predict_fights(X, _pairs(len(X)), corners=corners, market_probability=market)  # type: ignore[arg-type]
    reverse = manager.predict_fights(
        mirror(X),
        [(b, a) for a, b in _pairs(len(X))],
        corners=swapped,  # type: ignore[arg-type]
        market_probability=[None if p is None else 1.0 - p for p in market],
    )
    for one, other in zip(forward, reverse, strict=True):
        assert other.probability == 1.0 - one.probability
        assert one.probability == 1.0 - other.probability
        for level, (low, high) in one.intervals.items():
            assert other.intervals[level] == (1.0 - high, 1.0 - low)
        assert one.sampling_interval is not None
        assert other.sampling_interval == (1.0 - one.sampling_interval[1], 1.0 - one.sampling_interval[0])
        assert other.members == {name: 1.0 - p for name, p in one.members.items()}
        assert (other.uncertainty, other.sampling_error) == (one.uncertainty, one.sampling_error)
        assert (other.market_aware is None) == (one.market_aware is None)
        if one.market_aware is not None and other.market_aware is not None:
            assert other.market_aware.probability == 1.0 - one.market_aware.probability
            low, high = one.market_aware.band[0.95]
            assert other.market_aware.band == {0.95: (1.0 - high, 1.0 - low)}


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
    assert (result.sampling_interval, result.sampling_reason, result.sampling_error) == (None, "bootstrap_off", None)
    assert result.intervals == manager.predict_fights(X, _pairs(len(X)))[0].intervals


def test_the_market_aware_answer_starts_from_the_market(manager: ProductionEnsembleManager, X: pd.DataFrame) -> None:
    market = _market(len(X))
    answers = manager.predict_fights(X, _pairs(len(X)), market_probability=market, levels=(0.8, 0.95))
    plain = manager.predict_fights(X, _pairs(len(X)), levels=(0.8, 0.95))
    for one, without, p in zip(answers, plain, market, strict=True):
        assert (without.market_aware, without.market_aware_reason) == (None, "no_market")
        assert (one.probability, one.intervals) == (without.probability, without.intervals)
        if p is None:
            assert (one.market_aware, one.market_aware_reason) == (None, "no_market")
            continue
        assert one.market_aware is not None
        assert one.market_aware_reason is None
        assert one.market_aware.method == "market_assumption"
        assert one.market_aware.probability == pytest.approx(p, abs=0.15)
        (low95, high95), (low80, high80) = one.market_aware.band[0.95], one.market_aware.band[0.8]
        assert low95 < low80 < one.market_aware.probability < high80 < high95


def test_a_model_without_odds_has_no_market_aware_answer(manager: ProductionEnsembleManager, X: pd.DataFrame) -> None:
    blind = ProductionEnsembleManager.from_ensemble(replace(manager.ensemble, market_model=None), manager.config)
    answer = blind.predict_fights(X, _pairs(len(X)), market_probability=[0.6] * len(X))[0]
    assert (answer.market_aware, answer.market_aware_reason) == (None, "model_without_odds")


def test_a_loaded_model_is_saved_as_the_same_bundle(
    manager: ProductionEnsembleManager, bundle: Bundle, tmp_path: Path
) -> None:
    assert save_ensemble(manager.ensemble, tmp_path).digest == bundle.digest


def test_a_model_without_a_market_is_saved_and_loaded_without(
    manager: ProductionEnsembleManager, tmp_path: Path
) -> None:
    blind = save_ensemble(replace(manager.ensemble, market_model=None), tmp_path)
    assert load_ensemble(blind).market_model is None


def test_uncertainty_is_the_width_at_80_percent_whatever_is_requested(
    bundle_folder: Path, manager: ProductionEnsembleManager, X: pd.DataFrame
) -> None:
    low, high = manager.predict_fights(X, _pairs(len(X)), levels=[0.8])[0].intervals[0.8]
    answer = manager.predict_fights(X, _pairs(len(X)), levels=[0.5])[0]
    assert (answer.uncertainty, list(answer.intervals)) == (high - low, [0.5])
    for threshold, warned in ((high - low, False), (high - low - 1e-9, True)):
        strict = _manager(bundle_folder, max_uncertainty_threshold=threshold)
        assert ("high_uncertainty" in strict.predict_fights(X, _pairs(len(X)))[0].warnings) == warned


def test_more_replicas_than_there_are_is_an_error(bundle_folder: Path) -> None:
    with pytest.raises(BootstrapError, match="has 12 replicas, but bootstrap_samples is 100"):
        _manager(bundle_folder, bootstrap_samples=100)


@pytest.mark.parametrize("samples", [-1, 1, 9])
def test_too_few_replicas_for_an_interval_are_refused(samples: int) -> None:
    with pytest.raises(ValidationError, match="bootstrap_samples must be 0"):
        create_production_ensemble_config(bootstrap_samples=samples)


def test_a_model_that_does_not_fit_is_not_kept(bundle_folder: Path, X: pd.DataFrame) -> None:
    manager = ProductionEnsembleManager(create_production_ensemble_config(bootstrap_samples=12, max_memory_mb=10))
    with pytest.raises(MemoryLimitError):
        manager.load_models(bundle_folder)
    with pytest.raises(ValidationError, match="call load_models"):
        manager.predict_fights(X, _pairs(len(X)))


def test_the_model_s_replicas_know_their_columns(manager: ProductionEnsembleManager, X: pd.DataFrame) -> None:
    models, weights = manager.ensemble.replica_set, manager.ensemble.weights
    sampler = ThreadSafeBootstrapSampler(create_bootstrap_config(n_bootstrap=12))
    expected = sampler.sample_bootstrap_predictions(models, X, weights)
    assert np.array_equal(sampler.sample_bootstrap_predictions(models, X[X.columns[::-1]], weights), expected)
    with pytest.raises(ValidationError, match=r"missing \['diff_elo'\]"):
        sampler.sample_bootstrap_predictions(models, X.drop(columns="diff_elo"), weights)


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
        (lambda m, X: m.predict_fights(X, _pairs(30), market_probability=[0.5]), "30 rows, but 1 in"),
        (lambda m, X: m.predict_fights(X, _pairs(30), market_probability=[1.0] * 30), "between 0 and 1"),
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
    damaged = copy / "xgboost" / "replicas" / "nodes.npy"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(BundleCorruptError, match=r"xgboost/replicas/nodes\.npy was changed"):
        _manager(copy)


def test_a_fight_priced_again_has_the_bits_of_one_predicted_again(
    manager: ProductionEnsembleManager, X: pd.DataFrame
) -> None:
    moved = [0.3 + 0.01 * row for row in range(len(X))]
    summaries = manager.predict_unpriced(X, levels=(0.8, 0.95))
    alone = [manager.predict_unpriced(X.iloc[[row]], levels=(0.8, 0.95))[0] for row in range(len(X))]
    assert alone == summaries
    again = manager.add_market(summaries, _pairs(len(X)), moved)
    assert again == manager.predict_fights(X, _pairs(len(X)), market_probability=moved, levels=(0.8, 0.95))
    assert again != manager.add_market(summaries, _pairs(len(X)), [None] * len(X))


def test_the_reference_predictions_have_the_bits_that_were_stored(manager: ProductionEnsembleManager) -> None:
    assert manager.check_reference_predictions() == 0.0


def test_the_reference_predictions_call_nothing_of_pandas(manager: ProductionEnsembleManager) -> None:
    """An idle child checks them, and each function that it calls costs it pages of its own."""
    called: set[str] = set()
    sys.setprofile(lambda frame, event, _: called.add(frame.f_code.co_filename))
    try:
        manager.check_reference_predictions()
    finally:
        sys.setprofile(None)
    assert any("/engine/members/" in name for name in called)
    assert not [name for name in called if "/pandas/" in name]
