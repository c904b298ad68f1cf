"""Tables of reports about models in production, and of drift alarms. Layout only."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import UNSET
from rich.table import Table
from rich.text import Text

from ledger.contracts.job_reports.backtest_report import Estimate
from ledger.contracts.job_reports.monitoring_reports import (
    ComparisonReport,
    ReviewReport,
    SequentialTestResult,
    ServedWindow,
)
from ledger.models.drift_alarms import DriftAlarm

NOTHING = "-"


def comparison_tables(report: ComparisonReport) -> list[Table]:
    """Return the tables of the scores of champion, challenger and market, and of their differences."""
    digests = {"champion": f" {report.champion[:12]}", "challenger": f" {report.challenger[:12]}"}
    scores = _table(
        f"{report.fights:,} fights of {report.events:,} events; {report.waiting:,} without a result yet, "
        f"{report.void:,} without a winner",
        *("forecast", "log loss", "Brier"),
    )
    for score in report.scores:
        _row(
            scores,
            score.forecast + digests.get(score.forecast, ""),
            f"{score.log_loss:.4f}",
            f"{score.brier:.4f}",
        )
    differences = _table("Differences: below 0 the first is better", "models", "log loss", "Brier")
    for one in report.differences:
        _row(differences, f"{one.one} - {one.other}", _difference(one.log_loss), _difference(one.brier))
    differences.caption = "[95% interval], by event"
    if report.states is not UNSET:
        scores.caption = "; ".join(
            f"{each.forecast}: {each.fresh:,} answers from fresh states, {each.lagging:,} from lagging ones"
            for each in report.states
        )
    return [scores, differences] if report.fights else [scores]


def review_tables(report: ReviewReport) -> list[Table]:
    """Return the tables of the tests, scores and reliability of a model's live predictions."""
    tables = [_tests(report)]
    if report.windows:
        tables += [_windows(report), _intervals(report), _reliability(report)]
    if report.served is not UNSET:
        tables.append(_served(report.served))
    if report.shifts:
        tables.append(_shifts(report))
    return tables


def alarms_table(alarms: Iterable[DriftAlarm]) -> Table:
    """Return the table of active alarms."""
    table = _table("Alarms about models", "model", "since", "tests", "fights", "action", "details")
    for alarm in alarms:
        _row(
            table,
            alarm.model[:12],
            f"{alarm.raised_at:%Y-%m-%d %H:%M}",
            ", ".join(f"{found.test} {found.highest:.3g}" for found in alarm.findings),
            str(alarm.fights),
            alarm.action if alarm.acted else "pending",
            alarm.said,
        )
    table.caption = "to clear one: cornerman models clear-alarm MODEL --reason ..."
    return table


def _tests(report: ReviewReport) -> Table:
    table = _table(
        f"Model {report.model[:12]}: {report.fights:,} fights of {report.events:,} events; {report.waiting:,} without "
        f"a result yet, {report.void:,} without a winner, {report.contradicted:,} with contradictory results",
        *("test", "evidence now", "highest", "alarm at", "events", ""),
    )
    for found in report.findings:
        table.add_row(
            found.test,
            f"{found.e_value:.3g}",
            f"{found.highest:.3g}",
            f"{found.threshold:g}",
            f"{found.events:,}",
            _verdict(found),
        )
    gap = f"{report.proven_gap:.0%}" if report.proven_gap else "nothing yet"
    action = f"; alarm ({', '.join(report.alarm)}): {report.action}, {report.said}" if report.alarm else ""
    table.caption = f"proven gap between the favourites' forecast and actual share of wins: {gap}{action}"
    return table


def _verdict(found: SequentialTestResult) -> Text:
    return Text("ALARM", style="bold red") if found.alarm else Text("quiet")


def _windows(report: ReviewReport) -> Table:
    table = _table("Log loss", "fights", "from", "to", "log loss", "minus market", "slope", "intercept")
    line = report.calibration
    for number, window in enumerate(report.windows):
        shown = line if number == 0 else None
        _row(
            table,
            f"{window.fights:,}",
            str(window.first_day),
            str(window.last_day),
            f"{window.log_loss:.4f}",
            _difference(window.minus_market),
            NOTHING if shown is None else f"{shown.slope:.2f} ± {shown.slope_error:.2f}",
            NOTHING if shown is None else f"{shown.intercept:+.2f} ± {shown.intercept_error:.2f}",
        )
    table.caption = "[95% interval], by event, valid for a single review; the tests above stay valid for any number"
    return table


def _served(windows: Iterable[ServedWindow]) -> Table:
    table = _table("Log loss by the states of the answers", "states", "corner", "fights", "log loss", "minus market")
    for each in windows:
        cells = (f"{each.fights:,}", f"{each.log_loss:.4f}", _difference(each.minus_market))
        _row(table, each.state, each.corner, *cells)
    table.caption = "lagging: a known result was later than the fighters' states; fresh: none was"
    return table


def _intervals(report: ReviewReport) -> Table:
    table = _table(
        "Intervals", "level", "market inside", "mean width", "favourites' lower ends", "won", "favourites' upper ends"
    )
    covered = {cover.level: cover for cover in report.coverage}
    for band in report.bands:
        cover = covered.get(band.level)
        _row(
            table,
            f"{band.level:.0%}",
            NOTHING if cover is None else _share(cover.inside),
            NOTHING if cover is None else f"{cover.width:.2f}",
            f"{band.lower:.1%}",
            _share(band.won),
            f"{band.upper:.1%}",
        )
    return table


def _shifts(report: ReviewReport) -> Table:
    table = _table("Features with the largest drift from training", "feature", "stability index")
    for shift in report.shifts:
        _row(table, shift.feature, f"{shift.index:.2f}")
    table.caption = "of the last 100 fights; descriptive: the test `features` controls the rate of false alarms"
    return table


def _reliability(report: ReviewReport) -> Table:
    table = _table("Favourites", "forecast", "fights", "mean forecast", "won")
    for one in report.reliability:
        _row(
            table,
            f"{one.from_probability:.0%} to {one.to_probability:.0%}",
            f"{one.fights:,}",
            f"{one.forecast:.1%}",
            _share(one.won),
        )
    return table


def _difference(estimate: Estimate | None) -> str:
    return NOTHING if estimate is None else f"{estimate.value:+.4f}{_ends(estimate, '{:+.4f}')}"


def _share(estimate: Estimate | None) -> str:
    return NOTHING if estimate is None else f"{estimate.value:.1%}{_ends(estimate, '{:.0%}')}"


def _ends(estimate: Estimate, form: str) -> str:
    if estimate.lower is None or estimate.upper is None:
        return ""
    return f" [{form.format(estimate.lower)}, {form.format(estimate.upper)}]"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _row(table: Table, *cells: str) -> None:
    """Add a row of plain text, so that brackets are not parsed as markup."""
    table.add_row(*map(Text, cells))
