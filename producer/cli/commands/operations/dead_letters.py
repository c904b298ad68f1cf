"""Commands about jobs that crashed their worker too often: `dead-letters list`, `show`, `requeue`, `purge`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, TypeVar

import click
import msgspec
from rich.table import Table

from ledger.contracts.jobs import ROUTES
from ledger.jobs.dead_letters import DeadLetterQuery, RequeuedLetter
from ledger.ledger import DeadLetter
from producer.cli.options.moments import MomentOrAgeParam, moment_of
from producer.client import Client, existing_status
from producer.output.console import Console, json_option, pass_console
from producer.output.exit_codes import ExitCode
from producer.output.report_tables import records_table
from producer.output.table_parts import failures_table

Command = TypeVar("Command", bound=Callable[..., Any])


def _selection(command: Command) -> Command:
    """Add the options that select dead letters without naming them."""
    everything = click.option("--all", "everything", is_flag=True, help="Select every dead letter.")
    return everything(_filters(command))


def _filters(command: Command) -> Command:
    kind = click.option(
        "--kind", "kinds", multiple=True, type=click.Choice(sorted(ROUTES)), help="Only this kind of job. Repeatable."
    )
    age = click.option(
        "--older-than",
        type=MomentOrAgeParam(),
        metavar="AGE",
        help="Only jobs that died before this time, or this long ago: 30min, 12h, 7d.",
    )
    return kind(age(command))


def _query(client: Client, kinds: tuple[str, ...], older_than: datetime | timedelta | None) -> DeadLetterQuery:
    before = moment_of(older_than, client.ledger.server.time())
    return DeadLetterQuery(kinds=kinds, died_before=before)


@click.group()
@json_option
def dead_letters() -> None:
    """Manage jobs that ended as worker_lost.

    Such a job crashed its worker as often as the limit allows. It stays in the list until its retention ends, or
    until it is requeued or purged.
    """


@dead_letters.command("list")
@_filters
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="Maximum number to show.")
@json_option
@pass_console
def list_letters(console: Console, limit: int, kinds: tuple[str, ...], older_than: datetime | timedelta | None) -> None:
    """List dead letters, newest first."""
    with Client.from_env() as client:
        letters = list(islice(client.ledger.dead_letters.select(_query(client, kinds, older_than)), limit))
    console.output({"dead": letters}, *([_table(letters)] if letters else []))
    if not letters:
        console.note("No dead letters.")


@dead_letters.command()
@click.argument("job_id")
@json_option
@pass_console
def show(console: Console, job_id: str) -> None:
    """Show one dead letter and its job."""
    with Client.from_env() as client:
        letter, job = client.ledger.dead_letters.get(job_id), client.ledger.job_records.job(job_id)
    console.output({"dead": letter, "job": job}, _table([letter]), failures_table([(job_id, letter.failure)]))
    if not console.as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(job)))


@dead_letters.command()
@click.argument("job_ids", nargs=-1)
@_selection
@json_option
@pass_console
def requeue(
    console: Console,
    job_ids: tuple[str, ...],
    everything: bool,
    kinds: tuple[str, ...],
    older_than: datetime | timedelta | None,
) -> None:
    """Submit dead jobs again, each as a new job.

    No outcome is ever replaced: the job keeps its worker_lost outcome, and the new job is JOB_ID~2. A job that is
    refused, for example because its deadline has passed, stays in the list and does not stop the others.
    """
    _check(job_ids, everything or bool(kinds) or older_than is not None)
    with Client.from_env() as client:
        letters = client.ledger.dead_letters
        if len(job_ids) == 1:
            existing_status(client.status(job_ids[0]))
        chosen = job_ids or [letter.job_id for letter in letters.select(_query(client, kinds, older_than))]
        rows = [_row(letter) for letter in letters.requeue_many(chosen)]
    console.output({"requeued": rows}, records_table("Queued again", ["job", "next_life", "refused"], rows))
    if any(row["refused"] for row in rows):
        click.get_current_context().exit(ExitCode.REFUSED)


@dead_letters.command()
@click.argument("job_ids", nargs=-1)
@_selection
@json_option
@pass_console
def purge(
    console: Console,
    job_ids: tuple[str, ...],
    everything: bool,
    kinds: tuple[str, ...],
    older_than: datetime | timedelta | None,
) -> None:
    """Remove dead letters from the list; their outcomes stay readable."""
    _check(job_ids, everything or bool(kinds) or older_than is not None)
    with Client.from_env() as client:
        letters = client.ledger.dead_letters
        chosen = job_ids or [letter.job_id for letter in letters.select(_query(client, kinds, older_than))]
        results = letters.purge_many(chosen)
    absent = [letter.job_id for letter in results if not letter.purged]
    purged = len(results) - len(absent)
    console.output({"purged": purged, "absent": absent} if absent else {"purged": purged})
    console.note(f"{purged} purged.")
    if absent:
        console.note(f"Not in the list: {', '.join(absent)}")


def _check(job_ids: tuple[str, ...], by_filter: bool) -> None:
    if bool(job_ids) == by_filter:
        raise click.UsageError("name the jobs, or select them by --all, --kind or --older-than")


def _row(letter: RequeuedLetter) -> dict[str, str | None]:
    """Return the row of one job; a refusal, such as a deadline that has passed, is part of it."""
    refused = None if letter.failure is None else f"{letter.failure.code}: {letter.failure.message}"
    return {"job": letter.job_id, "next_life": letter.new_job_id, "refused": refused}


def _table(letters: list[DeadLetter]) -> Table:
    rows = [
        {
            "job": letter.job_id,
            "kind": letter.kind,
            "attempts": letter.attempts,
            "submitted": f"{letter.submitted_at:%Y-%m-%d %H:%M:%S}",
            "died": f"{letter.died_at:%Y-%m-%d %H:%M:%S}",
            "reason": letter.failure.message,
        }
        for letter in letters
    ]
    return records_table("Dead letters", ["job", "kind", "attempts", "submitted", "died", "reason"], rows)
