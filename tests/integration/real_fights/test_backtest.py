"""Figures on real fights that the documentation states, with settings small enough for a test."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

from engine.data.feature_matrix import TrainingMatrix
from engine.evaluation.backtest import backtest_data_from_log
from engine.evaluation.metrics import evaluate_forecasts
from engine.evaluation.walk_forward import (
    ENSEMBLE_FORECASTS,
    LEVELS,
    FightSet,
    bound_column,
    refit_periods,
    walk_forward,
)
from ledger.contracts.jobs import Backtest
from tests.support.real_fights import DATA, needs_real_fights, real_log
from workers.handlers.training.backtest import backtest_in_process

pytestmark = [pytest.mark.data, needs_real_fights]


def _even(past: TrainingMatrix, later: FightSet) -> pd.DataFrame:
    """Say 50% of every fight, but for a trace of the market, without which there is no calibration line."""
    odds = later.fights.red_odds / (later.fights.red_odds + later.fights.blue_odds)
    p = 0.5 - 0.01 * np.nan_to_num(odds - 0.5)
    columns = dict.fromkeys(ENSEMBLE_FORECASTS, p)
    for name in ENSEMBLE_FORECASTS:
        for level in LEVELS:
            columns |= {bound_column(name, "lower", level): p - 0.1, bound_column(name, "upper", level): p + 0.1}
    return pd.DataFrame(columns)


def test_the_books_are_kept_right_over_nine_years() -> None:
    season = backtest_data_from_log(real_log())
    found = evaluate_forecasts(walk_forward(season, refit_periods(date(2016, 1, 1), date(2025, 1, 1), 12), _even))
    assert (found.scored_fights, found.models) == (4364, 9)
    assert found.both_sides_return == pytest.approx(-0.0623, abs=0.0005)
    market = next(score for score in found.scores if score.forecast == "market")
    assert market.log_loss == pytest.approx(0.6084, abs=0.0005)
    assert market.calibration.slope == pytest.approx(1.0, abs=0.1)


def test_a_small_model_on_the_last_eighteen_months_is_within_its_ranges() -> None:
    job = Backtest(
        data=str(DATA),
        first_day=date(2023, 7, 1),
        last_day=date(2024, 12, 31),
        refit_months=24,
        fits=2,
        folds=4,
        bootstrap_samples=0,
        forest_trees=40,
    )
    report = backtest_in_process(job, lambda stage, done, total: None, 270.0)
    scores = {score.forecast: score for score in report.scores}
    assert (report.scored_fights, report.models) == (768, 1)
    assert scores["market"].log_loss == pytest.approx(0.5832, abs=0.0002)
    assert 0.590 < scores["statistics_only"].log_loss <= 0.620  # below this, look for a leak
    assert 0.590 < scores["ridge"].log_loss <= 0.625
    aware = scores["market_aware"].minus_market
    assert aware is not None
    assert -0.008 <= aware.value <= 0.003
    narrow, wide = next(part for part in report.slices if part.dimension == "all").coverage
    assert narrow.inside is not None
    assert wide.inside is not None
    assert 0.925 <= wide.inside.value <= 0.975
    assert 0.74 <= narrow.inside.value <= 0.87  # the full model is held to 0.76
    assert wide.width <= 0.48
    moved = next(part for part in report.slices if part.dimension == "reanchored").coverage
    for level, slack, coverage in zip((0.8, 0.95), (0.03, 0.015), moved, strict=True):
        assert coverage.inside is not None
        assert coverage.inside.value == pytest.approx(level, abs=slack)
    debuts = next(part for part in report.slices if (part.dimension, part.name) == ("experience", "0"))
    assert debuts.coverage[1].inside is not None
    assert debuts.coverage[1].inside.value >= 0.88
