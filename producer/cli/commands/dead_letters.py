"""Commands about jobs that crashed their worker too often: `dead-letters list`, `show`, `requeue`, `purge`."""

from __future__ import annotations

import click
import msgspec
from rich.table import Table

from ledger.contracts.failures import JobRefusedError
from ledger.ledger import DeadLetter
from producer.client import Client
from producer.output.console import Console, json_option, pass_console
from producer.output.exit_codes import ExitCode
from producer.output.report_tables import records_table
from producer.output.table_parts import failures_table

_ALL = 1_000_000  # above any number of dead letters


@click.group()
@json_option
def dead_letters() -> None:
    """Manage jobs that ended as worker_lost.

    Such a job crashed its worker as often as the limit allows. It stays in the list until its retention ends, or
    until it is requeued or purged.
    """


@dead_letters.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="Maximum number to show.")
@json_option
@pass_console
def list_letters(console: Console, limit: int) -> None:
    """List dead letters, newest first."""
    with Client.from_env() as client:
        letters = client.ledger.dead_letters.newest(limit)
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
@click.option("--all", "everything", is_flag=True, help="Select every dead letter.")
@json_option
@pass_console
def requeue(console: Console, job_ids: tuple[str, ...], everything: bool) -> None:
    """Submit dead jobs again, each as a new job.

    No outcome is ever replaced: the job keeps its worker_lost outcome, and the new job is JOB_ID~2.
    """
    _check(job_ids, everything)
    with Client.from_env() as client:
        chosen = [letter.job_id for letter in client.ledger.dead_letters.newest(_ALL)] if everything else list(job_ids)
        rows = [_requeue(client, job_id) for job_id in chosen]
    console.output({"requeued": rows}, records_table("Queued again", ["job", "next_life", "refused"], rows))
    if any(row["refused"] for row in rows):
        click.get_current_context().exit(ExitCode.REFUSED)


@dead_letters.command()
@click.argument("job_ids", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Select every dead letter.")
@json_option
@pass_console
def purge(console: Console, job_ids: tuple[str, ...], everything: bool) -> None:
    """Remove dead letters from the list; their outcomes stay readable."""
    _check(job_ids, everything)
    with Client.from_env() as client:
        purged = client.ledger.dead_letters.purge_all() if everything else client.ledger.dead_letters.purge(*job_ids)
    console.output({"purged": purged})
    console.note(f"{purged} purged.")


def _check(job_ids: tuple[str, ...], everything: bool) -> None:
    if bool(job_ids) == everything:
        raise click.UsageError("name the jobs, or give --all")


def _requeue(client: Client, job_id: str) -> dict[str, str | None]:
    """Requeue one job and return its row; a refusal, such as a deadline that has passed, is part of the row."""
    try:
        receipt = client.ledger.dead_letters.requeue(job_id)
    except JobRefusedError as refusal:
        return {"job": job_id, "next_life": None, "refused": str(refusal)}
    return {"job": job_id, "next_life": receipt.job_id, "refused": None}


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
