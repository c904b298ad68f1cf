"""Tables of a judgement's report: the verdict, the forecasts beside each other, and the differences. Layout only."""

from __future__ import annotations

from rich.table import Table

from ledger.evaluation import Estimate
from ledger.judgement import JudgedForecast, JudgementReport
from producer.figures import estimate_text, figure_table, share_text

LEVELS = (0.8, 0.95)
METHODS = {
    "held_out": "answered by the models themselves, which have not seen them",
    "walk_forward": "answered by {trained} models of their settings, each trained on what came before",
}


def judgement_tables(report: JudgementReport) -> list[Table]:
    """Return the verdict with its reasons, the forecasts and the paired differences."""
    return [_verdict(report), _forecasts(report), _paired(report)]


def _verdict(report: JudgementReport) -> Table:
    verdict = report.verdict
    title = "The challenger may be promoted" if verdict.promote else "The challenger is refused"
    table = figure_table(title, "reason", "figures")
    for reason in verdict.reasons:
        table.add_row(reason.code.replace("_", " "), reason.message)
    if verdict.promote:
        table.add_row("as good as the champion" if report.champion else "better than the base rate", "see below")
    if report.same_recipe and report.method == "walk_forward":
        table.add_row("same settings", "so they answered alike: a walk-forward judges settings, not the data seen")
    return table


def _forecasts(report: JudgementReport) -> Table:
    table = figure_table(
        f"{report.fights:,} fights of {report.events:,} events, {report.first_day} to {report.last_day}",
        *("forecast", "log loss", "Brier", "slope", "intercept"),
        *(title for level in LEVELS for title in (f"inside {level:.0%}", "width")),
    )
    for each in report.forecasts:
        table.add_row(each.forecast.replace("_", " "), *_cells(each))
    method = METHODS[report.method].format(trained=report.trained)
    table.caption = f"{method}; [95% interval], by event; inside: share of recalibrated closing odds"
    return table


def _cells(each: JudgedForecast) -> list[str]:
    cells = [_plain(each.log_loss), _plain(each.brier), _plain(each.slope, 3), _plain(each.intercept, 3)]
    found = {coverage.level: coverage for coverage in each.coverage}
    for level in LEVELS:
        coverage = found.get(level)
        cells += ["", ""] if coverage is None else [share_text(coverage.inside), _plain(coverage.width, 3)]
    return cells


def _paired(report: JudgementReport) -> Table:
    table = figure_table("Challenger minus the others: lower is better", "against", "log loss", "Brier")
    for each in report.paired:
        signed = [estimate_text(value, lambda number: f"{number:+.4f}") for value in (each.log_loss, each.brier)]
        table.add_row(each.against.replace("_", " "), *signed)
    return table


def _plain(estimate: Estimate | None, digits: int = 4) -> str:
    return estimate_text(estimate, lambda number: f"{number:.{digits}f}")
