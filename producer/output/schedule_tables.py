"""Tables of schedules, their runs and changes. Layout only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ledger.contracts.jobs import kind_of
from ledger.contracts.schedules import FAILED_STATES, Schedule, ScheduleChange, ScheduleRun, ScheduleStatus
from producer.output.report_tables import records_table
from producer.output.table_parts import NOTHING, duration_text

LATE_SECONDS = 60.0
"""A slot that is due for longer is shown as late."""


def schedules_table(schedules: Sequence[ScheduleStatus]) -> Table:
    """Return the table of all schedules, with their next and last run."""
    rows = [
        {
            "schedule": status.schedule.name,
            "cron": status.schedule.cron,
            "zone": status.schedule.zone,
            "jobs": jobs_text(status.schedule),
            "next (UTC)": NOTHING if status.next_slot is None else moment(status.next_slot),
            "last": NOTHING if status.last_run is None else moment(status.last_run.slot),
            "ended": NOTHING if status.last_run is None else status.last_run.state,
            "": state_text(status),
        }
        for status in schedules
    ]
    return records_table("Schedules", list(rows[0]), rows)


def schedule_table(status: ScheduleStatus) -> Table:
    """Return the table of one schedule."""
    schedule = status.schedule
    catch_up = f"all, at most {schedule.max_catch_up}" if schedule.catch_up == "all" else schedule.catch_up
    following = NOTHING
    if status.next_slot is not None:
        following = f"{moment(status.next_slot)} UTC"
        if schedule.zone != "UTC":
            following += f", {moment(status.next_slot.astimezone(ZoneInfo(schedule.zone)))} {schedule.zone}"
    fields = {
        "cron": f"{schedule.cron} ({schedule.zone})",
        "jobs": jobs_text(schedule),
        "catch-up": catch_up,
        "grace": duration_text(schedule.grace_seconds),
        "deadline": NOTHING if schedule.deadline_seconds is None else duration_text(schedule.deadline_seconds),
        "state": state_text(status) or "waits for its next slot",
        "next": following,
        "last run": NOTHING if status.last_run is None else f"{status.last_run.run_id}: {run_text(status.last_run)}",
        "last failure": NOTHING if status.last_failure is None else run_text(status.last_failure),
        "created": f"{moment(status.created_at)} by {status.created_by}",
        "changed": f"{moment(status.changed_at)} by {status.changed_by} (revision {status.revision})",
    }
    rows = [{"": name, "value": value} for name, value in fields.items()]
    return records_table(f"Schedule {schedule.name}", ["", "value"], rows)


def runs_table(name: str, runs: Sequence[ScheduleRun]) -> Table:
    """Return the table of the runs of a schedule, newest first."""
    rows = [
        {
            "slot (UTC)": slots_text(run),
            "state": run.state,
            "run": run.run_id if run.job_ids else NOTHING,
            "jobs": len(run.job_ids),
            "ended": NOTHING if run.ended_at is None else moment(run.ended_at),
            "why": run.message or ("run by hand" if run.manual else NOTHING),
        }
        for run in runs
    ]
    return records_table(f"Runs of {name}, newest first", list(rows[0]), rows)


def schedule_changes_table(changes: Sequence[ScheduleChange]) -> Table:
    """Return the table of changes, newest first."""
    rows = [
        {
            "at": moment(change.at),
            "who": change.who,
            "what": change.what,
            "schedule": change.name,
            "cron": NOTHING if change.after is None else f"{change.after.cron} ({change.after.zone})",
            "why": change.why,
        }
        for change in changes
    ]
    return records_table("Changes, newest first", list(rows[0]), rows)


def noticeable_schedules(schedules: Sequence[ScheduleStatus]) -> RenderableType | None:
    """Return a line for each schedule that is paused, late or failing; None if there is none."""
    lines = [f"schedule {status.schedule.name}: {text}" for status in schedules if (text := state_text(status))]
    return Text("\n".join(lines), style="yellow") if lines else None


def state_text(status: ScheduleStatus) -> str:
    """Return what is unusual about a schedule; empty if nothing is."""
    parts = []
    if status.schedule.paused:
        parts.append("PAUSED")
    if status.late_seconds > LATE_SECONDS:
        parts.append(f"LATE by {duration_text(status.late_seconds)}")
    if status.ahead_seconds > LATE_SECONDS:
        parts.append(f"AHEAD of the server's clock by {duration_text(status.ahead_seconds)}")
    if status.last_failure is not None:
        parts.append(f"FAILED at {moment(status.last_failure.slot)}: {status.last_failure.message or 'see its job'}")
    return "; ".join(parts)


def run_text(run: ScheduleRun) -> str:
    """Return how a run stands, in a few words."""
    if run.state == "skipped":
        return f"{run.slots:,} slots skipped"
    return f"{run.state}: {run.message}" if run.state in FAILED_STATES and run.message else run.state


def slots_text(run: ScheduleRun) -> str:
    """Return the slot of a run, or of skipped slots the first, the last and their number."""
    if run.through is None or run.slots == 1:
        return moment(run.slot)
    return f"{moment(run.slot)} to {moment(run.through)} ({run.slots:,})"


def jobs_text(schedule: Schedule) -> str:
    """Return the kinds of the jobs, in their order."""
    return " > ".join(kind_of(job) for job in schedule.jobs)


def moment(at: datetime) -> str:
    """Return a moment to the second."""
    return f"{at:%Y-%m-%d %H:%M:%S}"
