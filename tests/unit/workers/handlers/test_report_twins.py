"""The engine's result types and the report types that the workers fill from them have the same fields."""

from __future__ import annotations

from dataclasses import fields

import msgspec
import pytest

from engine.evaluation import betting_rules, challenger, metrics
from engine.model import contributions
from engine.monitoring import sequential_tests
from engine.statistics import scores
from ledger.contracts import reports
from ledger.contracts.job_reports import backtest_report, judgement_report, monitoring_reports

TWINS: list[tuple[type, type[msgspec.Struct]]] = [
    (contributions.Contributions, reports.Contributions),
    (scores.Estimate, backtest_report.Estimate),
    (scores.CalibrationLine, backtest_report.CalibrationLine),
    (scores.ReliabilityBin, backtest_report.ReliabilityBin),
    (metrics.ForecastScore, backtest_report.ForecastScore),
    (metrics.IntervalCoverage, backtest_report.IntervalCoverage),
    (metrics.EvaluationSlice, backtest_report.EvaluationSlice),
    (metrics.WidthComparison, backtest_report.WidthComparison),
    (betting_rules.BacktestRuleResult, backtest_report.BacktestRuleResult),
    (challenger.EvaluatedCoverage, judgement_report.EvaluatedCoverage),
    (challenger.EvaluatedForecast, judgement_report.EvaluatedForecast),
    (challenger.PairedDifference, judgement_report.PairedDifference),
    (sequential_tests.SequentialTestResult, monitoring_reports.SequentialTestResult),
]


@pytest.mark.parametrize(("result", "report"), TWINS, ids=[report.__name__ for _, report in TWINS])
def test_an_engine_result_has_the_name_and_the_fields_of_its_report(result: type, report: type[msgspec.Struct]) -> None:
    assert result.__name__ == report.__name__
    assert [field.name for field in fields(result)] == [field.name for field in msgspec.structs.fields(report)]


def test_no_figure_of_a_backtest_is_left_out_of_its_report() -> None:
    made = {field.name for field in fields(metrics.BacktestEvaluation)}
    reported = {field.name for field in msgspec.structs.fields(backtest_report.BacktestReport)}
    assert reported - made == {"schema_version", "data_digest"}
    assert made <= reported
