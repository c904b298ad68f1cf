"""Tables of a judgement report: the verdict, the forecasts, and the paired differences. Layout only."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET
from rich.table import Table

from ledger.contracts.job_reports.backtest_report import Estimate
from ledger.contracts.job_reports.judgement_report import EvaluatedForecast, JudgementReport, ServedComparison
from producer.output.numbers import estimate_text, number_table, share_text

METHODS = {
    "held_out": "predicted by the models themselves, which were not trained on them",
    "walk_forward": "predicted by {trained} models of their settings, each trained on earlier fights",
}


def judgement_tables(report: JudgementReport) -> list[Table]:
    """Return the tables of the verdict with its reasons, the forecasts, their intervals, and the paired differences."""
    return [
        _verdict(report),
        _forecasts(report, report.forecasts, "as in production: corner unknown"),
        *([_forecasts(report, report.corner_known, "with the official corner")] if report.corner_known else []),
        *([] if report.served is UNSET else [_served(report.served)]),
        _intervals(report),
        _paired(report),
    ]


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
    for remark in verdict.remarks:
        table.add_row(f"no reason: {remark.code.replace('_', ' ')}", remark.message)
    if report.error is not None:
        table.add_row(f"try {report.tries}", f"against this champion; its error probability is {report.error:.2%}")
    if report.anchor is not None:
        table.add_row("anchor", f"{report.anchor[:12]}, the best model before; the challenger must not be worse")
    if report.same_recipe and report.method == "walk_forward":
        table.add_row(
            "same settings", "so the predictions are equal: walk-forward compares settings, not training data"
        )
    return table


def _forecasts(report: JudgementReport, forecasts: Sequence[EvaluatedForecast], corners: str) -> Table:
    table = number_table(
        f"{report.fights:,} fights of {report.events:,} events, {report.first_day} to {report.last_day}, {corners}",
        *("forecast", "log loss", "Brier", "slope", "intercept"),
    )
    for each in forecasts:
        figures = (_plain(each.log_loss), _plain(each.brier), _plain(each.slope, 3), _plain(each.intercept, 3))
        table.add_row(each.forecast.replace("_", " "), *figures)
    table.caption = f"{METHODS[report.method].format(trained=report.trained)}; [95% interval], by event"
    return table


def _served(served: ServedComparison) -> Table:
    table = number_table("Log loss of served answers", "model", "states", "corner", "log loss", "minus market")
    for each in served.forecasts:
        difference = estimate_text(each.minus_market, lambda number: f"{number:+.4f}")
        table.add_row(each.forecast, each.state, each.corner, _plain(each.log_loss), difference)
    table.caption = (
        f"compared are the answers from {served.state} states; fresh: fighters' states are updated after each event; "
        "lagging: they are those of the model's training"
    )
    return table


def _intervals(report: JudgementReport) -> Table:
    odds = "Recalibrated closing odds" if report.recalibrated else "Closing odds as they are (no earlier fights)"
    table = number_table(f"{odds} inside the intervals", "intervals of", "level", "inside", "width")
    for each in report.forecasts:
        for coverage in each.coverage:
            figures = (share_text(coverage.inside), _plain(coverage.width, 3))
            table.add_row(each.forecast, f"{coverage.level:.0%}", *figures)
    return table


def _paired(report: JudgementReport) -> Table:
    table = number_table("Challenger minus the others: lower is better", "against", "log loss", "at most", "Brier")
    for each in report.paired:
        loss, brier = (estimate_text(value, lambda number: f"{number:+.4f}") for value in (each.log_loss, each.brier))
        table.add_row(each.against.replace("_", " "), loss, "-" if each.most is None else f"{each.most:+.4f}", brier)
    if report.error is not None:
        table.caption = f"at most: upper bound with an error probability of {report.error:.2%}"
    return table


def _plain(estimate: Estimate | None, digits: int = 4) -> str:
    return estimate_text(estimate, lambda number: f"{number:.{digits}f}")
