"""Commands about schedules: `list`, `show`, `put`, `remove`, `pause`, `resume`, `run`, `history`, `changes`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TextIO, TypeVar

import click
import msgspec

from ledger.contracts.codec import job_refused
from ledger.contracts.jobs import ROUTES
from ledger.contracts.schedules import MAX_CATCH_UP, Schedule
from ledger.schedules.schedule_checks import decode_schedule
from producer.cli.options.audit import audit_options
from producer.client import Client
from producer.output.console import Console, json_option, pass_console
from producer.output.schedule_tables import (
    runs_table,
    schedule_changes_table,
    schedule_table,
    schedules_table,
)

Command = TypeVar("Command", bound=Callable[..., Any])

name_argument = click.argument("name")
revision_option = click.option(
    "--expect-revision",
    "expected_revision",
    type=click.IntRange(min=0),
    metavar="N",
    help="Fail unless the schedule has this revision; 0: unless there is none.",
)
limit_option = click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Maximum number to show."
)


@click.group()
@json_option
def schedules() -> None:
    """Manage schedules of jobs.

    Monitoring pools submit the jobs, each slot once, however many pools are alive. docs/concepts/schedules.md describes
    what happens to slots that are missed, and at changes of summer time.
    """


@schedules.command("list")
@json_option
@pass_console
def list_schedules(console: Console) -> None:
    """List all schedules with their next and last run."""
    with Client.from_env() as client:
        found = client.ledger.schedules.list()
    console.output({"schedules": found}, *([schedules_table(found)] if found else []))
    if not found:
        console.note("No schedules.")


@schedules.command()
@name_argument
@json_option
@pass_console
def show(console: Console, name: str) -> None:
    """Show one schedule."""
    with Client.from_env() as client:
        found = client.ledger.schedules.get(name)
    console.output(found, schedule_table(found))


@schedules.command()
@name_argument
@click.option("--cron", metavar="TEXT", help="Minute, hour, day of the month, month, day of the week; or six fields.")
@click.option("--zone", metavar="ZONE", help="Time zone, such as Europe/Berlin. Default: UTC.")
@click.option(
    "--job",
    "jobs",
    multiple=True,
    metavar="KIND|JSON",
    help="The job as JSON, or its kind if it needs no other field.",
)
@click.option(
    "--file",
    "source",
    type=click.File(encoding="utf-8"),
    metavar="FILE",
    help="Read the whole schedule as JSON, as `show --json` writes it in `schedule`; - for standard input.",
)
@click.option("--catch-up", type=click.Choice(["skip", "last", "all"]), help="What to submit of missed slots.")
@click.option("--max-catch-up", type=click.IntRange(1, MAX_CATCH_UP), metavar="N", help="Most slots of `all`.")
@click.option("--grace", "grace_seconds", type=float, metavar="SECONDS", help="How late a slot is still on time.")
@click.option("--deadline", "deadline_seconds", type=float, metavar="SECONDS", help="Deadline, from the slot on.")
@click.option("--paused", is_flag=True, help="Pause it from the beginning.")
@revision_option
@audit_options(required=False)
@json_option
@pass_console
def put(
    console: Console,
    /,
    name: str,
    source: TextIO | None,
    jobs: tuple[str, ...],
    expected_revision: int | None,
    user: str,
    reason: str,
    **fields: Any,
) -> None:
    """Create a schedule, or replace the one of this name.

    For example `cornerman schedules put nightly --cron "30 2 * * *" --zone Europe/Berlin --job review_model`. Without
    --file every option that is left out has its default. Putting the same schedule again changes nothing.
    """
    schedule = _from_file(name, source, jobs, fields) if source else _from_options(name, jobs, fields)
    with Client.from_env() as client:
        status = client.ledger.schedules.put(schedule, user=user, reason=reason, expected_revision=expected_revision)
    console.output(status, schedule_table(status))


@schedules.command()
@name_argument
@revision_option
@audit_options(required=False)
@json_option
@pass_console
def remove(console: Console, name: str, expected_revision: int | None, user: str, reason: str) -> None:
    """Remove a schedule with its history. Jobs that were submitted go on."""
    with Client.from_env() as client:
        client.ledger.schedules.remove(name, user=user, reason=reason, expected_revision=expected_revision)
    console.output({"removed": name})
    console.note(f"{name} removed.")


@schedules.command()
@name_argument
@audit_options(required=False)
@json_option
@pass_console
def pause(console: Console, name: str, user: str, reason: str) -> None:
    """Pause a schedule. Slots that pass meanwhile are not submitted later."""
    with Client.from_env() as client:
        status = client.ledger.schedules.pause(name, user=user, reason=reason)
    console.output(status, schedule_table(status))


@schedules.command()
@name_argument
@audit_options(required=False)
@json_option
@pass_console
def resume(console: Console, name: str, user: str, reason: str) -> None:
    """Resume a schedule that is paused, with its next slot."""
    with Client.from_env() as client:
        status = client.ledger.schedules.resume(name, user=user, reason=reason)
    console.output(status, schedule_table(status))


@schedules.command()
@name_argument
@audit_options(required=False)
@json_option
@pass_console
def run(console: Console, name: str, user: str, reason: str) -> None:
    """Submit the jobs of a schedule now, besides its slots, also if it is paused."""
    with Client.from_env() as client:
        started = client.ledger.schedules.run_now(name, user=user, reason=reason)
    console.output(started, runs_table(name, [started]))


@schedules.command()
@name_argument
@limit_option
@json_option
@pass_console
def history(console: Console, name: str, limit: int) -> None:
    """Show the runs of a schedule and how they ended, newest first."""
    with Client.from_env() as client:
        runs = client.ledger.schedules.history(name, limit)
    console.output({"runs": runs}, *([runs_table(name, runs)] if runs else []))
    if not runs:
        console.note(f"{name} has not run yet.")


@schedules.command()
@click.option("--name", metavar="NAME", help="Only those of this schedule.")
@limit_option
@json_option
@pass_console
def changes(console: Console, name: str | None, limit: int) -> None:
    """Show who changed what, newest first."""
    with Client.from_env() as client:
        found = client.ledger.schedules.changes(limit, name)
    console.output({"changes": found}, *([schedule_changes_table(found)] if found else []))


def _from_file(name: str, source: TextIO, jobs: tuple[str, ...], fields: dict[str, Any]) -> Schedule:
    if jobs or _given(fields):
        raise click.UsageError("give the schedule as --file or by the other options, not both")
    return decode_schedule(source.read().encode(), name)


def _from_options(name: str, jobs: tuple[str, ...], fields: dict[str, Any]) -> Schedule:
    if not fields["cron"] or not jobs:
        raise click.UsageError("give --cron and --job, or the whole schedule as --file")
    jobs_as_json = [_job(text) for text in jobs]
    return decode_schedule(msgspec.json.encode({"name": name, "jobs": jobs_as_json, **_given(fields)}))


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were given; an empty text is one, such as of a shell variable that is not set."""
    return {field: value for field, value in fields.items() if value is not None and value is not False}


def _job(text: str) -> Any:
    """Return a job of the command line as JSON values. Raises JobRefusedError."""
    if text in ROUTES:
        return {"kind": text}
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise job_refused(f"--job {text[:80]!r} is neither the kind of a job nor JSON: {error}") from None
