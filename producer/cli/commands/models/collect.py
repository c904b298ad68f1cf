"""The command `models collect`: remove unreferenced files from the model store."""

from __future__ import annotations

import uuid

import click

from ledger.contracts.jobs import CollectGarbage
from ledger.contracts.reports import GarbageReport
from producer.client import Client, require_report
from producer.output.console import Console, json_option, pass_console
from producer.output.progress import wait_with_progress
from producer.output.report_tables import report_tables


@click.command()
@click.option(
    "--keep-days", type=click.FloatRange(min=0), default=7.0, show_default=True, help="Keep models younger than this."
)
@click.option(
    "--keep-training-days",
    type=click.FloatRange(min=0),
    default=2.0,
    show_default=True,
    help="The same for training parts.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and remove nothing.")
@click.option("--adopt", is_flag=True, help="Remove unclaimed files too; safe only if no other ledger uses the store.")
@click.option("--timeout", type=click.FloatRange(min=0), default=600.0, show_default=True, metavar="SECONDS")
@json_option
@pass_console
def collect(
    console: Console, keep_days: float, keep_training_days: float, dry_run: bool, adopt: bool, timeout: float
) -> None:
    """Remove unreferenced models and old training parts.

    Keeps models that an alias names or ever named, models that a stored job or outcome names, and models younger than
    --keep-days. If several ledgers share a store, each removes only files that it alone uses. A training worker runs
    the job, on the store of its pool.
    """
    job = CollectGarbage(
        keep_days=keep_days,
        keep_training_days=keep_training_days,
        dry_run=dry_run,
        adopt=adopt,
        nonce=uuid.uuid4().hex,
    )
    with Client.from_env() as client:
        outcome = wait_with_progress(client, console, client.enqueue(job).job_id, timeout)
    report = require_report(outcome)
    console.output(report, *report_tables(report))
    if not isinstance(report, GarbageReport):
        return
    if not report.models and not report.trainings:
        console.note("Nothing to remove.")
    if report.unclaimed:
        console.note(
            f"{report.unclaimed} more stay, because no ledger has claimed them; if no other uses this store: --adopt"
        )
