"""Tables of a backtest's report. Layout only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.table import Table

from ledger.contracts.job_reports.backtest_report import (
    BacktestReport,
    BacktestRuleResult,
    BaselineScore,
    Estimate,
    EvaluationSlice,
    ForecastScore,
    IntervalCoverage,
)
from producer.output.numbers import estimate_text, number_table, share_text

FORECAST_NAMES = {
    "market": "market",
    "market_aware": "market-aware",
    "early_market_aware": "market-aware",
    "statistics_only": "statistics and past fights' odds",
    "cornerless": "the same, corner unknown",
    "ridge": "ridge regression (baseline)",
    "rating": "rating alone (baseline)",
    "results_rating": "statistics only (rating by results)",
    None: "none: both sides",
}
"""Display names; `engine.evaluation.plots` has the same ones, since the engine imports nothing of the producer."""
DIMENSION_NAMES = {
    "all": "all fights",
    "corner": "corner",
    "year": "year",
    "logit": "|logit|",
    "experience": "earlier fights",
    "market": "market's favourite",
    "reanchored": "re-anchored after each event",
    "reanchored_year": "re-anchored, year",
    "reanchored_market": "re-anchored, market's favourite",
}
LAGGING_FIGHTS = {
    "all": "all",
    "first_180_days": "up to 180 days after the last fight of the state",
    "later": "later",
    "unknown_fighter": "with a fighter whom only fresh states know",
}


class BacktestTables(NamedTuple):
    """The tables of a report, by subject; a subject of which it has no figures has none."""

    scores: Table
    served: tuple[Table, ...]
    intervals: tuple[Table, ...]
    rules: Table
    reliability: tuple[Table, ...]


def tables_by_subject(report: BacktestReport) -> BacktestTables:
    """Return the tables of forecasts, served answers, intervals, betting rules, and the reliability."""
    served = (*_served(report), *_lagging_costs(report))
    return BacktestTables(
        scores=_scores(report),
        served=served,
        intervals=(_intervals(report), *_widths(report)),
        rules=_rules(report),
        reliability=tuple(_reliability(report)),
    )


def backtest_tables(report: BacktestReport) -> list[Table]:
    """Return all tables in the order in which they are shown."""
    tables = tables_by_subject(report)
    return [tables.scores, *tables.served, *tables.intervals, tables.rules, *tables.reliability]


def _scores(report: BacktestReport) -> Table:
    table = number_table(
        f"Forecasts of {report.first_day} to {report.last_day}: {report.scored_fights:,} scored of "
        f"{report.forecast_fights:,} fights, {report.events:,} events, "
        f"{report.models} model{'s' if report.models > 1 else ''}",
        *("forecast", "fights", "log loss", "minus market", "Brier", "slope", "intercept"),
    )
    scores: list[ForecastScore | BaselineScore] = [*report.scores, *report.baselines]
    for score in scores:
        line = score.calibration
        table.add_row(
            FORECAST_NAMES[score.forecast],
            f"{score.fights:,}",
            f"{score.log_loss:.4f}",
            _difference(score.minus_market),
            f"{score.brier:.4f}",
            f"{line.slope:.3f} ± {line.slope_error:.3f}",
            f"{line.intercept:+.3f} ± {line.intercept_error:.3f}",
        )
    table.caption = (
        "[95% interval], by event; ± standard error, by event; past fights' odds are those of a fight log, "
        "never a fight's own"
    )
    return table


def _served(report: BacktestReport) -> list[Table]:
    """Return the table of answers by how they are served; none for a report without them."""
    if not report.served:
        return []
    levels = [coverage.level for coverage in report.served[0].coverage]
    table = number_table(
        "Served answers of the ensemble",
        *("states", "corner", "log loss", "minus market", "Brier"),
        *(title for level in levels for title in (f"inside {level:.0%}", "width")),
    )
    for score in report.served:
        cells = [score.state, score.corner, f"{score.log_loss:.4f}", _difference(score.minus_market)]
        table.add_row(*cells, f"{score.brier:.4f}", *_coverage_cells(score.coverage))
    table.caption = (
        "fresh: fighters' states are updated after each event; lagging: they are those of the last refit; "
        "all other tables are of fresh states"
    )
    return [table]


def _lagging_costs(report: BacktestReport) -> list[Table]:
    """Return the table of what states that are not updated cost; none for a feature matrix, which has no states."""
    if not report.lagging_costs:
        return []
    table = number_table(
        "Cost of lagging states: log loss", "corner", "fights", "", "fresh", "lagging", "lagging minus fresh"
    )
    for cost in report.lagging_costs:
        losses = [f"{cost.fresh:.4f}", f"{cost.lagging:.4f}", _difference(cost.minus_fresh)]
        table.add_row(cost.corner, LAGGING_FIGHTS[cost.of], f"{cost.fights:,}", *losses)
    return [table]


def _intervals(report: BacktestReport) -> Table:
    levels = [coverage.level for coverage in report.slices[0].coverage]
    table = number_table(
        "Intervals of statistics and past fights' odds: share of recalibrated closing odds inside",
        *("fights by", "", "fights", "log loss", "minus market"),
        *(title for level in levels for title in (f"inside {level:.0%}", "width")),
    )
    before = ""
    for part in report.slices:
        table.add_row(DIMENSION_NAMES[part.dimension] if part.dimension != before else "", *_interval_cells(part))
        before = part.dimension
    table.caption = (
        "the closing odds are a proxy for a fight's true probability, which is unknown; "
        "earlier fights are those of the less experienced fighter"
    )
    return table


def _widths(report: BacktestReport) -> list[Table]:
    """Return the comparison of out-of-fold with forward intervals; none for a report without it."""
    if not report.widths:
        return []
    table = number_table(
        "Intervals on the models' training fights, out of fold, and on the fights forecast; corner unknown",
        *("level", "inside, out of fold", "width", "inside, forecast", "width"),
    )
    for each in report.widths:
        forward = [share_text(each.forward_inside), f"{each.forward_width:.3f}"]
        table.add_row(f"{each.level:.0%}", f"{each.out_of_fold_inside:.1%}", f"{each.out_of_fold_width:.3f}", *forward)
    return [table]


def _interval_cells(part: EvaluationSlice) -> list[str]:
    cells = ["" if part.dimension == "all" else part.name, f"{part.fights:,}", f"{part.log_loss:.4f}"]
    cells.append(_difference(part.minus_market))
    return cells + _coverage_cells(part.coverage)


def _coverage_cells(coverage: Sequence[IntervalCoverage]) -> list[str]:
    return [cell for each in coverage for cell in (share_text(each.inside), f"{each.width:.3f}")]


def _rules(report: BacktestReport) -> Table:
    table = number_table(
        f"Betting rules, one unit a bet: {report.rules_tried} were tried, so the best is partly luck",
        *("prices", "rule", "forecast", "bets", "return on stake", "closing-line value", "price over close"),
    )
    for result in report.rules:
        table.add_row(
            result.prices,
            result.name.replace("_", " "),
            FORECAST_NAMES[result.forecast],
            _bets(result),
            *map(share_text, (result.return_on_stake, result.closing_line_value, result.price_gain)),
        )
    if report.both_sides_return is not None:
        table.caption = (
            f"return of betting both sides of everything: {report.both_sides_return:+.2%}, the bookmakers' margin; "
            "closing-line value is relative to the de-vigged close"
        )
    return table


def _bets(result: BacktestRuleResult) -> str:
    return f"{result.bets:,} on {result.fights:,} fights"


def _reliability(report: BacktestReport) -> list[Table]:
    for score in report.scores:
        if score.forecast == "statistics_only":
            table = number_table(
                "Reliability of statistics and past odds", "likelier fighter", "fights", "forecast", "won"
            )
            for each in score.reliability:
                span = f"{each.from_probability:.0%} to {each.to_probability:.0%}"
                table.add_row(span, f"{each.fights:,}", f"{each.forecast:.1%}", share_text(each.won))
            return [table]
    return []


def _difference(estimate: Estimate | None) -> str:
    return estimate_text(estimate, lambda value: f"{value:+.4f}")
