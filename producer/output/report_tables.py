"""Tables of reports, jobs and records.

Contains layout only: all numbers come from the report, except sums, signs and percentages. Untrusted text is wrapped
in `Text`, so that it is never parsed as markup.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from rich.table import Table
from rich.text import Text

from ledger.contracts.job_reports.backtest_report import BacktestReport
from ledger.contracts.job_reports.bet_settlement_report import BetSettlementReport
from ledger.contracts.job_reports.bets_report import BetsReport
from ledger.contracts.job_reports.fight_log_report import FightLogReport
from ledger.contracts.job_reports.judgement_report import JudgementReport
from ledger.contracts.job_reports.monitoring_reports import ComparisonReport, ReviewReport
from ledger.contracts.job_reports.outcome_archive_report import OutcomeArchiveReport
from ledger.contracts.job_reports.price_archive_report import PriceArchiveReport
from ledger.contracts.job_reports.update_report import UpdateReport
from ledger.contracts.job_state import JobState, JobStatus, Outcome
from ledger.contracts.jobs import PredictCard
from ledger.contracts.local_protocol import Bounds, MatrixReport, RowAnswer
from ledger.contracts.replay_report import ReplayReport
from ledger.contracts.reports import (
    CardReport,
    Contributions,
    FightReport,
    GarbageReport,
    HealthCheck,
    HealthReport,
    PartReport,
    Report,
    ShadowReport,
    TrainingReport,
)
from ledger.models.aliases import CHALLENGER
from producer.output.backtest_tables import backtest_tables
from producer.output.bet_review.review_tables import bet_review_tables
from producer.output.card_tables import card_tables
from producer.output.contribution_tables import contributions_text
from producer.output.decision_text import decision_text
from producer.output.fight_log_tables import fight_log_tables
from producer.output.judgement_tables import judgement_tables
from producer.output.monitoring_tables import comparison_tables, review_tables
from producer.output.numbers import progress_text
from producer.output.replay_tables import replay_tables
from producer.output.table_parts import NOTHING, STYLES, percent, wrapping_table
from producer.output.update_tables import update_tables


def report_tables(report: Report, card: PredictCard | None = None) -> list[Table]:
    """Return the tables of any report; `card` is the job of a card's report."""
    return card_tables(report, card) if isinstance(report, CardReport) else _TABLES[type(report)](report)


def _counts_table(
    report: ShadowReport | PartReport | PriceArchiveReport | OutcomeArchiveReport | BetSettlementReport,
) -> list[Table]:
    titles = {
        ShadowReport: "Shadow",
        PartReport: "Part",
        PriceArchiveReport: "Archived",
        OutcomeArchiveReport: "Archived",
        BetSettlementReport: "Settled",
    }
    row = {name: value for name, value in msgspec.structs.asdict(report).items() if name != "schema_version"}
    if isinstance(report, PriceArchiveReport):
        row["months"] = ", ".join(report.months) or NOTHING
    if isinstance(report, BetSettlementReport):
        row |= {name: ", ".join(row[name]) or NOTHING for name in ("waiting", "unclear")}
    return [records_table(titles[type(report)], list(row), [row])]


def _garbage_tables(report: GarbageReport) -> list[Table]:
    removed = [("model", digest) for digest in report.models] + [("training", name) for name in report.trainings]
    rows = [{"what": what, "digest": digest} for what, digest in removed]
    title = "Would be removed" if report.dry_run else "Removed"
    return [records_table(title, ["what", "digest"], rows)] if rows else []


def _bounds(bounds: Bounds | None) -> str:
    return NOTHING if bounds is None else f"{percent(bounds[0])} to {percent(bounds[1])}"


def training_table(report: TrainingReport) -> Table:
    """Return the table of a training report."""
    table = wrapping_table("Trained", "model", "alias", "fights", "events", "features", "replicas", "intervals", "MB")
    table.add_row(
        report.model[:12],
        Text(report.alias or NOTHING),
        *(f"{count:,}" for count in (report.fights, report.events, report.features, report.bootstrap_samples)),
        report.interval_method,
        f"{report.bundle_bytes / 1e6:.1f}",
    )
    metrics = ", ".join(f"{name} {_figure(value)}" for name, value in sorted(report.metrics.items()))
    table.caption = f"out of fold: {metrics}; fights up to {report.data_cutoff}"
    table.caption += "".join(f"\nWarning: {warning}." for warning in report.warnings)
    if report.alias == CHALLENGER:
        table.caption += "\nTo promote it: cornerman models promote challenger --data FOLDER"
    return table


def _figure(value: float) -> str:
    """Format a metric; a whole number without decimals."""
    return f"{value:,.0f}" if value.is_integer() else f"{value:.4f}"


def rows_table(rows: Sequence[RowAnswer], report: MatrixReport) -> Table:
    """Return the predictions of a feature matrix, a line for each row, for the red side."""
    levels = list(rows[0].intervals) if rows else []
    titles = [f"{float(level):.0%} interval" for level in levels]
    explained = any(row.contributions for row in rows)
    last = ["contributions to red's logit"] if explained else []
    columns = ("row", "red wins", *titles, "sampling interval", "market-aware", *last)
    table = wrapping_table(f"{report.rows:,} rows", *columns)
    for number, row in enumerate(rows, start=1):
        intervals = [_bounds(row.intervals[level]) for level in levels]
        aware = None if row.market_aware is None else row.market_aware.probability
        sampling = _bounds(row.sampling_interval)
        terms = [contributions_text(row.contributions)] if isinstance(row.contributions, Contributions) else []
        table.add_row(str(number), percent(row.probability), *intervals, sampling, percent(aware), *terms)
    table.caption = f"model {report.model[:12]}"
    return table


def health_table(report: HealthReport) -> Table:
    """Return the table of a worker's health checks."""
    return checks_table(report.checks, f"Worker is {report.status}, {report.memory_mb:,.0f} MB")


def checks_table(checks: Iterable[HealthCheck], title: str = "Pool") -> Table:
    """Return a table of health checks with their results."""
    table = wrapping_table(title, "check", "result", "detail")
    for check in checks:
        style = STYLES["succeeded" if check.passed else "failed"]
        table.add_row(check.name, Text("passed" if check.passed else "FAILED", style=style), Text(check.detail))
    return table


def status_table(status: JobStatus) -> Table:
    """Return the state of one job."""
    table = wrapping_table("Job", "job", "kind", "state", "attempt", "submitted", "deadline", "progress")
    progress = status.progress
    table.add_row(
        Text(status.job_id),
        status.kind or NOTHING,
        Text(status.state, style=STYLES.get(status.state, "")),
        str(status.attempt),
        *(f"{moment:%Y-%m-%d %H:%M:%S}" if moment else NOTHING for moment in (status.submitted_at, status.deadline)),
        Text(progress_text(progress) if progress else NOTHING),
    )
    if notes := status_notes(status):
        table.caption = "; ".join(notes)
    return table


def status_notes(status: JobStatus) -> list[str]:
    """Return what a job waits or waited for, and which job superseded it, a sentence each."""
    waits = "waits" if status.state is JobState.WAITING else "waited"
    notes = []
    if status.not_before is not None:
        notes.append(f"{waits} for {status.not_before:%Y-%m-%d %H:%M:%S} UTC")
    if status.after is not None:
        notes.append(f"{waits} for job {status.after} to succeed")
    if status.superseded_by is not None:
        notes.append(f"superseded by job {status.superseded_by}, which has newer prices of the card")
    return notes


def outcome_line(place: str, outcome: Outcome) -> Text:
    """Format one outcome as a line; of a card, include the number of predicted fights and the bets."""
    reason = f"{outcome.failure.code}: {outcome.failure.message}" if outcome.failure else ""
    if isinstance(outcome.report, CardReport):
        answered = [fight for fight in outcome.report.fights if isinstance(fight, FightReport)]
        bets = [decision_text(fight, None) for fight in answered if fight.decision.action == "bet"]
        reason = "; ".join(
            [
                f"{outcome.report.card_id}: {len(answered)} of {len(outcome.report.fights)} fights predicted",
                *(bets or ["no bet"]),
            ]
        )
    if outcome.superseded_by is not None and outcome.failure is None:
        reason += f" (superseded by {outcome.superseded_by})"
    return Text.assemble(
        f"{outcome.settled_at:%H:%M:%S} {place} {outcome.job_id} {outcome.kind} ",
        (outcome.state, STYLES.get(outcome.state, "")),
        f" {reason}".rstrip(),
    )


def records_table(title: str, columns: Sequence[str], records: Iterable[Mapping[str, Any]]) -> Table:
    """Return a table of records, with one column for each name and a dash for a missing value."""
    table = wrapping_table(title, *(column.replace("_", " ") for column in columns))
    for record in records:
        table.add_row(*(Text(_written(record.get(column))) for column in columns))
    return table


def _written(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or NOTHING
    return NOTHING if value is None else f"{value:,.4g}" if isinstance(value, float) else str(value)


_TABLES: Mapping[type[Report], Callable[[Any], list[Table]]] = {
    TrainingReport: lambda report: [training_table(report)],
    BacktestReport: backtest_tables,
    JudgementReport: judgement_tables,
    HealthReport: lambda report: [health_table(report)],
    ReplayReport: replay_tables,
    ComparisonReport: comparison_tables,
    ReviewReport: review_tables,
    BetsReport: bet_review_tables,
    ShadowReport: _counts_table,
    PartReport: _counts_table,
    PriceArchiveReport: _counts_table,
    OutcomeArchiveReport: _counts_table,
    BetSettlementReport: _counts_table,
    GarbageReport: _garbage_tables,
    UpdateReport: update_tables,
    FightLogReport: fight_log_tables,
}
"""By type of report, except that of a card."""
