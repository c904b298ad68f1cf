"""Tables of jobs: a list, and the history of one job."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from rich.table import Table
from rich.text import Text

from ledger.jobs.job_history import JobEvent, JobHistory
from ledger.jobs.job_index import JobSummary
from producer.output.table_parts import NOTHING, STYLES, wrapping_table

_LEVEL_STYLES = {"warning": "yellow", "error": "red", "critical": "bold red"}


def jobs_table(jobs: Iterable[JobSummary]) -> Table:
    """Return a table of jobs."""
    table = wrapping_table(
        "Jobs", "job", "kind", "state", "attempt", "card", "caller", "submitted", "settled", "failure"
    )
    for job in jobs:
        table.add_row(
            Text(job.job_id),
            Text(job.kind),
            Text(job.state, style=STYLES.get(job.state, "")),
            str(job.attempt),
            Text(job.card_id or NOTHING),
            Text(job.caller or NOTHING),
            _time(job.submitted_at),
            _time(job.settled_at),
            Text(job.failure_code or NOTHING),
        )
    return table


def history_tables(history: JobHistory) -> list[Table]:
    """Return the tables of one job: the job with the provenance of its outcome, its events, and its log lines."""
    job = history.job
    fields = {
        "state": job.state,
        "kind": job.kind,
        "queue": job.queue,
        "card": job.card_id,
        "caller": job.caller,
        "correlation id": job.correlation_id,
        "deadline": _time(job.deadline) if job.deadline else None,
        "not before": _time(job.not_before) if job.not_before else None,
        "after": job.after,
        "superseded by": job.superseded_by,
        "repeats the dead letter": history.requeued_from,
        "repeated as": history.requeued_as,
    }
    if history.provenance is not None:
        origin = history.provenance
        models = [f"{name}: {digest[:12]}" for name, digest in sorted(origin.models.items())]
        software = origin.surroundings.libraries.get("cornerman")
        fields |= {"models": ", ".join(models) or None, "version": software, "processor": origin.surroundings.processor}
    table = wrapping_table("Job", "", job.job_id)
    for name, value in fields.items():
        if value is not None:
            table.add_row(name, Text(value))
    return [table, _events_table(history), *([_log_table(history)] if history.log else [])]


def _events_table(history: JobHistory) -> Table:
    title = "History"
    if history.dropped_events:
        title += f" (of the claims, the oldest {history.dropped_events:,} events are no longer kept)"
    table = wrapping_table(title, "time", "event", "attempt", "worker", "fence", "why")
    for event in history.events:
        table.add_row(
            f"{event.at:%Y-%m-%d %H:%M:%S.%f}"[:-3],
            Text(event.event, style=STYLES.get(event.event, "")),
            NOTHING if event.attempt is None else str(event.attempt),
            Text(event.worker or NOTHING),
            NOTHING if event.fence is None else str(event.fence),
            Text(_why(event)),
        )
    return table


def _log_table(history: JobHistory) -> Table:
    title = "Log"
    if history.dropped_log_lines:
        title += f" (the oldest {history.dropped_log_lines:,} lines are no longer kept)"
    table = wrapping_table(title, "time", "level", "logger", "event", "fields")
    for line in history.log:
        table.add_row(
            f"{line.at:%Y-%m-%d %H:%M:%S.%f}"[:-3],
            Text(line.level, style=_LEVEL_STYLES.get(line.level, "")),
            Text(line.logger),
            Text(line.event),
            Text("  ".join(f"{name}={value}" for name, value in line.fields.items())),
        )
    return table


def _why(event: JobEvent) -> str:
    if event.caller is not None:
        return f"by {event.caller}"
    return event.reason or NOTHING


def _time(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}" if moment else NOTHING
