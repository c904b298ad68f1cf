"""Tables of a judgement's report: the verdict, the forecasts beside each other, and the differences. Layout only."""

from __future__ import annotations

from rich.table import Table

from ledger.evaluation import Estimate
from ledger.judgement import JudgementReport
from producer.figures import estimate_text, figure_table, share_text

METHODS = {
    "held_out": "answered by the models themselves, which have not seen them",
    "walk_forward": "answered by {trained} models of their settings, each trained on what came before",
}


def judgement_tables(report: JudgementReport) -> list[Table]:
    """Return the verdict with its reasons, the forecasts, their intervals, and the paired differences."""
    return [_verdict(report), _forecasts(report), _intervals(report), _paired(report)]


def _verdict(report: JudgementReport) -> Table:
    verdict = report.verdict
    title = "The challenger may be promoted" if verdict.promote else "The challenger is refused"
    table = Table(title=title, title_justify="left")
    for column in ("reason", "figures"):
        table.add_column(column, overflow="fold")
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
    )
    for each in report.forecasts:
        figures = (_plain(each.log_loss), _plain(each.brier), _plain(each.slope, 3), _plain(each.intercept, 3))
        table.add_row(each.forecast.replace("_", " "), *figures)
    table.caption = f"{METHODS[report.method].format(trained=report.trained)}; [95% interval], by event"
    return table


def _intervals(report: JudgementReport) -> Table:
    table = figure_table("Recalibrated closing odds inside the intervals", "intervals of", "level", "inside", "width")
    for each in report.forecasts:
        for coverage in each.coverage:
            figures = (share_text(coverage.inside), _plain(coverage.width, 3))
            table.add_row(each.forecast, f"{coverage.level:.0%}", *figures)
    return table


def _paired(report: JudgementReport) -> Table:
    table = figure_table("Challenger minus the others: lower is better", "against", "log loss", "Brier")
    for each in report.paired:
        signed = [estimate_text(value, lambda number: f"{number:+.4f}") for value in (each.log_loss, each.brier)]
        table.add_row(each.against.replace("_", " "), *signed)
    return table


def _plain(estimate: Estimate | None, digits: int = 4) -> str:
    return estimate_text(estimate, lambda number: f"{number:.{digits}f}")
