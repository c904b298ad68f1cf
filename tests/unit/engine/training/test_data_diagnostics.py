"""What a training says of its data: an event is a name and a day, and on which fights intervals rest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.data.feature_matrix import TrainingMatrix, event_blocks, event_labels
from engine.data.feature_matrix_files import read_matrix
from engine.data.features import build_matrix
from engine.data.fight_log import FightLog
from engine.intervals.half_widths import fit_half_widths
from engine.simulation.league import League
from engine.training.data_diagnostics import DataDiagnostics, diagnose_training_data
from engine.training.train import TrainingConfig, train_ensemble

FIGHTS, A_CARD = 3000, 10


def _matrix(rng: np.random.Generator, priced: np.ndarray) -> TrainingMatrix:
    """Return fights of ten a week; `priced` of them have odds, of which only that they are there matters here."""
    day = np.datetime64("2016-01-02") + 7 * (np.arange(FIGHTS) // A_CARD).astype("timedelta64[D]")
    return TrainingMatrix(
        X=pd.DataFrame({"diff_elo": rng.normal(size=FIGHTS)}),
        won=rng.integers(0, 2, FIGHTS).astype(np.int8),
        event=event_labels(np.full(FIGHTS, "Fight Night"), day),
        date=day,
        red_odds=np.where(priced, 1.9, np.nan),
        blue_odds=np.where(priced, 1.9, np.nan),
        corner_known=np.zeros(FIGHTS, dtype=np.bool_),
        experience=rng.integers(0, 12, FIGHTS),
    )


def _diagnose(
    priced: np.ndarray,
    *,
    growth: float = 0.0,
    seed: int = 3,
    blocks: np.ndarray | None = None,
    features: tuple[str, ...] = (),
) -> tuple[DataDiagnostics, TrainingMatrix]:
    """Return the diagnostics of fights whose market misses a model's logit by more and more, by `growth` in all."""
    rng = np.random.default_rng(seed)
    matrix = _matrix(rng, priced)
    matrix = replace(matrix, X=matrix.X.assign(**dict.fromkeys(features, 0.0)))
    logit = rng.normal(0.0, 0.6, FIGHTS)
    miss = 0.5 * (1.0 + growth * np.linspace(0.0, 1.0, FIGHTS)) * rng.normal(size=FIGHTS)
    truth = logit + miss
    matrix = replace(matrix, won=(rng.random(FIGHTS) < 1.0 / (1.0 + np.exp(-truth))).astype(np.int8))
    market = np.where(priced, truth, np.nan)
    half_widths = fit_half_widths(logit, logit, market, matrix.won, matrix.corner_known, matrix.experience, 0.1)
    return diagnose_training_data(
        matrix, event_blocks(matrix, 10) if blocks is None else blocks, logit, market, half_widths
    ), matrix


def test_there_is_no_warning_about_fights_that_are_alike() -> None:
    rng = np.random.default_rng(1)
    for priced in (np.ones(FIGHTS, dtype=np.bool_), rng.random(FIGHTS) < 0.5):
        diagnostics, _ = _diagnose(priced)
        assert diagnostics.warnings == ()
        assert diagnostics.figures["priced_share"] == pytest.approx(priced.mean(), abs=0.02)
        assert diagnostics.figures["latest_inside_80"] == pytest.approx(0.8, abs=0.04)
        assert diagnostics.figures["latest_distance"] == pytest.approx(1.0, abs=0.1)


def test_intervals_are_measured_out_of_fold_and_by_band_of_the_market() -> None:
    figures = _diagnose(np.ones(FIGHTS, dtype=np.bool_))[0].figures
    assert figures["inside_80"] == pytest.approx(0.8, abs=0.03)
    assert figures["inside_95"] == pytest.approx(0.95, abs=0.02)
    assert 0.1 < figures["width_80"] < figures["width_95"] < 0.7
    bands = [band for band in (50, 60, 70, 80, 85) if f"market_{band}_fights" in figures]
    counts = np.array([figures[f"market_{band}_fights"] for band in bands])
    assert FIGHTS - 100 < counts.sum() <= FIGHTS  # bands with fewer than 100 fights are left out
    shares = np.array([figures[f"market_{band}_inside_80"] for band in bands])
    assert np.average(shares, weights=counts) == pytest.approx(figures["inside_80"], abs=0.02)


def test_a_band_of_the_market_with_few_closes_inside_is_named() -> None:
    rng = np.random.default_rng(6)
    matrix = _matrix(rng, np.ones(FIGHTS, dtype=np.bool_))
    logit = 0.1 * rng.normal(size=FIGHTS)
    market = logit + 0.3 * rng.normal(size=FIGHTS) + np.where(np.arange(FIGHTS) % 20 == 0, 2.5, 0.0)
    won = (rng.random(FIGHTS) < 1.0 / (1.0 + np.exp(-market))).astype(np.int8)
    half_widths = fit_half_widths(logit, logit, market, won, matrix.corner_known, matrix.experience, None)
    found = diagnose_training_data(replace(matrix, won=won), event_blocks(matrix, 10), logit, market, half_widths)
    assert any(
        "hold few closes of some strengths" in warning and "85% or more" in warning for warning in found.warnings
    )


def test_priced_fights_that_are_close_and_late_are_called_a_selection() -> None:
    rng = np.random.default_rng(3)  # as in `_notes`: the logits drawn there are to decide here
    matrix = _matrix(rng, np.ones(FIGHTS, dtype=np.bool_))
    logit = rng.normal(0.0, 0.6, FIGHTS)
    late = np.linspace(0.0, 1.0, FIGHTS)
    priced = (np.abs(logit) < 0.3) & (np.random.default_rng(0).random(FIGHTS) < late)
    assert 0.1 < priced.mean() < 0.25
    diagnostics, _ = _diagnose(priced)
    (warning,) = diagnostics.warnings
    assert "they are a selection" in warning
    assert "the likelier fighter's probability is 0.5" in warning
    assert "the mean date is" in warning
    assert diagnostics.figures["priced_favourite"] < 0.56 < 0.6 < diagnostics.figures["unpriced_favourite"]
    assert len(matrix) == FIGHTS


def test_fights_before_there_were_any_odds_make_no_selection() -> None:
    diagnostics, _ = _diagnose(np.arange(FIGHTS) > 1000)
    assert diagnostics.warnings == ()
    assert diagnostics.figures["priced_share"] == 1.0


def test_a_market_that_moves_away_from_the_model_is_warned_about() -> None:
    diagnostics, _ = _diagnose(np.ones(FIGHTS, dtype=np.bool_), growth=1.5)
    warning = diagnostics.warnings[0]
    assert warning.startswith("over the last two years (1050 fights) the market was further from the model")
    assert diagnostics.figures["latest_distance"] > 1.15
    assert diagnostics.figures["latest_inside_95"] < 0.93


def test_too_few_fights_with_odds_are_reported_with_the_number_needed() -> None:
    diagnostics, _ = _diagnose(np.arange(FIGHTS) < 199)
    (warning,) = diagnostics.warnings
    assert "199 fights have closing odds, and 200 are needed" in warning
    assert "model_based" in warning


def test_uneven_folds_are_warned_about() -> None:
    blocks = np.repeat(np.arange(4), [1137, 111, 123, FIGHTS - 1371])
    diagnostics, _ = _diagnose(np.ones(FIGHTS, dtype=np.bool_), blocks=blocks)
    (warning,) = diagnostics.warnings
    assert "the folds are uneven, of 1137, 111, 123, 1629 fights" in warning


def _named_alike(log: FightLog, share: float) -> FightLog:
    fights = log.fights.copy()
    events = fights["event"].unique()
    alike = set(np.random.default_rng(2).choice(events, int(share * len(events)), replace=False))
    fights["event"] = fights["event"].where(~fights["event"].isin(alike), "Fight Night")
    return FightLog(fights, log.stat_lines, log.fighters)


def test_events_that_are_named_alike_are_as_many_as_their_days(league: League) -> None:
    named, alike = build_matrix(league.log), build_matrix(_named_alike(league.log, 0.7))
    np.testing.assert_array_equal(event_blocks(alike, 10), event_blocks(named, 10))
    assert len(np.unique(alike.event)) == len(np.unique(named.event))
    sizes = np.bincount(event_blocks(alike, 10))
    assert sizes.max() < 2 * sizes.mean()


def test_a_matrix_of_one_name_has_an_event_a_day(tmp_path: Path) -> None:
    rows = pd.DataFrame({"red_x": range(6), "blue_x": 1, "won": [0, 1] * 3, "event": "Saturday"})
    rows["date"] = ["2020-01-04", "2020-01-11", "2020-01-04", "2020-01-18", "2020-01-18", "2020-01-11"]
    rows.to_csv(tmp_path / "m.csv", index=False)
    matrix = read_matrix(tmp_path / "m.csv", label="won", event="event", date="date")
    assert sorted(set(matrix.event)) == [f"Saturday on 2020-01-{day}" for day in ("04", "11", "18")]
    assert event_blocks(matrix, 3).tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.slow
def test_a_model_keeps_the_diagnostics_of_its_training(
    league_matrix: TrainingMatrix, small_training: TrainingConfig
) -> None:
    few = np.arange(len(league_matrix)) >= 150
    without_odds = replace(league_matrix, red_odds=np.where(few, np.nan, league_matrix.red_odds))
    plan = replace(small_training, fits=1)
    recent, too_few = train_ensemble(without_odds, plan).manifest["warnings"]
    assert "% of the fights of the last 365 days have closing odds" in recent
    assert "200 are needed" in too_few
    statistics = without_odds.select([name for name in without_odds.X.columns if name != "diff_rating"])
    (warning,) = train_ensemble(statistics, plan).manifest["warnings"]
    assert warning == too_few


@pytest.mark.parametrize(("share", "warned"), [(0.0, True), (0.4, True), (0.6, False), (1.0, False)])
def test_a_rating_by_past_odds_without_recent_ones_is_warned_about(share: float, warned: bool) -> None:
    year = np.arange(FIGHTS) >= FIGHTS - 520
    rng = np.random.default_rng(1)
    priced = ~year | (rng.random(FIGHTS) < share)
    for features, expected in (((), False), (("diff_results_rating",), False), (("diff_rating",), warned)):
        diagnostics, _ = _diagnose(priced, features=features)
        assert any("of the last 365 days have closing odds" in one for one in diagnostics.warnings) is expected
