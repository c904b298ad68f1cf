"""Commands about jobs that took their worker down too often: `dead-letters list`, `show`, `requeue`, `purge`."""

from __future__ import annotations

import click
import msgspec
from rich.table import Table

from ledger.contracts.failures import JobRefused
from ledger.ledger import DeadLetter
from producer.cli.output.console import Screen, json_option, pass_screen
from producer.cli.output.exit_codes import ExitCode
from producer.cli.output.report_tables import records_table
from producer.cli.output.table_parts import failures_table
from producer.client import Client

_ALL = 1_000_000  # more than anyone reads


@click.group()
@json_option
def dead_letters() -> None:
    """Look after jobs that ended as worker_lost.

    Such a job took its worker down as often as it may. It stands in the list as long as its outcome is kept, or
    until it is queued again or purged.
    """


@dead_letters.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="Show so many at most.")
@json_option
@pass_screen
def list_letters(screen: Screen, limit: int) -> None:
    """List dead letters, newest first."""
    with Client.from_env() as client:
        letters = client.ledger.dead_letters.newest(limit)
    screen.answer({"dead": letters}, *([_table(letters)] if letters else []))
    if not letters:
        screen.remark("No dead letters.")


@dead_letters.command()
@click.argument("job_id")
@json_option
@pass_screen
def show(screen: Screen, job_id: str) -> None:
    """Show one dead letter and the job in it."""
    with Client.from_env() as client:
        letter, job = client.ledger.dead_letters.get(job_id), client.ledger.job_records.job(job_id)
    screen.answer({"dead": letter, "job": job}, _table([letter]), failures_table([(job_id, letter.failure)]))
    if not screen.as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(job)))


@dead_letters.command()
@click.argument("job_ids", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that are in the list.")
@json_option
@pass_screen
def requeue(screen: Screen, job_ids: tuple[str, ...], everything: bool) -> None:
    """Submit dead jobs again, each as a new job.

    No outcome is ever replaced: the job keeps its worker_lost, and its next life is the job JOB_ID~2.
    """
    _check(job_ids, everything)
    with Client.from_env() as client:
        chosen = [letter.job_id for letter in client.ledger.dead_letters.newest(_ALL)] if everything else list(job_ids)
        rows = [_requeue(client, job_id) for job_id in chosen]
    screen.answer({"requeued": rows}, records_table("Queued again", ["job", "next_life", "refused"], rows))
    if any(row["refused"] for row in rows):
        click.get_current_context().exit(ExitCode.REFUSED)


@dead_letters.command()
@click.argument("job_ids", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that are in the list.")
@json_option
@pass_screen
def purge(screen: Screen, job_ids: tuple[str, ...], everything: bool) -> None:
    """Take dead letters off the list; their outcomes stay readable."""
    _check(job_ids, everything)
    with Client.from_env() as client:
        purged = client.ledger.dead_letters.purge_all() if everything else client.ledger.dead_letters.purge(*job_ids)
    screen.answer({"purged": purged})
    screen.remark(f"{purged} purged.")


def _check(job_ids: tuple[str, ...], everything: bool) -> None:
    if bool(job_ids) == everything:
        raise click.UsageError("name the jobs, or say --all")


def _requeue(client: Client, job_id: str) -> dict[str, str | None]:
    """Queue one job again. One that is refused, because its deadline has passed, must not hold up the others."""
    try:
        receipt = client.ledger.dead_letters.requeue(job_id)
    except JobRefused as refusal:
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
