from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from engine.errors import TrainingError, ValidationError
from engine.evaluation.metrics import BacktestEvaluation, evaluate_forecasts
from engine.evaluation.walk_forward import bound_column
from ledger.contracts.codec import decode_report, encode
from ledger.contracts.job_reports.backtest_report import BacktestReport
from tests.support.past_fights import forecasts_of
from workers.handlers.training.backtest import backtest_report


def _slices(evaluation: BacktestEvaluation, dimension: str) -> dict[str, int]:
    return {part.name: part.fights for part in evaluation.slices if part.dimension == dimension}


def test_only_priced_fights_are_scored_so_that_all_are_compared_on_the_same() -> None:
    table = forecasts_of(200)
    table.loc[table.index % 4 == 0, ["market", "recalibrated_market", "red_odds", "blue_odds"]] = np.nan
    found = evaluate_forecasts(table)
    assert (found.forecast_fights, found.scored_fights) == (200, 150)
    assert {score.fights for score in found.scores} == {150}


def test_scores_by_hand() -> None:
    table = forecasts_of(100)
    table["won"] = (np.arange(100) % 4 > 0).astype(np.int8)  # three of four
    table["ridge"] = np.where(np.arange(100) % 8 < 4, 0.75, 0.7501)
    table["market"] = np.where(np.arange(100) % 8 < 4, 0.5, 0.5001)
    scores = {score.forecast: score for score in evaluate_forecasts(table).scores}
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert scores["ridge"].log_loss == pytest.approx(entropy, abs=1e-4)
    assert scores["ridge"].brier == pytest.approx(0.1875, abs=1e-4)
    assert scores["market"].minus_market is None
    difference = scores["ridge"].minus_market
    assert difference is not None
    assert difference.value == pytest.approx(entropy - np.log(2), abs=1e-4)


def test_an_interval_is_compared_with_the_recalibrated_close() -> None:
    table = forecasts_of(100)
    table["recalibrated_market"] = table["statistics_only"] + np.where(np.arange(100) < 30, 0.33, 0.0)
    whole = evaluate_forecasts(table).slices[0]
    narrow, wide = whole.coverage
    assert (narrow.level, wide.level) == (0.8, 0.95)
    assert (narrow.width, wide.width) == (pytest.approx(0.64), pytest.approx(0.76))
    assert narrow.inside is not None
    assert wide.inside is not None
    assert (narrow.inside.value, wide.inside.value) == (pytest.approx(0.7), 1.0)


def test_fights_are_counted_by_year_size_and_experience() -> None:
    found = evaluate_forecasts(forecasts_of(800, experience=np.arange(800) % 8))
    assert _slices(found, "year") == {"2020": 520, "2021": 280}
    assert _slices(found, "experience") == {"0": 100, "1 to 2": 200, "3 to 5": 300, "6 or more": 200}
    assert sum(_slices(found, "logit").values()) == 800
    assert _slices(found, "corner") == {"taken as unknown": 800}
    assert _slices(evaluate_forecasts(forecasts_of(60, experience=-1)), "experience") == {"unknown": 60}


def test_intervals_are_counted_by_the_market_and_after_re_anchoring() -> None:
    table = forecasts_of(200)
    table["market"] = np.where(np.arange(200) < 150, 0.45, 0.9)
    for name in ("reanchored", "reanchored_cornerless"):
        table[name] = table["statistics_only"]
        for level in (0.8, 0.95):
            table[bound_column(name, "lower", level)], table[bound_column(name, "upper", level)] = 0.0, 1.0
    found = evaluate_forecasts(table)
    assert _slices(found, "market") == {"50% to 60%": 150, "85% or more": 50}
    assert _slices(found, "reanchored_market") == _slices(found, "market")
    assert _slices(found, "reanchored_year") == _slices(found, "year")
    assert _slices(found, "reanchored") == {"corner as it is known": 200, "corner taken as unknown": 200}
    moved = next(part for part in found.slices if part.dimension == "reanchored")
    assert [coverage.width for coverage in moved.coverage] == [1.0, 1.0]
    assert not _slices(evaluate_forecasts(forecasts_of(60)), "reanchored")


def test_out_of_fold_intervals_are_compared_with_forward_ones_one_model_one_voice() -> None:
    table = forecasts_of(100)
    assert evaluate_forecasts(table).widths == ()
    table["trained_before"] = np.where(np.arange(100) < 90, table["trained_before"], pd.Timestamp("2030-01-01"))
    for name, values in {"inside": (0.7, 0.9), "width": (0.2, 0.4)}.items():
        for level in (80, 95):
            table[f"out_of_fold_{name}_{level}"] = np.where(np.arange(100) < 90, *values)
    narrow, _ = evaluate_forecasts(table).widths
    assert (narrow.level, narrow.out_of_fold_inside) == (0.8, pytest.approx(0.8))
    assert narrow.out_of_fold_width == pytest.approx(0.3)
    assert narrow.forward_width == pytest.approx(0.64, abs=0.05)


def test_without_odds_there_is_no_market_and_no_bet() -> None:
    none = dict.fromkeys(("market", "recalibrated_market", "red_odds", "blue_odds", "market_aware"), np.nan)
    found = evaluate_forecasts(forecasts_of(60, **none))
    assert [score.forecast for score in found.scores] == ["statistics_only", "cornerless", "ridge"]
    assert all(score.minus_market is None for score in found.scores)
    assert all(coverage.inside is None for part in found.slices for coverage in part.coverage)
    assert (found.rules, found.rules_tried, found.both_sides_return) == ((), 0, None)


def test_rules_are_counted_without_the_one_that_bets_everything() -> None:
    closing = evaluate_forecasts(forecasts_of(60))
    early = evaluate_forecasts(forecasts_of(60, red_early_odds=2.0, blue_early_odds=1.8))
    assert closing.rules_tried == len(closing.rules) - 1
    assert early.rules_tried == len(early.rules) - 2 == 2 * closing.rules_tried
    assert closing.both_sides_return == pytest.approx(-0.05)


def test_too_few_fights_are_not_evaluated_and_a_perfect_forecast_is_not_believed() -> None:
    with pytest.raises(ValidationError, match="49 fights are too few"):
        evaluate_forecasts(forecasts_of(49))
    table = forecasts_of(60)
    table["statistics_only"] = np.where(table["won"] == 1, 0.9, 0.1) + 0.01 * np.cos(np.arange(60))
    with pytest.raises(TrainingError, match="look for a leak"):
        evaluate_forecasts(table)


def test_the_report_travels_and_comes_back() -> None:
    table = forecasts_of(300, red_early_odds=2.0, blue_early_odds=1.8)
    table.loc[:, bound_column("early_market_aware", "lower", 0.68)] = 0.51
    evaluation = evaluate_forecasts(table)
    report = backtest_report(evaluation, "0" * 64)
    assert isinstance(report, BacktestReport)
    assert decode_report(encode(report)) == report
    assert len(encode(report)) < 100_000
    assert len(report.months) == len(report.rules[0].bankroll)
    assert asdict(evaluation)["scores"][0]["log_loss"] == report.scores[0].log_loss


def test_two_orders_of_listing_give_the_same_scores() -> None:
    table = forecasts_of(200, red_odds=1.7, blue_odds=2.2)
    swapped = table.assign(
        won=(1 - table["won"]).astype(np.int8), red_odds=table["blue_odds"], blue_odds=table["red_odds"]
    )
    for name in ("market", "recalibrated_market", "ridge", "statistics_only", "cornerless", "market_aware"):
        swapped[name] = 1.0 - table[name]
        for level in (0.68, 0.8, 0.95) if name in ("statistics_only", "cornerless", "market_aware") else ():
            swapped[bound_column(name, "lower", level)] = 1.0 - table[bound_column(name, "upper", level)]
            swapped[bound_column(name, "upper", level)] = 1.0 - table[bound_column(name, "lower", level)]
    one, other = evaluate_forecasts(table), evaluate_forecasts(pd.DataFrame(swapped))
    for first, second in zip(one.scores, other.scores, strict=True):
        assert first.log_loss == pytest.approx(second.log_loss)
        assert first.calibration.slope == pytest.approx(second.calibration.slope)
        assert first.calibration.intercept == pytest.approx(-second.calibration.intercept)
    for mine, theirs in zip(one.rules, other.rules, strict=True):
        assert mine.bankroll == pytest.approx(theirs.bankroll)


def test_the_four_ways_of_serving_are_scored_and_what_lagging_costs() -> None:
    table = forecasts_of(200)
    table["won"] = (np.arange(200) % 4 > 0).astype(np.int8)
    table["lagging"] = table["statistics_only"] * 0.9
    table.loc[table.index % 8 == 1, "lagging_experience"] = 0  # of those, only the fresh state knows a fight
    found = evaluate_forecasts(table)
    loss = np.log(np.where(table["won"] == 1, table["lagging"], 1.0 - table["lagging"]))
    fresh = np.log(np.where(table["won"] == 1, table["statistics_only"], 1.0 - table["statistics_only"]))
    scores = {(each.state, each.corner): each for each in found.served}
    assert list(scores) == [("fresh", "known"), ("fresh", "unknown"), ("lagging", "known"), ("lagging", "unknown")]
    assert scores["lagging", "known"].log_loss == pytest.approx(-loss.mean())
    assert scores["fresh", "known"].log_loss == found.slices[0].log_loss
    assert scores["fresh", "unknown"].coverage == found.slices[1].coverage
    costs = {(each.corner, each.of): each for each in found.lagging_costs}
    known = {of: each.fights for (corner, of), each in costs.items() if corner == "known"}
    assert known == {"all": 200, "first_180_days": 181, "later": 19, "unknown_fighter": 25}
    assert costs["known", "all"].minus_fresh.value == pytest.approx(fresh.mean() - loss.mean())
    assert costs["known", "later"].lagging == pytest.approx(-loss[181:].mean())
    assert costs["unknown", "all"].minus_fresh.value == 0.0


def test_without_lagging_answers_there_is_no_cost_of_them() -> None:
    table = forecasts_of(100)
    found = evaluate_forecasts(table.drop(columns=[name for name in table if name.startswith(("lagging", "state"))]))
    assert [each.state for each in found.served] == ["fresh", "fresh"]
    assert found.lagging_costs == ()
