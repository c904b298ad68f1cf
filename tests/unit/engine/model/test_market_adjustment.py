from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb

from engine.arrays import Floats
from engine.data.feature_matrix import TrainingMatrix
from engine.intervals.half_widths import MIN_PRICED_FIGHTS
from engine.members.boosted_trees import FlatBoosters
from engine.members.feature_bins import BinEdges
from engine.model.bundle import Bundle
from engine.model.market_adjustment import (
    LinearCorrection,
    MarketModel,
    band_half_width,
    fit_market_model,
    market_logit_from_probability,
    side_differences,
)
from engine.model.trained_ensemble import load_ensemble, save_ensemble
from engine.statistics.calibration import log_loss
from engine.statistics.complements import logit_to_probability
from engine.training.soft_labels import market_logit


def _fights(missed: Floats, seed: int = 0) -> tuple[TrainingMatrix, Floats]:
    """Fights, ten an event, whose market misses `missed` (n,) times a difference that the model can see."""
    n = len(missed)
    rng = np.random.default_rng(seed)
    seen, market = rng.normal(size=n), rng.normal(size=n)
    truth = market + missed * seen
    matrix = TrainingMatrix(
        X=pd.DataFrame({"diff_seen": seen, "diff_noise": rng.normal(size=n), "rounds": 3.0}),
        won=(rng.random(n) < 1.0 / (1.0 + np.exp(-truth))).astype(np.int8),
        event=np.array([f"event {fight // 10:04}" for fight in range(n)]),
        date=np.datetime64("2020-01-01") + np.arange(n) // 10,
        red_odds=np.full(n, np.nan),
        blue_odds=np.full(n, np.nan),
        corner_known=np.zeros(n, dtype=np.bool_),
        experience=np.full(n, -1, dtype=np.int64),
    )
    return matrix, market


def _fit(missed: Floats, seed: int = 0) -> MarketModel:
    model = fit_market_model(*_fights(missed, seed))
    assert model is not None
    return model


def _gain(model: MarketModel, missed: float) -> float:
    """How much log loss the model saves against the market on fights that it has not seen."""
    matrix, market = _fights(np.full(4000, missed), seed=99)
    logit = market + model.correction_for(
        side_differences(matrix.X.to_numpy(), list(matrix.X.columns)), np.zeros(len(matrix), dtype=np.int8)
    )
    return log_loss(logit_to_probability(market), matrix.won) - log_loss(logit_to_probability(logit), matrix.won)


@pytest.fixture(scope="module")
def trained() -> MarketModel:
    return _fit(np.full(2000, 0.7))


def test_what_the_market_misses_is_learnt(trained: MarketModel) -> None:
    assert trained.fights == 2000
    assert trained.weight > 0.8
    assert _gain(trained, 0.7) > 0.02


def test_a_market_that_misses_nothing_is_left_alone() -> None:
    model = _fit(np.zeros(2000))
    assert model.weight < 0.5
    assert abs(_gain(model, 0.0)) < 0.001


def test_the_weight_is_learnt_from_earlier_blocks_alone() -> None:
    # What was missed turns round in the second half: coefficients that had seen a block would look right about it.
    missed = np.where(np.arange(2000) < 1000, 0.7, -0.7)
    assert _fit(missed).weight < 0.05


SIDES = np.array([1, -1, 0], dtype=np.int8)


def test_swapping_the_sides_changes_the_sign_and_nothing_else(trained: MarketModel) -> None:
    rng = np.random.default_rng(1)
    rest, sides = rng.normal(size=(201, 2)), np.tile(SIDES, 67)
    rest[::7, 0] = np.nan
    assert np.array_equal(trained.correction_for(-rest, -sides), -trained.correction_for(rest, sides))


def test_one_row_or_many_have_the_same_bits(trained: MarketModel) -> None:
    rng = np.random.default_rng(2)
    rest, sides = rng.normal(size=(30, 2)), np.tile(SIDES, 10)
    alone = [trained.correction_for(rest[row : row + 1], sides[row : row + 1])[0] for row in range(30)]
    assert trained.correction_for(rest, sides).tolist() == alone


def test_what_the_market_misses_of_the_corner_is_learnt() -> None:
    matrix, market = _fights(np.zeros(3000))
    red_wins_more = np.where(np.random.default_rng(5).random(3000) < 0.2, 1, matrix.won).astype(np.int8)
    matrix = replace(matrix, won=red_wins_more, corner_known=np.ones(3000, dtype=np.bool_))
    model = fit_market_model(matrix, market)
    assert model is not None
    red, blue, unknown = model.correction_for(np.zeros((3, 2)), SIDES)
    assert red > 0.2
    assert (blue, unknown) == (-red, 0.0)


def test_a_missing_difference_counts_as_none(trained: MarketModel) -> None:
    unknown = np.zeros(1, dtype=np.int8)
    missing = trained.correction_for(np.array([[np.nan, 1.0]]), unknown)
    assert missing == trained.correction_for(np.array([[0.0, 1.0]]), unknown)


def _grown(seed: int) -> FlatBoosters:
    """Boosted trees on the offset of the market, as corrections were before they became linear."""
    matrix, market = _fights(np.full(600, 0.7), seed)
    differences = side_differences(matrix.X.to_numpy(), list(matrix.X.columns))
    rows = xgb.QuantileDMatrix(
        np.concatenate([differences, -differences]),
        np.concatenate([matrix.won, 1 - matrix.won]),
        base_margin=np.concatenate([market, -market]),
        max_bin=64,
        nthread=1,
    )
    params = {"objective": "binary:logistic", "tree_method": "hist", "max_depth": 2, "max_bin": 64, "base_score": 0.5}
    return FlatBoosters.from_booster(xgb.train(params, rows, num_boost_round=5), BinEdges.from_matrix(rows))


@pytest.mark.parametrize("kind", ["linear", "trees"])
def test_a_stored_correction_is_the_same_to_the_bit(bundle: Bundle, tmp_path: Path, kind: str) -> None:
    ensemble = load_ensemble(bundle)
    rng = np.random.default_rng(4)
    model = ensemble.market_model
    assert model is not None
    assert isinstance(model.correction, LinearCorrection)
    differences = len(model.correction.scales)
    if kind == "trees":
        model, differences = MarketModel(_grown(3), 0.5, 600), 2
    loaded = load_ensemble(save_ensemble(replace(ensemble, market_model=model), tmp_path)).market_model
    assert loaded is not None
    assert type(loaded.correction) is type(model.correction)
    rows, sides = rng.normal(size=(30, differences)), np.tile(SIDES, 10)
    assert loaded.correction_for(rows, sides).tolist() == model.correction_for(rows, sides).tolist()
    assert np.array_equal(loaded.correction_for(-rows, -sides), -loaded.correction_for(rows, sides))


@pytest.mark.slow
def test_context_and_priceless_fights_have_no_say() -> None:
    matrix, market = _fights(np.full(600, 0.7))
    market[::3] = np.nan
    full = fit_market_model(matrix, market)
    priced = np.isfinite(market)
    other = matrix.X.assign(rounds=np.arange(600.0))
    part = fit_market_model(replace(matrix, X=other).take(priced), market[priced])
    assert full is not None
    assert part is not None
    assert (part.weight, part.fights, full.fights) == (full.weight, 400, 400)
    assert isinstance(full.correction, LinearCorrection)
    assert isinstance(part.correction, LinearCorrection)
    np.testing.assert_array_equal(full.correction.coefficients, part.correction.coefficients)


def test_few_prices_or_no_differences_are_no_model() -> None:
    matrix, market = _fights(np.full(400, 0.7))
    assert fit_market_model(matrix, np.where(np.arange(400) < MIN_PRICED_FIGHTS - 1, market, np.nan)) is None
    assert fit_market_model(matrix, np.where(np.arange(400) < MIN_PRICED_FIGHTS, market, np.nan)) is not None
    assert fit_market_model(matrix.select(["rounds"]), market) is None


@pytest.mark.parametrize("events", [1, 3])
def test_few_events_leave_more_of_the_weight_to_the_prior(events: int) -> None:
    matrix, market = _fights(np.full(300, 0.7))
    model = fit_market_model(replace(matrix, event=(np.arange(300) * events // 300).astype(np.str_)), market)
    assert model is not None
    assert model.weight == pytest.approx(0.5, abs=1e-3) if events == 1 else model.weight > 0.5


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (("diff_a", "rounds", "diff_b"), [1.0, 4.0]),
        (("red_a", "blue_a", "diff_a"), [4.0]),
        (("red_a", "blue_a", "rounds"), [-1.0]),
        (("rounds", "women", "title"), []),
    ],
)
def test_the_correction_sees_differences_only(columns: tuple[str, ...], expected: list[float]) -> None:
    assert side_differences(np.array([[1.0, 2.0, 4.0]]), columns).tolist() == [expected]


def test_the_band_is_as_wide_as_is_assumed() -> None:
    assert band_half_width(0.95) == pytest.approx(1.959964 * 0.18)
    assert band_half_width(0.8) < band_half_width(0.95) < band_half_width(0.99)
    even = logit_to_probability(np.array([band_half_width(0.95)]))[0]
    assert 2.0 * (even - 0.5) == pytest.approx(0.174, abs=0.001)


@pytest.mark.slow
def test_a_league_with_odds_has_a_model(league_matrix: TrainingMatrix) -> None:
    market = market_logit(league_matrix)
    model = fit_market_model(league_matrix, market)
    assert model is not None
    assert model.fights == np.isfinite(market).sum()
    assert 0.0 <= model.weight <= 1.0


def test_the_logit_of_a_market_is_odd_to_the_bit_and_absent_without_one() -> None:
    probability = np.random.default_rng(3).random(1000)
    assert np.array_equal(market_logit_from_probability(1.0 - probability), -market_logit_from_probability(probability))
    assert market_logit_from_probability(np.array([0.5, 0.75])) == pytest.approx([0.0, np.log(3.0)])
    assert np.isnan(market_logit_from_probability(np.array([np.nan])))[0]
