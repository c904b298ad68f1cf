"""Commands about archived outcomes: `archive run`, `status`, `find`, `list`, `verify`."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

import click

from ledger.archive.job_archive import MAX_LISTED, ArchivedJob, ArchiveQuery
from ledger.contracts.failures import UnknownJobError
from ledger.contracts.jobs import ROUTES, ArchiveOutcomes
from ledger.jobs.job_index import STATES
from producer.cli.options.moments import MomentOrAgeParam, moment_of
from producer.client import Client, require_report
from producer.output.console import Console, json_option, pass_console
from producer.output.exit_codes import ExitCode
from producer.output.feed_tables import moment_text
from producer.output.progress import wait_with_progress
from producer.output.report_tables import records_table, report_tables

_FINAL = [state.value for state in STATES if state.final]
_SHOWN = ["job", "kind", "state", "card", "caller", "submitted", "settled"]


@click.group()
@json_option
def archive() -> None:
    """Manage the archive of outcomes.

    Outcomes in it are read as all others: cornerman result JOB. The archive is in CORNERMAN_ARCHIVE_URL, or next to the
    models of the pools: CORNERMAN_STORE, or CORNERMAN_DATA.
    """


@archive.command()
@click.option(
    "--keep-days",
    type=click.FloatRange(min=0),
    default=3.0,
    show_default=True,
    help="Keep outcomes on the server that were settled within this time.",
)
@click.option(
    "--keep-archived-days",
    type=click.FloatRange(min=0, min_open=True),
    help="Remove outcomes from the archive this long after they were settled. Default: never.",
)
@click.option("--timeout", type=click.FloatRange(min=0), default=3600.0, show_default=True, metavar="SECONDS")
@json_option
@pass_console
def run(console: Console, keep_days: float, keep_archived_days: float | None, timeout: float) -> None:
    """Move old outcomes from the server to the archive.

    A monitoring worker runs the job, on the store of its pool. To do so every hour: cornerman schedules put archive
    --cron "10 * * * *" --job archive_outcomes.
    """
    job = ArchiveOutcomes(keep_days=keep_days, keep_archived_days=keep_archived_days, nonce=uuid.uuid4().hex)
    with Client.from_env() as client:
        report = require_report(wait_with_progress(client, console, client.enqueue(job).job_id, timeout))
    console.output(report, *report_tables(report))


@archive.command()
@json_option
@pass_console
def status(console: Console) -> None:
    """Show where the archive is, what it has, and when it had all that was due."""
    with Client.from_env() as client:
        state = client.ledger.job_archive.state()
    if state is None:
        console.output({"archive": None})
        console.note("Nothing was archived yet: cornerman archive run")
        return
    caught_up = moment_text(state.caught_up_at) if state.caught_up_at else "never"
    row = {
        "location": state.location,
        "version": state.version,
        "outcomes": f"{state.outcomes:,}",
        "files": f"{state.files:,}",
        "MB": f"{state.bytes / 1e6:,.1f}",
        "written": moment_text(state.written_at),
        "all due archived": caught_up,
    }
    console.output({"archive": state}, records_table("Archive", list(row), [row]))


@archive.command()
@click.argument("job_id")
@json_option
@pass_console
def find(console: Console, job_id: str) -> None:
    """Show which file has an archived job."""
    with Client.from_env() as client:
        found = client.ledger.job_archive.find(job_id)
    if found is None:
        raise UnknownJobError(f"job {job_id} is not in the archive: cornerman status {job_id}")
    row = {**_row(found), "file": found.file}
    console.output(found, records_table("Archived job", list(row), [row]))


@archive.command("list")
@click.option("--state", "states", multiple=True, type=click.Choice(_FINAL), help="Only this state. Repeatable.")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(sorted(ROUTES)), help="Only this kind. Repeatable.")
@click.option("--caller", metavar="NAME", help="Only jobs that this caller submitted.")
@click.option("--card", "card_id", metavar="CARD", help="Only jobs of this card.")
@click.option("--fight", "fight_id", metavar="FIGHT", help="Only cards with this fight.")
@click.option(
    "--since", type=MomentOrAgeParam(), metavar="TIME", help="Submitted at or after this time, or age: 12h, 7d."
)
@click.option("--until", type=MomentOrAgeParam(), metavar="TIME", help="Submitted before this time, or age.")
@click.option(
    "--limit", type=click.IntRange(1, MAX_LISTED), default=50, show_default=True, help="Maximum number to show."
)
@json_option
@pass_console
def list_archived(
    console: Console,
    states: tuple[str, ...],
    kinds: tuple[str, ...],
    caller: str | None,
    card_id: str | None,
    fight_id: str | None,
    since: datetime | timedelta | None,
    until: datetime | timedelta | None,
    limit: int,
) -> None:
    """List archived jobs by the time at which they were submitted, newest first.

    Reads some columns of every file that may have one: give a time for large archives.
    """
    with Client.from_env() as client:
        now_seconds = client.ledger.server.time()
        query = ArchiveQuery(
            states=states,
            kinds=kinds,
            caller=caller,
            card_id=card_id,
            fight_id=fight_id,
            since=moment_of(since, now_seconds),
            until=moment_of(until, now_seconds),
        )
        found = client.ledger.job_archive.newest(query, limit=limit)
    console.output({"jobs": found}, *([records_table("Archived jobs", _SHOWN, map(_row, found))] if found else []))
    if not found:
        console.note("No such jobs.")


@archive.command()
@json_option
@pass_console
def verify(console: Console) -> None:
    """Read every file, and compare it with its digest and its keys; exit with 1 if one differs."""
    faults, outcomes, files = [], 0, 0
    with Client.from_env() as client:
        for file, fault in client.ledger.job_archive.verify():
            outcomes, files = outcomes + file.rows, files + 1
            faults += [fault] if fault is not None else []
    tables = [
        records_table("Damaged", ["file", "fault"], [{"file": each.file, "fault": each.fault} for each in faults])
    ]
    document = {"files": files, "outcomes": outcomes, "faults": faults}
    console.output(document, *(tables if faults else [f"{outcomes:,} outcomes in {files:,} files are as written."]))
    if faults:
        click.get_current_context().exit(ExitCode.FAILED)


def _row(job: ArchivedJob) -> dict[str, object]:
    return {
        "job": job.job_id,
        "kind": job.kind,
        "state": job.state,
        "card": job.card_id or "",
        "caller": job.caller or "",
        "submitted": moment_text(job.submitted_at),
        "settled": moment_text(job.settled_at),
    }
